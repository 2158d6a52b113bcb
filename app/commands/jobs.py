"""`beholder jobs`: what long work there is, how far it is, and how to stop it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from app.output import one_line
from app.terminal import Json, fail, failures_in_one_line, print_json

if TYPE_CHECKING:
    from index import Job, JobQueue

group = typer.Typer(help="See, follow and stop long work.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(help="The job's id, as `beholder jobs list` shows it.")]


@group.command("list", epilog="Example: beholder jobs list --limit 5")
def list_jobs(
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many, newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """Show the newest jobs, one a line."""
    from app.api.jobs import job_out

    with _queue() as jobs:
        shown = jobs.page(limit=limit, cursor=None).jobs
    if as_json:
        print_json([job_out(job).model_dump(mode="json") for job in shown])
        return
    for job in shown:
        typer.echo(_line(job))


@group.command(epilog="Example: beholder jobs show 0123456789abcdef --json")
def show(job_id: JobId, as_json: Json = False) -> None:
    """Show one job: its state, its progress, and its result or what went wrong."""
    with _queue() as jobs:
        _print(jobs.get(job_id), as_json=as_json)


@group.command(epilog="Example: beholder jobs follow 0123456789abcdef")
def follow(job_id: JobId, as_json: Json = False) -> None:
    """Show a bar until the job ends; exit status 1 unless it succeeded. Ctrl-C leaves it alone."""
    from app.jobs.following import follow_with_bar

    with _queue() as jobs:
        job = follow_with_bar(jobs, jobs.get(job_id))
    _print(job, as_json=as_json)
    if job.finished_at is None:
        fail("No longer followed; the job goes on.")
    if job.state != "succeeded":
        raise typer.Exit(1)


@group.command(epilog="Example: beholder jobs cancel 0123456789abcdef")
def cancel(job_id: JobId, as_json: Json = False) -> None:
    """Ask a job to stop; what it has done so far may stay."""
    with _queue() as jobs:
        _print(jobs.request_cancel(job_id), as_json=as_json)


@group.command(epilog="Example: beholder jobs pause 0123456789abcdef")
def pause(job_id: JobId, as_json: Json = False) -> None:
    """Keep a job from being done until it is resumed; your user name is kept with it."""
    import getpass

    with _queue() as jobs:
        _print(jobs.pause(job_id, by=getpass.getuser()), as_json=as_json)


@group.command(epilog="Example: beholder jobs resume 0123456789abcdef")
def resume(job_id: JobId, as_json: Json = False) -> None:
    """Let a paused job go on where it was left."""
    with _queue() as jobs:
        _print(jobs.resume(job_id), as_json=as_json)


@contextmanager
def _queue() -> Iterator[JobQueue]:
    from app.services import open_job_queue

    with failures_in_one_line() as settings, open_job_queue(settings) as jobs:
        yield jobs


def _print(job: Job, *, as_json: bool) -> None:
    from app.api.jobs import job_out

    if as_json:
        print_json(job_out(job).model_dump(mode="json"))
        return
    typer.echo(_line(job))
    for failure in (job.result or {}).get("failures", []):
        typer.echo(one_line(f"failed  {failure['filename']}: {failure['reason']}"), err=True)


def _line(job: Job) -> str:
    created = job.created_at.strftime("%Y-%m-%d %H:%M")
    far = f"{job.done}/{'?' if job.total is None else job.total} {job.unit}"
    state: str = job.state
    if job.paused_at is not None:
        state = "paused"
    elif job.cancel_requested and job.finished_at is None:
        state = "cancelling"
    return one_line(f"{job.id}  {job.kind:9}  {state:10}  {created}  {far}  {job.message}")
