"""The life of model versions: nothing goes live half filled, and the way back is open."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from app.services import Services, open_services
from app.settings import Settings
from index import Conflict, NotBetter, NotFound, Query, TextPart
from tests.fakes import ColourEncoder
from tests.index.uploading import BLUE, GREEN, RED, add, names_of


def found(services: Services, text: str) -> tuple[str, list[str]]:
    """The version that answers, and the file names of its hits."""
    services.live.catch_up()
    result = services.searcher.search(Query([TextPart(text)]))
    return result.model_version, names_of(result)


def ready_version(services: Services, source: str = "colour-1") -> str:
    """A version that has embedded every image and waits to be promoted."""
    version = services.versions.to_build(None, source)
    services.reindexer.run(version.id, lambda *_: False, is_to_go_live=False)
    assert services.versions.get(version.id).state == "ready"
    return version.id


def test_a_ready_version_goes_live_with_the_images_that_came_since(services: Services) -> None:
    """Images uploaded after it was filled are embedded for it too, so promotion is instant."""
    add(services, RED)
    version = ready_version(services)
    add(services, GREEN)
    services.versions.promote(version)
    assert found(services, "green") == (version, [f"{GREEN}-0.png", f"{RED}-0.png"])


def test_going_back_loses_no_image_and_embeds_nothing(services: Services) -> None:
    """What came under the new version is found under the old one as soon as it is live again."""
    add(services, RED)
    first = services.live.generation.version.id
    second = ready_version(services)
    services.versions.promote(second)
    services.live.catch_up()
    add(services, BLUE)
    encoder = services.live.generation.queue.encoder
    batches = list(encoder.batch_sizes)
    services.versions.roll_back()
    assert found(services, "blue") == (first, [f"{BLUE}-0.png", f"{RED}-0.png"])
    assert encoder.batch_sizes == batches
    services.versions.roll_back()
    assert found(services, "blue")[0] == second


def test_a_version_that_lacks_an_image_is_not_promoted(services: Services) -> None:
    """A half filled version would hide images: the promotion is refused and nothing changes."""
    add(services, RED)
    live = services.live.generation.version.id
    version = services.versions.register("colour-1", origin="registered")
    with pytest.raises(Conflict, match="reindex"):
        services.versions.promote(version.id)
    with pytest.raises(Conflict, match="already"):
        services.versions.promote(live)
    with pytest.raises(NotFound):
        services.versions.promote("no-such")
    assert found(services, "red")[0] == live


def test_there_is_no_way_back_from_the_first_version(services: Services) -> None:
    """Rolling back without a before is a clear refusal."""
    with pytest.raises(Conflict):
        services.versions.roll_back()


def test_the_live_version_can_not_be_deleted_and_others_can(services: Services) -> None:
    """Deleting frees a version's embeddings; the way back is closed when it was the one before."""
    add(services, RED)
    first = services.live.generation.version.id
    second = ready_version(services)
    services.versions.promote(second)
    with pytest.raises(Conflict):
        services.versions.discard(second)
    services.versions.discard(first)
    assert [version.id for version in services.versions.all()] == [second]
    with pytest.raises(Conflict):
        services.versions.roll_back()
    assert found(services, "red") == (second, [f"{RED}-0.png"])


def test_a_moved_data_folder_works_without_the_file_it_came_from(
    settings: Settings, load_colours: Callable[[str], ColourEncoder]
) -> None:
    """A version is one unit with the data: its source may be gone, its folder elsewhere."""
    with open_services(settings, load=load_colours) as services:
        add(services, RED)

    def load_files_only(source: str) -> ColourEncoder:
        assert Path(source).is_file(), source
        return load_colours(source)

    moved = settings.data_dir.with_name("moved")
    settings.data_dir.rename(moved)
    elsewhere = settings.model_copy(update={"data_dir": moved, "model": "no-such-model"})
    with open_services(elsewhere, load=load_files_only) as services:
        assert found(services, "red")[1] == [f"{RED}-0.png"]


def test_version_that_did_worse_is_promoted_by_force_alone(services: Services) -> None:
    """Its last evaluation forbids it; force overrides that and is recorded."""
    live = services.versions.live().id
    version = ready_version(services)
    checks = [{"title": "Recall", "before": 0.5, "after": 0.4, "allowed": "up", "passed": False}]
    failed = {"evaluation": {"gate": {"passed": False, "checks": checks}}}
    services.versions.put_metrics(version, failed)
    with pytest.raises(NotBetter) as refused:
        services.versions.promote(version)
    assert refused.value.checks == tuple(checks)
    with pytest.raises(NotBetter):
        services.versions.to_build(version, "colour")
    assert services.versions.get(version).state == "ready"
    promoted = services.versions.promote(version, is_forced=True)
    assert promoted.metrics["promotion"]["checks"] == checks
    assert promoted.metrics["evaluation"] == failed["evaluation"]
    # Going back is never gated.
    services.versions.put_metrics(live, failed)
    assert services.versions.roll_back().id == live


def test_promotion_instead_of_a_version_that_is_no_longer_live_is_refused(
    services: Services,
) -> None:
    """What was compared is what is replaced."""
    first = services.versions.live().id
    second, third = ready_version(services), ready_version(services)
    services.versions.promote(second, instead_of=first)
    with pytest.raises(Conflict, match="no longer live"):
        services.versions.promote(third, instead_of=first)
    assert services.versions.live().id == second


def test_weights_go_with_the_last_version_that_has_them(services: Services, tmp_path: Path) -> None:
    """Two versions share one file; what an owner put into the folder is not ours to remove."""
    folder = services.encoders.directory
    first, second = ready_version(services), ready_version(services)
    file = folder / services.versions.get(first).weights
    owners, half, growing = (folder / name for name in ("owners.txt", "a.writing", "b.writing"))
    for path in (owners, half, growing):
        path.write_text("2")
    for path in (file, owners, half):
        os.utime(path, (0, 0))
    services.versions.discard(first)
    assert file.exists()
    services.versions.discard(second)
    assert not file.exists()
    assert owners.exists()
    assert not half.exists(), "a crash left it"
    assert growing.exists()
    assert (folder / services.versions.live().weights).exists()
