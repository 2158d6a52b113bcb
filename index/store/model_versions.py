"""Model versions: sets of weights, one of which is live."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, cast

from sqlalchemy import delete as sql_delete
from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from index.errors import Conflict, NotFound
from index.store import changes
from index.store.schema import EmbeddingRow, ModelVersionRow, ServingRow

# The origin of a version that a reindex made: the same weights again, or those of an upgrade.
REINDEX = "reindex"

ModelState = Literal["building", "ready", "live", "retired"]


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One set of weights as the other layers see it; `weights` is a file's name."""

    id: str
    weights: str
    fingerprint: str
    architecture: str
    dimension: int
    origin: str
    state: ModelState
    metrics: dict[str, Any]
    created_at: datetime
    promoted_at: datetime | None


def register(
    session: Session,
    *,
    weights: str,
    fingerprint: str,
    architecture: str,
    dimension: int,
    origin: str,
) -> ModelVersion:
    """A new version in the state `building`: it embeds new images but answers no query yet."""
    row = ModelVersionRow(
        id=f"{architecture}-{secrets.token_hex(4)}",
        weights=weights,
        fingerprint=fingerprint,
        architecture=architecture,
        dimension=dimension,
        origin=origin,
        state="building",
        metrics={},
        created_at=datetime.now(UTC),
        promoted_at=None,
    )
    session.add(row)
    session.flush()
    return _version(row)


def get(session: Session, version_id: str) -> ModelVersion:
    """The version with this id. Raises NotFound."""
    return _version(_row(session, version_id))


def all_versions(session: Session) -> list[ModelVersion]:
    """Every version, newest first."""
    rows = session.scalars(select(ModelVersionRow).order_by(ModelVersionRow.created_at.desc()))
    return [_version(row) for row in rows]


def live(session: Session) -> ModelVersion | None:
    """The version that answers queries; None before the first start."""
    serving = session.get(ServingRow, 1)
    return None if serving is None else get(session, serving.live_version)


def embedding(session: Session) -> list[ModelVersion]:
    """The versions that every new image is embedded by.

    They are the live one, those being built or ready to be promoted, and the one that was live
    before, so that going back to it needs no embedding.
    """
    serving = session.get(ServingRow, 1)
    rows = session.scalars(
        select(ModelVersionRow)
        .where(
            or_(
                ModelVersionRow.state.in_(["building", "ready", "live"]),
                ModelVersionRow.id == (serving and serving.previous_version),
            )
        )
        .order_by(ModelVersionRow.created_at)
    )
    return [_version(row) for row in rows]


def previous(session: Session) -> ModelVersion | None:
    """The version that was live before the present one; None when there is none to go back to."""
    serving = session.get(ServingRow, 1)
    if serving is None or serving.previous_version is None:
        return None
    return get(session, serving.previous_version)


def promote(session: Session, version_id: str) -> int:
    """Make this version live and retire the one before; gives the change's sequence number.

    The caller has made sure, under `changes.take_lock`, that no image lacks its embedding.
    Raises NotFound, Conflict when it is live already.
    """
    row = _row(session, version_id)
    serving = session.get(ServingRow, 1)
    if serving is None:
        session.add(ServingRow(only=1, live_version=version_id, previous_version=None))
    else:
        if serving.live_version == version_id:
            raise Conflict(f"The model version {version_id} is live already.")
        session.execute(
            update(ModelVersionRow)
            .where(ModelVersionRow.id == serving.live_version)
            .values(state="retired")
        )
        serving.previous_version = serving.live_version
        serving.live_version = version_id
    row.state = "live"
    row.promoted_at = datetime.now(UTC)
    session.flush()
    return changes.append(session, "promote", [None], version_id)


def set_state(session: Session, version_id: str, state: Literal["building", "ready"]) -> None:
    """Let every new image be embedded by this version too. Raises NotFound."""
    row = _row(session, version_id)
    assert row.state != "live", "only a promotion changes the live version"
    row.state = state


def put_metrics(session: Session, version_id: str, metrics: dict[str, Any]) -> None:
    """Add to what is known of a version; a name it has already gets the new value.

    Raises NotFound.
    """
    row = _row(session, version_id)
    # A new document: a change inside the old one would go unnoticed.
    row.metrics = {**row.metrics, **metrics}


def give_up(session: Session, version_id: str) -> None:
    """End the building of a version: one that never was live goes, another is retired again."""
    row = _row(session, version_id)
    if row.state != "building":
        return
    if row.promoted_at is None and row.origin == REINDEX:
        delete(session, version_id)
    else:
        row.state = "retired"


def superseded(session: Session) -> list[ModelVersion]:
    """The versions made by a reindex that are neither live nor the last before it."""
    serving = session.get(ServingRow, 1)
    assert serving is not None, "a version is live once the service has started"
    rows = session.scalars(
        select(ModelVersionRow).where(
            ModelVersionRow.state == "retired",
            ModelVersionRow.origin == REINDEX,
            ModelVersionRow.id.not_in([serving.live_version, serving.previous_version or ""]),
        )
    )
    return [_version(row) for row in rows]


def delete(session: Session, version_id: str) -> None:
    """Remove a version that is not live, and its embeddings. Raises NotFound."""
    row = _row(session, version_id)
    serving = session.get(ServingRow, 1)
    if serving is not None and serving.previous_version == version_id:
        serving.previous_version = None
        session.flush()
    session.execute(sql_delete(EmbeddingRow).where(EmbeddingRow.model_version == version_id))
    session.delete(row)


def _row(session: Session, version_id: str) -> ModelVersionRow:
    row = session.get(ModelVersionRow, version_id)
    if row is None:
        raise NotFound("model version", version_id)
    return row


def _version(row: ModelVersionRow) -> ModelVersion:
    return ModelVersion(
        id=row.id,
        weights=row.weights,
        fingerprint=row.fingerprint,
        architecture=row.architecture,
        dimension=row.dimension,
        origin=row.origin,
        state=cast("ModelState", row.state),
        metrics=row.metrics,
        created_at=row.created_at,
        promoted_at=row.promoted_at,
    )
