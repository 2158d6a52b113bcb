"""A model from the hub into a folder, through `huggingface_hub` and its cache.

Files land under their hash and are linked to by commit, whole or not at all; one that broke off is
taken up where it stopped while the call lasts, and what is complete is not fetched again.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

# Read when the library is imported. Its other way of transfer keeps files in the home folder, which
# may be unwritable, and cannot be stopped from its progress.
os.environ["HF_HUB_DISABLE_XET"] = "1"

import httpx2
import structlog
from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    RevisionResolutionError,
)

from model.errors import (
    HubAccessDenied,
    HubCacheUnusable,
    HubInterrupted,
    HubModelNotFound,
    HubModelUnusable,
    HubStorageFull,
    HubUnreachable,
)
from model.hub.files import WEIGHTS_EXPECTED, candidate_files, missing_files, needed_files
from model.hub.names import HubName

Report = Callable[[int, int], None]

_LIBRARY = "beholder"
_ANSWER_SECONDS = 10

_log = structlog.get_logger()


def fetch(
    name: HubName,
    cache: Path,
    *,
    token: str | None = None,
    endpoint: str | None = None,
    offline: bool = False,
    report: Report | None = None,
) -> Path:
    """The folder with the files of a model, or its one file, fetched as far as `cache` lacks them.

    `cache` has the layout of `huggingface_hub`, whose environment variables (`HF_TOKEN`,
    `HF_ENDPOINT`, `HF_HUB_OFFLINE`) stand where nothing is given. `report` hears (done, total) in
    bytes; what it raises ends the download. Where the hub can't be asked, what is cached has to do.

    Raises HubModelNotFound, HubAccessDenied, HubModelUnusable, HubUnreachable, HubInterrupted,
    HubCacheUnusable.
    """
    if offline:
        return _cached(name, cache, "it is not to be asked")
    api = HfApi(endpoint=endpoint, token=token, library_name=_LIBRARY)
    try:
        with _hub_errors(name, cache):
            revision = api.resolve_revision(
                name.repository, revision=name.revision, cache_dir=cache, token=token
            )
            info = api.model_info(
                name.repository,
                revision=revision.resolved,
                files_metadata=True,
                timeout=_ANSWER_SECONDS,
            )
    except HubUnreachable as error:
        path = _cached(name, cache, error.reason)
        _log.warning("hub_unreachable", model=str(name), reason=error.reason)
        return path
    sizes = {one.rfilename: one.size or 0 for one in info.siblings or ()}
    files = needed_files(sizes)
    if not files:
        raise HubModelUnusable(str(name), f"it has no {WEIGHTS_EXPECTED}, nor one file of weights")
    lacking = [file for file in files if _place(name, cache, file, revision.resolved) is None]
    _check_space(name, cache, sum(sizes[file] for file in lacking))
    progress = _Progress(sum(sizes[file] for file in files), report)
    for file in files:
        with _hub_errors(name, cache, progress):
            path = Path(
                hf_hub_download(
                    name.repository,
                    file,
                    revision=revision,
                    cache_dir=cache,
                    token=token,
                    endpoint=endpoint,
                    library_name=_LIBRARY,
                    tqdm_class=type("_Bar", (_Bar,), {"progress": progress}),
                )
            )
        progress.finish(sizes[file])
    return path if len(files) == 1 else path.parent


def _cached(name: HubName, cache: Path, reason: str) -> Path:
    """What `fetch` gives, of files that are there. Raises HubUnreachable that names the others."""
    there = {
        file: place
        for file in candidate_files()
        if (place := _place(name, cache, file, name.revision)) is not None
    }
    if there:
        folder = next(iter(there.values())).parent
        there = {path.name: path for path in folder.iterdir() if path.is_file()}
    files = needed_files(there)
    if not files:
        raise HubUnreachable(str(name), reason, missing_files(there), cache)
    return there[files[-1]] if len(files) == 1 else there[files[-1]].parent


def _place(name: HubName, cache: Path, file: str, revision: str | None) -> Path | None:
    place = try_to_load_from_cache(name.repository, file, cache_dir=cache, revision=revision)
    return Path(place) if isinstance(place, str) else None


def _check_space(name: HubName, cache: Path, needed: int) -> None:
    there = next(folder for folder in (cache, *cache.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise HubStorageFull(str(name), cache, needed, free)


@contextmanager
def _hub_errors(name: HubName, cache: Path, progress: "_Progress | None" = None) -> Iterator[None]:
    """Translate what the library and the storage below it raise."""
    model = str(name)
    try:
        yield
    except GatedRepoError as error:
        raise HubAccessDenied(model, "its terms have to be accepted there") from error
    except RevisionNotFoundError as error:
        raise HubModelNotFound(model, f"there is no revision {name.revision}") from error
    except RepositoryNotFoundError as error:
        raise HubModelNotFound(
            model, "the name is wrong, or it is not for the token given"
        ) from error
    except HfHubHTTPError as error:
        raise _answered(model, error.response.status_code) from error
    except (RevisionResolutionError, LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        cause = error.__cause__ or error
        reason = "HF_HUB_OFFLINE is set"
        if not isinstance(cause, OfflineModeIsEnabled):
            reason = f"it could not be asked ({type(cause).__name__})"
        raise HubUnreachable(model, reason, (), cache) from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        if progress is not None:
            raise HubInterrupted(model, progress.done, progress.total) from error
        reason = f"it could not be asked ({type(error).__name__})"
        raise HubUnreachable(model, reason, (), cache) from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            needed = progress.total - progress.done if progress is not None else 0
            raise HubStorageFull(model, cache, needed, shutil.disk_usage(cache).free) from error
        if error.errno is None and progress is not None:
            # The library's own: fewer bytes came than were announced.
            raise HubInterrupted(model, progress.done, progress.total) from error
        raise HubCacheUnusable(model, cache, error.strerror or type(error).__name__) from error


def _answered(model: str, status: int) -> Exception:
    if status in {401, 403}:
        return HubAccessDenied(model, f"it answered {status}")
    if status == 404:
        return HubModelNotFound(model, "a file of it is gone")
    if status == 429 or status >= 500:
        return HubUnreachable(model, f"it answered {status}", (), None)
    return HubModelUnusable(model, f"the hub answered {status}")


class _Progress:
    """Bytes done over all files."""

    def __init__(self, total: int, report: Report | None) -> None:
        self.total = total
        self.done = 0
        self._finished = 0
        self._report = report

    def add(self, count: int) -> None:
        """So many bytes more came, or fewer, when the sender started over."""
        self.done += count
        if self._report is not None:
            self._report(self.done, self.total)

    def finish(self, size: int) -> None:
        """A file is there, fetched now or before."""
        self._finished += size
        self.add(self._finished - self.done)


class _Bar:
    """What the library takes for the progress bar of one file."""

    progress: _Progress

    def __init__(self, **_: object) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, count: int) -> None:
        """A part of the file came."""
        self.progress.add(count)
