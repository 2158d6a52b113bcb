"""The layers, built once and closed together, for the API, the command line and the worker."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal

from app import model_sources
from app.errors import DataFolderUnusable
from app.settings import Settings
from index import (
    BlobStore,
    Collections,
    CollectionSearcher,
    Database,
    DuplicateFinder,
    DuplicateReview,
    Encoders,
    FaissKeeper,
    Importer,
    Indexer,
    IndexKeeper,
    IndexTender,
    JobQueue,
    Library,
    LiveIndex,
    MilvusKeeper,
    PairImporter,
    PairLibrary,
    PictureHashes,
    PictureReader,
    Probes,
    Reindexer,
    Repairer,
    Searcher,
    StackedSearcher,
    StorageError,
    Verifier,
    Versions,
    migrate,
    open_blobs,
)
from model import Encoder, RememberedLabels, load_encoder, set_precision, set_threads


@dataclass(frozen=True, slots=True)
class Services:
    """What handlers, commands and jobs work with.

    `warnings` tell what is not as it was set, though everything works.
    """

    settings: Settings
    database: Database
    blobs: BlobStore
    encoders: Encoders
    versions: Versions
    live: LiveIndex
    tender: IndexTender
    library: Library
    pictures: PictureReader
    remembered_labels: RememberedLabels
    indexer: Indexer
    importer: Importer
    pairs: PairLibrary
    pair_importer: PairImporter
    probes: Probes
    searcher: Searcher
    collections: Collections
    collection_searcher: CollectionSearcher
    duplicate_finder: DuplicateFinder
    duplicates: DuplicateReview
    reindexer: Reindexer
    verifier: Verifier
    repairer: Repairer
    jobs: JobQueue
    warnings: tuple[str, ...]


@contextmanager
def open_services(
    settings: Settings, *, load: Callable[[str], Encoder] = load_encoder
) -> Iterator[Services]:
    """Every service, ready; closed when the block ends, the index saved.

    The database is migrated and the model loaded; at the first start it becomes the live version.

    Raises DataFolderUnusable, DatabaseUnavailable, CheckpointError.
    """
    set_threads(settings.threads or os.cpu_count() or 1)
    with ExitStack() as stack:
        try:
            blobs = open_blobs(settings.data_dir, settings.blobs)
            blobs.check_writable()
        except StorageError as error:
            if not error.path.is_relative_to(settings.data_dir):
                raise
            raise DataFolderUnusable(settings.data_dir, error.reason) from error
        set_precision(settings.precision, remembered=settings.precision_file)
        database = Database(settings.effective_database_url)
        stack.callback(database.close)
        migrate(database, wait_seconds=settings.database_wait_seconds)
        encoders = Encoders(
            settings.models_dir,
            load,
            max_waiting=settings.max_waiting,
            refuses_long_texts=settings.long_texts == "refuse",
        )
        stack.callback(encoders.close)
        versions = Versions(database, encoders, partial(model_sources.fetched, settings))
        warnings = model_sources.ensure_live(versions, settings)
        keeper = open_keeper(settings, settings.vector_index)
        stack.callback(keeper.close)
        live = LiveIndex(database, encoders, keeper)
        stack.callback(live.close)
        tender = IndexTender(live, settings.index_goals)
        stack.callback(tender.close)
        limits = settings.image_limits
        pictures = PictureReader(limits, at_once=os.cpu_count() or 1)
        indexer = Indexer(database, blobs, encoders, live, pictures)
        stack.callback(indexer.close)
        library = Library(database, blobs, pictures)
        hashes = PictureHashes(database, blobs, pictures)
        searcher = Searcher(database, live, pictures)
        finder = DuplicateFinder(database, blobs, live, pictures, hashes)
        yield Services(
            settings=settings,
            database=database,
            blobs=blobs,
            encoders=encoders,
            versions=versions,
            live=live,
            tender=tender,
            library=library,
            pictures=pictures,
            remembered_labels=RememberedLabels(),
            indexer=indexer,
            importer=Importer(indexer, blobs, limits),
            pairs=PairLibrary(database, blobs, encoders),
            pair_importer=PairImporter(database, blobs, indexer, hashes, limits),
            probes=Probes(database),
            searcher=searcher,
            collections=Collections(database, indexer),
            collection_searcher=CollectionSearcher(
                database, searcher, StackedSearcher(database, searcher, finder)
            ),
            duplicate_finder=finder,
            duplicates=DuplicateReview(database, live, indexer, finder),
            reindexer=Reindexer(database, blobs, encoders, pictures),
            verifier=Verifier(database, blobs, live),
            repairer=Repairer(database, blobs, encoders, live, pictures),
            jobs=JobQueue(database),
            warnings=warnings,
        )


def open_keeper(settings: Settings, where: Literal["faiss", "milvus"]) -> IndexKeeper:
    """Where the vector indexes are. Raises IndexUnavailable."""
    if where == "faiss":
        return FaissKeeper(settings.index_dir)
    assert settings.milvus_uri is not None, "the settings were checked"
    token = settings.milvus_token
    return MilvusKeeper(settings.milvus_uri, token.get_secret_value() if token else None)


@contextmanager
def open_job_queue(settings: Settings) -> Iterator[JobQueue]:
    """The jobs alone, without a model in memory. Raises DatabaseUnavailable."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.effective_database_url)
    try:
        migrate(database, wait_seconds=settings.database_wait_seconds)
        yield JobQueue(database)
    finally:
        database.close()
