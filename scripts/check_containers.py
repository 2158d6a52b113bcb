"""Run every step of Dockerfile and docker-compose.yml without a container engine.

    .venv/bin/python scripts/check_containers.py --torch-index ADDRESS

Both files are linted, then read. The RUN lines of the building stages are executed as written
in a scratch folder. The services of the compose file are started in the order of their
dependences with the commands, variables and health checks written there; a real PostgreSQL from
a package stands in for the `db` image. A picture is uploaded, found, and found again after a
restart. As root on Linux, the service runs as the image's user on a read-only file system with
the data folder alone writable.

Not covered: the base images themselves, the networks between services, dropped capabilities,
and the final stage's RUN line, which makes the image's user.
"""

import argparse
import io
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
from composition import Composition, read_compose
from image_build import ImageBuild, read_dockerfile
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
TOOLS = Path(sys.executable).parent
# Hard on purpose: none of its characters may need escaping anywhere.
PASSWORD = "a pass/word: with @ and % in it"  # noqa: S105  of a database that lives for minutes


def main() -> None:
    """Run all steps; the first that fails ends the script with its error."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--torch-index", required=True, help="value of the build argument")
    arguments = parser.parse_args()

    say("lint")
    subprocess.run([TOOLS / "hadolint", "Dockerfile"], cwd=ROOT, check=True)
    schema = ["--builtin-schema", "vendor.compose-spec"]
    files = ["docker-compose.yml", "docker-compose.milvus.yml"]
    subprocess.run([TOOLS / "check-jsonschema", *schema, *files], cwd=ROOT, check=True)

    with tempfile.TemporaryDirectory(prefix="beholder-containers-") as folder:
        scratch = Path(folder)
        # Other users than this script's run the services.
        scratch.chmod(0o755)

        say("build the image")
        *building, final = read_dockerfile(ROOT / "Dockerfile")
        build = ImageBuild(ROOT, scratch, base_python(), {"TORCH_INDEX": arguments.torch_index})
        for stage in building:
            build.run(stage)
        build.lay_out(final)

        compose = read_compose(ROOT / "docker-compose.yml", {"BEHOLDER_DB_PASSWORD": PASSWORD})
        composition = Composition(build, final, scratch, compose["services"])
        say("start the database")
        with composition.database():
            say("migrate")
            composition.run_once("migrate")
            say("serve, upload, search, stop")
            with composition.serving():
                upload(composition.address)
                search(composition.address)
            say("serve again, search, stop")
            with composition.serving():
                search(composition.address)
    say("all steps passed")


def say(step: str) -> None:
    """One line about the step that begins."""
    print(f"== {step}", flush=True)


def base_python() -> Path:
    """An interpreter that every user of this machine may run, as in the base image."""
    candidates = [Path("/usr/bin/python3.11"), Path(sys.base_prefix) / "bin" / "python3"]
    return next(path for path in candidates if path.exists())


def upload(address: str) -> None:
    """One picture in; the answer says that it is stored."""
    stream = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(stream, "PNG")
    answer = httpx.post(
        f"{address}/v1/images",
        files={"file": ("gradient.png", stream.getvalue(), "image/png")},
        timeout=60,
    )
    assert answer.status_code == httpx.codes.CREATED, answer.text


def search(address: str) -> None:
    """The one picture is found by a sentence, and the page is there."""
    found = httpx.get(f"{address}/v1/search", params={"text": "a grey gradient"}, timeout=60)
    assert len(found.json()["hits"]) == 1, found.text
    assert "<title>" in httpx.get(f"{address}/", timeout=60).text


if __name__ == "__main__":
    main()
