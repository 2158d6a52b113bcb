"""Many who write at once, from two processes' worth of services on one database."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from app.services import Services, open_services
from app.settings import Settings
from index import LeaseLost, Query, TextPart, Words
from tests.fakes import ColourEncoder
from tests.index.uploading import BLUE, RED, add

WRITERS = 8
STEPS = 6


def test_eight_writers_never_fail_for_one_another(
    services: Services, settings: Settings, load_colours: Callable[[str], ColourEncoder]
) -> None:
    """Uploads, changes, deletions and workers' claims wait for the lock and lose nothing."""
    shared = add(services, BLUE, seed=1_000).image
    for _ in range(WRITERS * STEPS):
        services.jobs.enqueue("nothing", {}, unit="steps")
    with open_services(settings, load=load_colours) as other:

        def write(writer: int) -> tuple[set[str], set[str]]:
            stack = (services, other)[writer % 2]
            kept: set[str] = set()
            claimed: set[str] = set()
            for step in range(STEPS):
                image = add(stack, RED, seed=100 * writer + step).image
                if step % 2:
                    stack.indexer.delete(image.id)
                else:
                    kept.add(image.id)
                tag = f"{writer}-{step}"
                stack.indexer.update(
                    shared.id, lambda now, tag=tag: Words((*now.tags, tag), now.caption)
                )
                job = stack.jobs.claim(f"worker {writer}")
                if job is not None:
                    claimed.add(job.id)
                    try:
                        stack.jobs.finish(job, f"worker {writer}", "succeeded", message="done")
                    except LeaseLost:
                        claimed.remove(job.id)
            return kept, claimed

        with ThreadPoolExecutor(WRITERS) as pool:
            outcomes = list(pool.map(write, range(WRITERS)))
        kept = {image_id for images, _ in outcomes for image_id in images}
        claimed = [job_id for _, jobs in outcomes for job_id in jobs]
        assert len(claimed) == len(set(claimed)) == WRITERS * STEPS
        assert len(services.library.get(shared.id).tags) == WRITERS * STEPS
        for stack in (services, other):
            stack.live.catch_up()
            hits = stack.searcher.search(Query([TextPart("red")], limit=1_000)).hits
            assert {hit.image.id for hit in hits} == kept | {shared.id}
        assert services.verifier.run() == []
