"""The building stages of a Dockerfile, executed in a scratch folder instead of a container."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

# Folders of the image that become folders of the scratch place.
IMAGE_FOLDERS = re.compile(r"(?<![\w./-])/(build|dist|opt/\w+|data)(?=[/\s\"':]|$)")


@dataclass(slots=True)
class Stage:
    """One stage of a Dockerfile: its name and its instructions in order."""

    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def last(self, keyword: str) -> str:
        """The instruction that counts when one is given several times: the last."""
        return [text for name, text in self.instructions if name == keyword][-1]


def read_dockerfile(path: Path) -> list[Stage]:
    """Stages of a Dockerfile, continuation lines joined and comments dropped."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    stages: list[Stage] = []
    for line in "\n".join(lines).replace("\\\n", "").splitlines():
        if not line.strip():
            continue
        keyword, text = line.split(maxsplit=1)
        if keyword == "FROM":
            words = text.split()
            stages.append(Stage(words[2] if len(words) > 1 else "final"))
        else:
            stages[-1].instructions.append((keyword, text))
    return stages


class ImageBuild:
    """Executes stages below `scratch`, one folder a stage, with files from the checkout `root`.

    `python` stands for the interpreter of the base image. `arguments` are the build arguments.
    """

    def __init__(self, root: Path, scratch: Path, python: Path, arguments: dict[str, str]) -> None:
        self._root = root
        self._scratch = scratch
        self._arguments = arguments
        base = scratch / "base-image"
        base.mkdir()
        (base / "python").symlink_to(python)
        self._base_path = f"{base}:/usr/bin:/bin"
        ignore_lines = (root / ".dockerignore").read_text().splitlines()
        self._allowed = {line[1:] for line in ignore_lines if line.startswith("!")}

    def place(self, stage: str, text: str) -> str:
        """`text` with the image's folders replaced by those of the stage's scratch folder."""
        return IMAGE_FOLDERS.sub(lambda match: f"{self._scratch / stage}/{match[1]}", text)

    def lay_out(self, stage: Stage) -> None:
        """Only the COPY lines of the final stage: what it runs needs an image of its own."""
        folder = self._scratch / stage.name
        folder.mkdir()
        for keyword, text in stage.instructions:
            if keyword == "COPY":
                self._copy(stage.name, text, folder)

    def environment(self, stage: Stage) -> dict[str, str]:
        """Variables a process of the finished stage starts with."""
        variables = {"PATH": self._base_path, "HOME": str(self._scratch)}
        for keyword, text in stage.instructions:
            if keyword == "ENV":
                self._extend(variables, stage.name, text)
        return variables

    def run(self, stage: Stage) -> None:
        """Execute one building stage; the first RUN line that fails raises CalledProcessError."""
        # How this machine reaches its packages stands in for the network of a build.
        variables = {name: text for name, text in os.environ.items() if name.startswith("PIP_")}
        variables |= {
            "PATH": self._base_path,
            "HOME": os.environ.get("HOME", "/"),
            "PIP_QUIET": "1",
        }
        folder = self._scratch / stage.name
        folder.mkdir()
        for keyword, text in stage.instructions:
            if keyword == "ARG":
                name, _, default = text.partition("=")
                variables[name] = self._arguments.get(name, "".join(shlex.split(default)))
            elif keyword == "ENV":
                self._extend(variables, stage.name, text)
            elif keyword == "WORKDIR":
                folder = Path(self.place(stage.name, text))
                folder.mkdir(parents=True, exist_ok=True)
            elif keyword == "COPY":
                self._copy(stage.name, text, folder)
            elif keyword == "RUN":
                print(f"   {stage.name}: RUN {' '.join(text.split())[:90]}", flush=True)
                command = ["/bin/sh", "-c", self.place(stage.name, text)]
                subprocess.run(command, cwd=folder, env=variables, check=True)

    def _extend(self, variables: dict[str, str], stage: str, text: str) -> None:
        for pair in shlex.split(text):
            name, value = pair.split("=", 1)
            variables[name] = self.place(stage, value).replace("$PATH", variables["PATH"])

    def _copy(self, stage: str, text: str, folder: Path) -> None:
        *sources, target = text.split()
        if sources[0].startswith("--from="):
            origin = sources.pop(0).removeprefix("--from=")
            source = Path(self.place(origin, sources[0]))
            # A link, because the scripts of an environment hold its absolute path.
            place = Path(self.place(stage, target))
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(source)
            return
        for name in sources:
            if name not in self._allowed:
                sys.exit(f".dockerignore keeps {name} from the build")
            source, place = self._root / name, folder / target
            if source.is_dir():
                shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, place)
