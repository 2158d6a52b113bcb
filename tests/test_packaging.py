"""What the project ships and how it is put together: wheel, doors, layers, pins, containers."""

import importlib
import re
import subprocess
import sys
import tomllib
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.main import VERSION

ROOT = Path(__file__).parent.parent
PACKAGES = ("app", "index", "migrations", "model")


def tracked_files(*folders: str) -> list[str]:
    """Paths that git keeps, relative to the root; the test is skipped outside a checkout."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listing = run("git", "ls-files", "-z", "--", *folders)
    return [path for path in listing.split("\0") if path and (ROOT / path).exists()]


def run(*command: str, cwd: Path = ROOT) -> str:
    """Standard output of a command that has to succeed."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command[0]} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def tool(name: str) -> str:
    """Path of a command installed in the running environment."""
    return str(Path(sys.executable).parent / name)


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """The [project] table."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """A wheel built from the working tree by the declared backend."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder))
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


# The wheel


def test_the_wheel_carries_every_tracked_file_of_the_layers(wheel: zipfile.ZipFile) -> None:
    """What runs in the checkout also runs from the wheel."""
    missing = set(tracked_files(*PACKAGES)) - set(wheel.namelist())
    assert not missing


@pytest.mark.parametrize(
    "needed",
    [
        r"model/weights/compact\.safetensors",
        r"app/web/index\.html",
        r"app/web/assets/.+\.js",
        r"app/web/assets/.+\.css",
        r"migrations/env\.py",
        r"migrations/versions/.+\.py",
    ],
)
def test_the_wheel_carries_weights_page_and_revisions(wheel: zipfile.ZipFile, needed: str) -> None:
    """The service starts from the wheel alone: weights, page and SQL revisions are inside."""
    found = [name for name in wheel.namelist() if re.fullmatch(needed, name)]
    assert found
    assert all(wheel.getinfo(name).file_size for name in found if not name.endswith("__init__.py"))


def test_the_wheel_carries_nothing_but_the_layers_and_its_metadata(wheel: zipfile.ZipFile) -> None:
    """Tests, benchmarks and caches stay out; the version is the one the service tells."""
    metadata = f"beholder-{VERSION}.dist-info"
    roots = {name.split("/")[0] for name in wheel.namelist()}
    assert roots == {*PACKAGES, metadata}
    assert not [name for name in wheel.namelist() if "__pycache__" in name]


def test_the_wheel_carries_its_licence(wheel: zipfile.ZipFile) -> None:
    """Licence and notice travel with the code and the weights."""
    names = {Path(name).name for name in wheel.namelist() if "/licenses/" in name}
    assert names == {"LICENSE", "NOTICE"}


# The command


def test_help_answers_without_torch() -> None:
    """`beholder --help` imports neither torch nor FAISS, so that it answers at once."""
    script = (
        "import sys\n"
        "from app.cli import main\n"
        "sys.argv = ['beholder', '--help']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        "heavy = {'torch', 'faiss', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    assert "Usage" in run(sys.executable, "-c", script)


# Doors and layers


@pytest.mark.parametrize("layer", ["index", "model"])
def test_a_layer_exposes_exactly_the_names_it_lists(layer: str) -> None:
    """Each name in `__all__` exists and is listed once, and no other public name leaks."""
    door = importlib.import_module(layer)
    exposed = {
        name
        for name, value in vars(door).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert sorted(door.__all__) == sorted(exposed)


def test_imports_point_down_and_through_the_doors() -> None:
    """The layer contracts in pyproject.toml hold."""
    run(tool("lint-imports"))


# Pins


def normalised(requirement: str) -> str:
    """Name of a requirement the way package indexes compare names."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name[0]).lower()


@pytest.fixture(scope="module")
def pins() -> dict[str, str]:
    """Each pinned name with its version."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {normalised(name): version for name, version in pairs}


def test_every_dependency_is_pinned(project: dict[str, Any], pins: dict[str, str]) -> None:
    """Two installations with the constraints get the same versions of what is asked for."""
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(item for extra in extras for item in extra)]
    names = {normalised(item) for item in wanted} - {"beholder"}
    assert names <= set(pins)


def test_torch_is_asked_for_exactly_and_alike_everywhere(
    project: dict[str, Any], pins: dict[str, str]
) -> None:
    """No range of torch is asked for anywhere: a range may be answered with a CUDA build."""
    exact = f"torch=={pins['torch']}"
    assert exact in project["dependencies"]
    for file in ("Makefile", "Dockerfile"):
        asked = re.findall(r"(?<![\w-])torch[=<>~]+[\d.]+", (ROOT / file).read_text())
        assert set(asked) == {exact}, file


def test_no_committed_file_names_a_package_index() -> None:
    """Where packages come from is the choice of whoever installs."""
    hosts = [
        ".".join(parts).encode() for parts in (("pypi", "org"), ("download", "pytorch", "org"))
    ]
    hosts += [b"files.python" + b"hosted.org", b"registry.npm" + b"js.org"]
    naming = [
        path
        for path in tracked_files()
        if not path.endswith(".safetensors")
        and any(host in (ROOT / path).read_bytes() for host in hosts)
    ]
    assert naming == []


# Containers


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The compose file, anchors merged, variables as written."""
    parsed: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return parsed


def test_the_dockerfile_passes_its_linter() -> None:
    """Hadolint has nothing to say about the Dockerfile."""
    run(tool("hadolint"), "Dockerfile")


def test_the_compose_file_follows_the_compose_schema() -> None:
    """The compose files are valid by the published schema of compose files."""
    run(
        tool("check-jsonschema"),
        "--builtin-schema",
        "vendor.compose-spec",
        "docker-compose.yml",
        "docker-compose.milvus.yml",
    )


def test_the_image_carries_what_a_setting_may_ask_for(
    project: dict[str, Any], compose: dict[str, Any]
) -> None:
    """A database, a bucket, a Milvus or a photo of a phone needs no image of one's own."""
    declared = re.search(r'^ARG EXTRAS="(.+)"$', (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert declared is not None
    names = declared[1].split()
    assert {"heic", "milvus", "postgres", "s3"} == set(names) & set(
        project["optional-dependencies"]
    )
    built = [s["build"]["args"]["EXTRAS"] for s in compose["services"].values() if "build" in s]
    assert set(built) == {f"${{BEHOLDER_EXTRAS:-{declared[1]}}}"}


def test_the_container_runs_unprivileged_and_proves_its_health() -> None:
    """The last stage names a user by number and asks /livez."""
    last_stage = (ROOT / "Dockerfile").read_text().rsplit("\nFROM ", 1)[1]
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", last_stage, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK [^#]*/livez", last_stage, re.MULTILINE | re.DOTALL)


def test_only_the_api_is_reachable_and_only_from_this_machine(compose: dict[str, Any]) -> None:
    """No other service publishes a port, and the default address is loopback."""
    published = {name: s["ports"] for name, s in compose["services"].items() if "ports" in s}
    assert list(published) == ["api"]
    assert published["api"] == ["${BEHOLDER_BIND:-127.0.0.1}:${BEHOLDER_PORT:-8000}:8000"]


def test_a_missing_password_is_an_error_with_a_name(compose: dict[str, Any]) -> None:
    """No service starts with an empty or a default password."""
    services = compose["services"].values()
    passwords = [
        value
        for service in services
        for name, value in service.get("environment", {}).items()
        if "PASSWORD" in name
    ]
    assert len(passwords) == len(compose["services"])
    assert all(value.startswith("${BEHOLDER_DB_PASSWORD:?set ") for value in passwords)


def test_every_service_waits_for_a_healthy_database(compose: dict[str, Any]) -> None:
    """Nothing connects before PostgreSQL answers, and what lasts waits for the schema too."""
    others = {name: s for name, s in compose["services"].items() if name != "db"}
    for name, service in others.items():
        assert service["depends_on"]["db"]["condition"] == "service_healthy", name
    for name in ("api", "worker"):
        migrated = others[name]["depends_on"]["migrate"]["condition"]
        assert migrated == "service_completed_successfully", name


# Pages made from the code


def test_the_table_of_settings_is_fresh() -> None:
    """docs/deployment.md lists the settings as the settings class has them."""
    run(sys.executable, "scripts/settings_table.py", "--check")
