"""Models by name, from a look-alike of the hub on loopback."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.errors import (
    HubAccessDenied,
    HubCacheUnusable,
    HubInterrupted,
    HubModelNotFound,
    HubModelUnusable,
    HubStorageFull,
    HubUnreachable,
)
from model.hub import HubName, fetch, hub_name
from model.hub.files import needed_files
from tests.hub import TOKEN, Hub, serving_hub

NAME = HubName("someone/small-clip")
WEIGHTS = bytes(range(256)) * 400
PARTS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A hub with one model, in safetensors and pickled."""
    folder = tmp_path / "source"
    folder.mkdir()
    for name in ("config.json", "preprocessor_config.json", "tokenizer.json", "README.md"):
        (folder / name).write_text(f'{{"file": "{name}"}}')
    for name in ("model.safetensors", "pytorch_model.bin", "flax_model.msgpack"):
        (folder / name).write_bytes(name.encode() + WEIGHTS)
    with serving_hub() as served:
        served.add(NAME.repository, folder)
        yield served


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Where models are kept; not there yet."""
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hf-hub:a-b/c.d", HubName("a-b/c.d")),
        ("hf-hub:owner/name@v1.0", HubName("owner/name", "v1.0")),
        ("hf-hub:owner/name@refs/pr/3", HubName("owner/name", "refs/pr/3")),
        ("openai/clip-vit-base-patch32", HubName("openai/clip-vit-base-patch32")),
        ("ViT-B-32/laion2b_s34b_b79k", HubName("laion/CLIP-ViT-B-32-laion2B-s34B-b79K")),
        ("ViT-B-32-quickgelu/openai", HubName("timm/vit_base_patch32_clip_224.openai")),
        ("ViT-B/32", HubName("timm/vit_base_patch32_clip_224.openai")),
        ("ViT-L/14@336px", HubName("timm/vit_large_patch14_clip_336.openai")),
        ("RN50x64", HubName("timm/resnet50x64_clip.openai")),
        ("vit_base_patch16_clip_224.openai", HubName("timm/vit_base_patch16_clip_224.openai")),
    ],
)
def test_names_people_know_lead_to_the_hub(name: str, expected: HubName) -> None:
    """The names of the hub, OpenAI, OpenCLIP and timm are all understood."""
    assert hub_name(name) == expected


@pytest.mark.parametrize(
    "name",
    [
        "compact",
        "a/b/c",
        "./a/b",
        "../b",
        "/a/b",
        "~/b",
        "a/",
        "",
        "a/../b",
        "models/my.safetensors",
    ],
)
def test_a_path_is_no_name(name: str) -> None:
    """What can only be a path, or a shipped model, is not looked for on the hub."""
    assert hub_name(name) is None


@pytest.mark.parametrize("name", ["hf-hub:", "hf-hub:../x", "hf-hub:a/b/c", "hf-hub:a b/c"])
def test_a_malformed_name_is_refused(name: str) -> None:
    """Behind the prefix, nothing but a name is taken; the message says what a name is."""
    with pytest.raises(HubModelNotFound, match="hf-hub:owner/name"):
        hub_name(name)


def test_weights_unknown_to_an_architecture_are_refused_with_those_that_are_known() -> None:
    """A misspelt name of weights is answered with the names there are."""
    with pytest.raises(HubModelNotFound, match="laion2b_s34b_b79k"):
        hub_name("ViT-B-32/laion2b")


def test_only_the_files_needed_are_fetched_and_safetensors_come_first(
    hub: Hub, cache: Path
) -> None:
    """Configuration, tokenizer, and one file of weights; never a pickle beside safetensors."""
    folder = fetch(NAME, cache, endpoint=hub.url)
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "tokenizer.json",
    ]
    assert (folder / "model.safetensors").read_bytes() == b"model.safetensors" + WEIGHTS
    assert hub.downloads()[-1] == "model.safetensors"


def test_a_model_that_is_cached_is_not_fetched_again(hub: Hub, cache: Path) -> None:
    """The second call asks the hub what there is, and for no file."""
    first = fetch(NAME, cache, endpoint=hub.url)
    hub.requests.clear()
    assert fetch(NAME, cache, endpoint=hub.url) == first
    assert hub.downloads() == []


def test_progress_counts_every_byte_once(hub: Hub, cache: Path) -> None:
    """The last report is all of them, whether they came now or lay in the cache."""
    for _ in range(2):
        reports: list[tuple[int, int]] = []
        fetch(NAME, cache, endpoint=hub.url, report=lambda *report, to=reports: to.append(report))
        done, total = reports[-1]
        assert done == total
        assert total > len(WEIGHTS)
        assert reports == sorted(reports)


def test_a_download_that_breaks_off_goes_on_where_it_stopped(
    hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a cut connection only the rest is asked for, and the file is whole."""
    # What counts as come are whole chunks, which are 10 MB.
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 10_000)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    hub.break_after = 50_000
    folder = fetch(NAME, cache, endpoint=hub.url)
    assert (folder / "model.safetensors").read_bytes() == b"model.safetensors" + WEIGHTS
    ranges = [
        value
        for *_, headers in hub.requests
        for name, value in headers.items()
        if name.lower() == "range"
    ]
    assert ranges == ["bytes=50000-"]


def test_a_token_goes_to_the_hub_and_not_to_the_store_it_redirects_to(
    hub: Hub, cache: Path
) -> None:
    """A gated model is fetched with a token, which the hub alone gets to see."""
    hub.repositories[NAME.repository].is_gated = True
    fetch(NAME, cache, endpoint=hub.url, token=TOKEN)
    for _, path, headers in hub.requests:
        assert ("authorization" in {name.lower() for name in headers}) != path.startswith("/store/")


@pytest.mark.parametrize("flag", ["is_gated", "is_private"])
def test_a_model_that_is_not_for_everyone_needs_a_token(hub: Hub, cache: Path, flag: str) -> None:
    """Without one the refusal says so, and nothing of the model is kept as if it were whole."""
    setattr(hub.repositories[NAME.repository], flag, True)
    with pytest.raises((HubAccessDenied, HubModelNotFound), match="token"):
        fetch(NAME, cache, endpoint=hub.url)
    with pytest.raises(HubUnreachable):
        fetch(NAME, cache, endpoint=hub.url, offline=True)


def test_an_unknown_model_or_revision_is_named(hub: Hub, cache: Path) -> None:
    """A wrong name and a wrong revision are told apart."""
    with pytest.raises(HubModelNotFound, match="nobody/nothing"):
        fetch(HubName("nobody/nothing"), cache, endpoint=hub.url)
    with pytest.raises(HubModelNotFound, match="no revision v9"):
        fetch(HubName(NAME.repository, "v9"), cache, endpoint=hub.url)


def test_a_revision_is_a_model_of_its_own(hub: Hub, cache: Path) -> None:
    """A branch that moved is fetched anew, and the commit fetched before stays what it was."""
    repository = hub.repositories[NAME.repository]
    old = HubName(NAME.repository, repository.commit)
    first = fetch(old, cache, endpoint=hub.url)
    repository.files["config.json"] = b"{}"
    second = fetch(NAME, cache, endpoint=hub.url)
    assert (second / "config.json").read_bytes() == b"{}"
    assert fetch(old, cache, endpoint=hub.url, offline=True) == first
    assert (first / "config.json").read_bytes() != b"{}"


def test_without_the_hub_a_cached_model_does(hub: Hub, cache: Path) -> None:
    """Offline by choice, with the hub down, or out of order: what is whole in the cache is used."""
    folder = fetch(NAME, cache, endpoint=hub.url)
    assert fetch(NAME, cache, endpoint=hub.url, offline=True) == folder
    assert fetch(NAME, cache, endpoint="http://127.0.0.1:9") == folder
    hub.fails_with = 503
    assert fetch(NAME, cache, endpoint=hub.url) == folder


def test_without_the_hub_and_the_files_the_missing_ones_are_named(hub: Hub, cache: Path) -> None:
    """Nothing at all, or all but the weights: the message names what the cache lacks."""
    with pytest.raises(HubUnreachable, match=r"config\.json and .*model\.safetensors") as raised:
        fetch(NAME, cache, endpoint="http://127.0.0.1:9")
    assert raised.value.missing
    folder = fetch(NAME, cache, endpoint=hub.url)
    (folder / "model.safetensors").resolve().unlink()
    with pytest.raises(HubUnreachable, match=r"lacks model\.safetensors or pytorch_model\.bin"):
        fetch(NAME, cache, endpoint=hub.url, offline=True)


def test_a_download_that_never_ends_well_says_how_far_it_came(
    hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its attempts it gives up, and what was complete need not be fetched again."""
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    hub.break_after, hub.is_broken_for_good = 0, True
    with pytest.raises(HubInterrupted, match="run it again") as raised:
        fetch(NAME, cache, endpoint=hub.url)
    assert 0 < raised.value.done < raised.value.total
    hub.break_after, hub.is_broken_for_good = None, False
    hub.requests.clear()
    fetch(NAME, cache, endpoint=hub.url)
    assert set(hub.downloads()) == {"model.safetensors"}


def test_a_full_disk_is_told_before_anything_is_fetched(
    hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both numbers are told: what is needed and what is free."""
    usage = shutil.disk_usage("/")._replace(free=1_000)
    monkeypatch.setattr("model.hub.fetching.shutil.disk_usage", lambda _: usage)
    with pytest.raises(HubStorageFull) as raised:
        fetch(NAME, cache, endpoint=hub.url)
    assert raised.value.free == 1_000
    assert raised.value.needed > len(WEIGHTS)
    assert hub.downloads() == []


def test_a_cache_that_cannot_be_written_is_named(hub: Hub, tmp_path: Path) -> None:
    """A file in the way of the cache's folder is an error with the folder's path."""
    (tmp_path / "file").touch()
    with pytest.raises(HubCacheUnusable, match="file"):
        fetch(NAME, tmp_path / "file" / "cache", endpoint=hub.url)


def test_a_repository_without_weights_is_no_model(hub: Hub, cache: Path) -> None:
    """The message says which files are looked for, and none is fetched."""
    for file in ("model.safetensors", "pytorch_model.bin"):
        del hub.repositories[NAME.repository].files[file]
    with pytest.raises(HubModelUnusable, match=r"model\.safetensors"):
        fetch(NAME, cache, endpoint=hub.url)
    assert hub.downloads() == []


def test_whatever_ends_the_report_ends_the_download(hub: Hub, cache: Path) -> None:
    """A cancelled job stops at the next bytes, and leaves no half of a file."""

    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        fetch(NAME, cache, endpoint=hub.url, report=stop)
    assert not list(cache.rglob("*.incomplete"))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            ["open_clip_config.json", "open_clip_model.safetensors", "config.json"],
            ["open_clip_config.json", "open_clip_model.safetensors"],
        ),
        (
            [
                *("open_clip_config.json", "open_clip_pytorch_model.bin", "config.json"),
                *("model.safetensors", "vocab.json", "merges.txt"),
            ],
            ["vocab.json", "merges.txt", "config.json", "model.safetensors"],
        ),
        (
            [*PARTS, "config.json", "model.safetensors.index.json"],
            ["config.json", "model.safetensors.index.json", *PARTS],
        ),
        (["config.json", "model.safetensors.index.json", PARTS[0]], []),
        (["ViT-B-32.pt", "README.md"], ["ViT-B-32.pt"]),
        (["a.safetensors", "b.safetensors"], []),
        (["README.md"], []),
    ],
)
def test_the_files_of_each_kind_of_repository(names: list[str], expected: list[str]) -> None:
    """Safetensors before pickles, all parts or none, and one file of weights where it is alone."""
    assert needed_files(names) == expected
