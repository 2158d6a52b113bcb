"""The life of model versions: registered, built by a reindex, promoted, retired."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from index.blobs import digest, remove_if_older, stored_errors
from index.encoders import Encoders
from index.errors import Conflict, NotBetter
from index.store import changes, embeddings, images, jobs, model_versions
from index.store.database import Database
from index.store.model_versions import ModelVersion
from model import Encoder, convert_checkpoint, is_foreign, replace_durably

REGISTRATION_GRACE = timedelta(minutes=1)
_DIGEST = re.compile("[0-9a-f]{64}")
_WRITING = ".writing"


class Versions:
    """Registers versions and removes them.

    Weights are copied into the data folder: a version is one unit, which goes on working when the
    file it came from is replaced, by an upgrade of this program say.
    """

    def __init__(
        self, database: Database, encoders: Encoders, fetched: Callable[[str], str] | None = None
    ) -> None:
        """`fetched` gives the path of a source that is somewhere else, and any other as it is."""
        self._database = database
        self._encoders = encoders
        self._fetched = fetched

    def ensure_live(self, source: str) -> ModelVersion:
        """The live version; at the very first start the encoder that `source` names becomes it.

        Raises CheckpointError, StorageError, DatabaseUnavailable.
        """
        with self._database.reading() as session:
            live = model_versions.live(session)
        if live is not None:
            return live
        encoder = self._encoders.load(self._own_file(source)).encoder
        kept = self._keep(encoder)
        with self._database.writing() as session:
            # Two servers that start together on an empty database meet here, one after the other.
            changes.take_lock(session)
            live = model_versions.live(session)
            if live is None:
                live = _register(session, encoder, kept, origin="first start")
                model_versions.promote(session, live.id)
        return live

    def register(
        self,
        source: str,
        *,
        origin: str,
        architecture: str | None = None,
        image_size: int | None = None,
    ) -> ModelVersion:
        """A new version of the encoder that `source` names, to be filled by a reindex.

        Anyone's file or folder is converted first, in which `architecture` and `image_size` may
        say what it does not.

        Raises CheckpointError, StorageError, DatabaseUnavailable.
        """
        encoder = self._encoders.load(self._own_file(source, architecture, image_size)).encoder
        kept = self._keep(encoder)
        with self._database.writing() as session:
            return _register(session, encoder, kept, origin=origin)

    def to_build(
        self, version_id: str | None, source: str, *, is_to_go_live: bool = True
    ) -> ModelVersion:
        """The version that a reindex is to fill, in the state `building`.

        Without an id it is a fresh version of the encoder that `source` names, which after an
        upgrade may be another than the live one.

        Raises NotFound, Conflict when it is live, NotBetter when it is to go live afterwards but
        did worse than is allowed, CheckpointError, DatabaseUnavailable.
        """
        if version_id is None:
            return self.register(source, origin=model_versions.REINDEX)
        with self._database.writing() as session:
            version = model_versions.get(session, version_id)
            if version.state == "live":
                raise Conflict(f"The model version {version_id} is live already.")
            if is_to_go_live and (failed := failed_checks(version)):
                raise NotBetter(version_id, failed)
            model_versions.set_state(session, version_id, "building")
        return version

    def get(self, version_id: str) -> ModelVersion:
        """The version with this id. Raises NotFound, DatabaseUnavailable."""
        with self._database.reading() as session:
            return model_versions.get(session, version_id)

    def live(self) -> ModelVersion:
        """The version that answers queries. Raises DatabaseUnavailable."""
        with self._database.reading() as session:
            live = model_versions.live(session)
        assert live is not None, "a version is live once the service has started"
        return live

    def all(self) -> list[ModelVersion]:
        """Every version, newest first. Raises DatabaseUnavailable."""
        with self._database.reading() as session:
            return model_versions.all_versions(session)

    def promote(
        self,
        version_id: str,
        *,
        is_forced: bool = False,
        instead_of: str | None = None,
        leaving_out: Collection[str] = (),
    ) -> ModelVersion:
        """Make a version live, in one committed change that every process follows.

        One that did worse than is allowed when it was last evaluated is promoted only by force,
        which its metrics then tell. `instead_of` names the version that must be live until then,
        `leaving_out` images that no model can embed, because their files are gone say.

        Raises NotFound, NotBetter, Conflict when it is live already, an image lacks its embedding,
        or another than `instead_of` is live.
        """
        with self._database.writing() as session:
            changes.take_lock(session)
            version = model_versions.get(session, version_id)
            live = model_versions.live(session)
            if instead_of is not None and (live is None or live.id != instead_of):
                raise Conflict(f"The model version {instead_of} is no longer live.")
            failed = failed_checks(version)
            if failed and not is_forced:
                raise NotBetter(version_id, failed)
            _promote(session, version_id, leaving_out)
            if failed:
                forced = {"forced": True, "at": datetime.now(UTC).isoformat(), "checks": failed}
                model_versions.put_metrics(session, version_id, {"promotion": forced})
            return model_versions.get(session, version_id)

    def roll_back(self) -> ModelVersion:
        """Make the version live again that was before, whatever its figures.

        Raises Conflict without one, or when an image lacks its embedding.
        """
        with self._database.writing() as session:
            changes.take_lock(session)
            before = model_versions.previous(session)
            if before is None:
                raise Conflict("There is no earlier model version to go back to.")
            _promote(session, before.id)
            return model_versions.get(session, before.id)

    def put_metrics(self, version_id: str, metrics: dict[str, Any]) -> ModelVersion:
        """Add to what is known of a version. Raises NotFound, DatabaseUnavailable."""
        with self._database.writing() as session:
            model_versions.put_metrics(session, version_id, metrics)
            return model_versions.get(session, version_id)

    def discard(self, version_id: str) -> None:
        """Remove a version that is not live, with its embeddings and weights.

        Raises NotFound, Conflict, StorageError.
        """
        with self._database.writing() as session:
            if model_versions.get(session, version_id).state == "live":
                raise Conflict(f"The model version {version_id} is live; promote another first.")
            model_versions.delete(session, version_id)
        self.sweep()

    def discard_abandoned(self) -> None:
        """Stop embedding new images for versions whose reindex ended without promoting them."""
        with self._database.reading() as session:
            building = [v for v in model_versions.embedding(session) if v.state == "building"]
            if not building:
                return
            wanted = {
                kept.get("model_version")
                for job in jobs.unfinished(session)
                for kept in (job.arguments, job.checkpoint or {})
            }
        # A version is registered a moment before its job is; only an old one can be without.
        before = datetime.now(UTC) - REGISTRATION_GRACE
        for version in building:
            if version.id not in wanted and version.created_at < before:
                with self._database.writing() as session:
                    model_versions.give_up(session, version.id)

    def discard_superseded(self) -> None:
        """Free the embeddings of versions that a reindex made and a later one has replaced.

        The one that was live before the present one stays, to go back to.
        """
        with self._database.writing() as session:
            for version in model_versions.superseded(session):
                model_versions.delete(session, version.id)

    def sweep(self) -> int:
        """Remove weights that no version has and what a crash left half written; gives how many.

        Younger ones may be about to be registered. Raises StorageError, DatabaseUnavailable.
        """
        with self._database.reading() as session:
            used = {version.weights for version in model_versions.all_versions(session)}
        removed = 0
        for file in self._encoders.directory.glob("*.*"):
            if file.suffix == _WRITING:
                removed += remove_if_older(file)
            # A folder for models is also where an owner puts some: those have no digest as a name.
            elif _DIGEST.fullmatch(file.stem) and file.name not in used:
                removed += remove_if_older(file, REGISTRATION_GRACE.total_seconds())
        return removed

    def _own_file(
        self, source: str, architecture: str | None = None, image_size: int | None = None
    ) -> str:
        """What the encoder is loaded from: the source, or our own file made of anyone else's."""
        if self._fetched is not None:
            source = self._fetched(source)
        path = Path(source)
        if not is_foreign(path):
            return source
        temporary = self._encoders.directory / f"{secrets.token_hex(8)}{_WRITING}"
        with stored_errors(temporary):
            fingerprint = convert_checkpoint(
                path, temporary, architecture=architecture, image_size=image_size
            )
            kept = temporary.with_name(f"{fingerprint}.safetensors")
            replace_durably(temporary, kept)
        return str(kept)

    def _keep(self, encoder: Encoder) -> Path:
        kept = self._encoders.directory / f"{encoder.fingerprint}{encoder.checkpoint.suffix}"
        if kept == encoder.checkpoint:
            return kept
        if kept.exists() and digest(kept) == digest(encoder.checkpoint):
            # Young again, so that nobody frees it before its version is registered.
            os.utime(kept)
            return kept
        temporary = kept.with_name(f"{secrets.token_hex(8)}{_WRITING}")
        with stored_errors(kept):
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(encoder.checkpoint, temporary)
            replace_durably(temporary, kept)
        return kept


def _register(session: Session, encoder: Encoder, kept: Path, *, origin: str) -> ModelVersion:
    return model_versions.register(
        session,
        # The name alone: a data folder may be moved, or put back elsewhere from a backup.
        weights=kept.name,
        fingerprint=encoder.fingerprint,
        architecture=encoder.architecture,
        dimension=encoder.dimension,
        origin=origin,
    )


def failed_checks(version: ModelVersion) -> list[dict[str, Any]]:
    """All checks of a version's last evaluation if one failed, else none."""
    gate = version.metrics.get("evaluation", {}).get("gate", {})
    return [] if gate.get("passed", True) else gate["checks"]


def _promote(session: Session, version_id: str, leaving_out: Collection[str] = ()) -> None:
    missing = embeddings.missing(session, version_id, limit=len(leaving_out) + 1)
    rows = images.by_number(session, [number for number, _ in missing])
    if any(row.id not in leaving_out for row in rows.values()):
        raise Conflict(
            f"The model version {version_id} has not embedded every image; reindex to it instead."
        )
    model_versions.promote(session, version_id)
