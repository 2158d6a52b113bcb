"""The `beholder` command: each one a thin call of what the API uses too.

Results go to standard output, progress and logs to standard error. Exit codes: 0 done, 1 it could
not be done (one line says why), 2 the command line makes no sense.
"""

from __future__ import annotations

import logging
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands import (
    backups,
    classify,
    collections,
    duplicates,
    jobs,
    models,
    pairs,
    probes,
    tuning,
    vector_index,
    verification,
)
from app.terminal import Json, fail, failures_in_one_line, print_json

if TYPE_CHECKING:
    from index import Imported

cli = typer.Typer(
    name="beholder",
    help="Find images by meaning: type a sentence or give a picture.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Settings are environment variables: see docs/deployment.md.",
)

train = typer.Typer(help="Train a model.", no_args_is_help=True)
cli.add_typer(train, name="train")

cli.add_typer(models.group, name="models")

cli.add_typer(jobs.group, name="jobs")

cli.add_typer(pairs.group, name="pairs")

cli.add_typer(probes.group, name="probe")

cli.add_typer(collections.group, name="collections")

cli.add_typer(duplicates.group, name="duplicates")

cli.add_typer(vector_index.group, name="index")

cli.command(epilog="Example: beholder backup /mnt/backup")(backups.backup)
cli.command(epilog="Example: BEHOLDER_DATA_DIR=new beholder restore /mnt/backup")(backups.restore)
cli.command(epilog="Example: beholder verify --repair")(verification.verify)
cli.command(epilog="Example: beholder classify photo.jpg --labels cat,dog --threshold auto")(
    classify.classify
)

Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(min=1, max=65_535, help="Port to listen on.")]


@cli.command(epilog="Example: beholder serve --host 127.0.0.1 --port 8000")
def serve(host: Host = "127.0.0.1", port: Port = 8000) -> None:
    """Serve the page and the HTTP API, with a worker for jobs beside it."""
    from app.server import serve_forever

    with failures_in_one_line(logging.INFO) as settings:
        serve_forever(settings, host=host, port=port)


@cli.command(epilog="Example: beholder worker")
def worker(
    nice: Annotated[int, typer.Option(min=0, max=19, help="Give way to others by this much.")] = 0,
    idle_seconds: Annotated[
        float, typer.Option(min=0, help="End after so long without a job; default is never.")
    ] = math.inf,
) -> None:
    """Do jobs until stopped; a job in hand is left to the next worker."""
    from app.jobs.priority import give_way
    from app.jobs.process import work_until_stopped
    from app.services import open_services

    give_way(nice)
    with failures_in_one_line(logging.INFO) as settings, open_services(settings) as services:
        work_until_stopped(services, idle_seconds=idle_seconds)


@cli.command(epilog="Example: beholder ingest ~/Pictures --collection holidays")
def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Pictures, or folders of them.")],
    collection: Annotated[str, typer.Option(help="Collection to put them in.")] = "default",
    report: Annotated[
        Path | None, typer.Option(help="Write every refused file and its reason here, as TSV.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Add folders of pictures; run it again after an interruption and it goes on."""
    if not collection.strip():
        fail("A collection has a name.", code=2)
    if report is not None and not report.parent.is_dir():
        fail(f"There is no folder {report.parent} for the report.", code=2)
    from app.ingesting import ingest_with_bar
    from app.output import one_line
    from app.services import open_services

    with failures_in_one_line() as settings, open_services(settings) as services:
        missing = [path for path in paths if not path.exists()]
        if missing:
            fail(f"There is no file or folder {missing[0]}.", code=2)
        imported, was_interrupted = ingest_with_bar(services, paths, collection.strip())
    if as_json:
        refused = [{"path": one.path, "reason": one.reason} for one in imported.refused]
        print_json({"created": imported.created, "exists": imported.exists, "refused": refused})
    else:
        for refusal in imported.refused:
            typer.echo(one_line(f"refused  {refusal.path}: {refusal.reason}"), err=True)
        typer.echo(
            f"{imported.created} added, {imported.exists} already there, "
            f"{len(imported.refused)} refused"
        )
    if report is not None:
        _write_report(report, imported)
    if was_interrupted:
        fail("Interrupted; run the same command again to go on.")


@cli.command(epilog='Example: beholder search "a red coat" --limit 5')
def search(
    text: Annotated[str | None, typer.Argument(help="A sentence.")] = None,
    image: Annotated[Path | None, typer.Option(help="A picture to be like.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many hits.")] = 10,
    collection: Annotated[
        list[str] | None, typer.Option(help="Only this collection; repeat it for several.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the images that match a sentence, a picture, or both."""
    if text is None and image is None:
        fail("Give a sentence, or --image with a picture.", code=2)
    if image is not None and not image.is_file():
        fail(f"There is no picture {image}.", code=2)
    for words in (text, *(collection or ())):
        if words is not None and not _is_utf8(words):
            fail("The command line has bytes that are no UTF-8.", code=2)
    from app import searching
    from app.services import open_services

    with failures_in_one_line() as settings, open_services(settings) as services:
        result = searching.search(services, text, image, limit=limit, collections=collection or ())
        if as_json:
            print_json(searching.as_json(result))
        else:
            searching.print_table(result)


@cli.command(epilog="Example: beholder reindex")
def reindex(
    model_version: Annotated[
        str | None, typer.Option(help="Version to fill; default is a fresh one of BEHOLDER_MODEL.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Embed every image again, then switch to the result; a running service goes on meanwhile."""
    from app.api.jobs import job_out
    from app.jobs.following import do_with_bar
    from app.jobs.reindex import enqueue
    from app.services import open_services

    with failures_in_one_line() as settings, open_services(settings) as services:
        job = do_with_bar(services, enqueue(services, model_version))
    if as_json:
        print_json(job_out(job).model_dump(mode="json"))
    else:
        typer.echo(job.message)
    if job.state != "succeeded":
        raise typer.Exit(1)


@train.command(
    epilog="Example: beholder train compact --pairs a.tsv b.tsv --dev dev.tsv --out m.safetensors"
)
def compact(
    pairs: Annotated[
        list[Path], typer.Option(help="Tables of image and caption, TSV; one or many.")
    ],
    out: Annotated[Path, typer.Option(help="The weights to write.")],
    more_pairs: Annotated[list[Path] | None, typer.Argument(metavar="", hidden=True)] = None,
    photos: Annotated[
        list[Path] | None, typer.Option(help="Photos without captions: a folder or a table.")
    ] = None,
    dev: Annotated[Path | None, typer.Option(help="Table to measure on; never trained on.")] = None,
    run_folder: Annotated[
        Path | None, typer.Option(help="Checkpoints; the same command goes on from there.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another model.")] = 0,
    as_json: Json = False,
) -> None:
    """Train the compact model; needs the extra `train`. Interrupted, it goes on when run again."""
    with failures_in_one_line():
        from app.training import train_with_bar

        trained = train_with_bar(
            pairs=(*pairs, *(more_pairs or ())),
            photos=tuple(photos or ()),
            dev=dev,
            out=out,
            run_folder=run_folder or out.with_suffix(".run"),
            seed=seed,
        )
    if as_json:
        print_json(trained)
    else:
        typer.echo("\n".join(f"{name}: {value}" for name, value in trained.items()))


train.command(
    "fine-tune", epilog="Example: beholder train fine-tune --pairs shop.tsv --out shop.safetensors"
)(tuning.fine_tune)
cli.command(epilog="Example: beholder evaluate --model shop.safetensors --pairs shop.tsv")(
    tuning.evaluate
)


@cli.command(epilog="Example: BEHOLDER_DATABASE_URL=postgresql://… beholder migrate")
def migrate() -> None:
    """Bring the database to the newest revision; `serve` does it too."""
    from index import Database
    from index import migrate as upgrade

    with failures_in_one_line() as settings:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        database = Database(settings.effective_database_url)
        revision = upgrade(database, wait_seconds=settings.database_wait_seconds)
        database.close()
    typer.echo(f"The database is at revision {revision}.")


def main() -> None:
    """Run the command line; output is UTF-8 whatever the locale says."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    cli()


def _is_utf8(words: str) -> bool:
    # Python keeps bytes of the command line that are no text as halves of surrogate pairs.
    return not any("\ud800" <= character <= "\udfff" for character in words)


def _write_report(report: Path, imported: Imported) -> None:
    from app.output import one_line

    lines = [("path", "reason"), *((one.path, one.reason) for one in imported.refused)]
    try:
        report.write_text(
            "".join(f"{one_line(path)}\t{one_line(reason)}\n" for path, reason in lines),
            encoding="utf-8",
        )
    except OSError as error:
        fail(f"The report {report} could not be written: {error.strerror}.")
