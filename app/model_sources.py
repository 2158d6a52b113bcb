"""Where the weights of a model come from: the program itself, a path, or the hub."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

import structlog

from app.errors import FieldInvalid
from app.settings import Settings
from index import Versions
from model import SHIPPED_MODELS, HubInterrupted, HubName, HubUnreachable, fetch, hub_name

log = structlog.get_logger()


def on_the_hub(source: str) -> HubName | None:
    """The model of the hub that `source` names; None for one that is shipped and for a path.

    What is there as a path is a path, unless the name says that it is the hub's.

    Raises HubModelNotFound for a name that starts as one of the hub's and is none.
    """
    name = hub_name(source)
    if name is None or source == str(name):
        return name
    return None if Path(source).exists() else name


def fetched(
    settings: Settings, source: str, report: Callable[[int, int], None] | None = None
) -> str:
    """A path or a shipped name to load: `source` itself, or where its files from the hub lie.

    `report` hears (done, total) in bytes. Raises HubError.
    """
    name = on_the_hub(source)
    if name is None:
        return source
    token = settings.hub_token
    return str(
        fetch(
            name,
            settings.effective_hub_cache,
            token=token.get_secret_value() if token else None,
            endpoint=settings.hub_endpoint,
            offline=settings.hub_offline,
            report=report,
        )
    )


def ensure_live(versions: Versions, settings: Settings) -> tuple[str, ...]:
    """Have a live version; gives a warning if another than the configured model had to do.

    Where the hub does not answer at the first start, the model that is shipped takes its place.

    Raises CheckpointError, StorageError, DatabaseUnavailable.
    """
    try:
        versions.ensure_live(settings.model)
    except (HubUnreachable, HubInterrupted) as error:
        log.warning("model_unavailable", model=settings.model, reason=str(error))
        versions.ensure_live(SHIPPED_MODELS[0])
        warning = (
            f"{settings.model} could not be fetched at the first start, and {SHIPPED_MODELS[0]} "
            "answers in its place; add it when the hub can be reached, and reindex to it"
        )
        return (warning,)
    return ()


def allowed_source(source: str, settings: Settings) -> str | HubName:
    """What of a stranger's wishes may be read: a shipped name, a path below a root, or the hub's.

    Raises FieldInvalid for any other: what is read is the server's, and what is fetched too.
    """
    if source in SHIPPED_MODELS:
        return source
    path = Path(source).resolve()
    roots = [settings.models_dir, *settings.model_roots]
    if any(path.is_relative_to(root.resolve()) for root in roots):
        return str(path)
    name = hub_name(source)
    if name and any(fnmatchcase(name.repository, pattern) for pattern in settings.hub_models):
        return name
    raise FieldInvalid(
        "/source",
        f"give {' or '.join(SHIPPED_MODELS)}, a path below a folder that BEHOLDER_MODEL_ROOTS "
        "names, or a model of the hub that BEHOLDER_HUB_MODELS allows",
    )
