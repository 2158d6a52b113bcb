"""The layer that remembers and finds: SQL, image files, the vector index.

Other layers import from here only.
"""

from index.archives import Archive, is_archive
from index.arrivals import Added
from index.backups.maker import BackedUp, BackupMaker
from index.backups.restorer import Restored, Restorer, prove_restored
from index.blob_places import check_blobs_url, open_blobs
from index.blobs import THUMBNAIL_SIZE, BlobStore, StoredBytes, stored_errors
from index.collection_search import CollectionSearcher
from index.collections import CollectionPage, Collections
from index.duplicates.finder import DuplicateFinder
from index.duplicates.review import DuplicateGroup, DuplicatePage, DuplicateReview
from index.duplicates.stacking import StackedSearcher
from index.encoders import Encoders
from index.errors import (
    ArchiveError,
    BackupDamaged,
    CancellingQuery,
    CollectionClosed,
    CollectionNotEmpty,
    Conflict,
    CursorError,
    DatabaseUnavailable,
    DigestMismatch,
    DimensionMismatch,
    EmbeddingRejected,
    EmptyQuery,
    FilterError,
    IndexUnavailable,
    MissingFile,
    NotBetter,
    NotFound,
    PartRefused,
    ProbeOfAnotherModel,
    QueryError,
    RetrievalError,
    SnapshotError,
    StorageError,
    StorageFull,
    TableError,
    TextRejected,
    member_pointer,
)
from index.filling import move
from index.filters import Condition, condition
from index.importer import Imported, Importer, Refusal, count_files, files_below
from index.indexer import Indexer
from index.job_queue import JobPage, JobQueue, JobRecordPage
from index.library import ImagePage, Library
from index.live_index import Generation, LiveIndex
from index.pairs.checking import Finding, PairCheck
from index.pairs.importer import PairImporter, PairsAdded
from index.pairs.library import PairLibrary, PairPage
from index.pairs.rows import Refused
from index.pairs.sources import NamedFile, OpenedSources, opened_sources
from index.pairs.tables import ImageName, TableFormat, TableLine
from index.pairs.training_set import PairedImage, TrainingPairs
from index.picture_hashes import PictureHashes
from index.pictures import PictureReader
from index.probes import DrawnExamples, LabelledPairs, Probes, probe_name
from index.reindexer import Cancelled, Reindexed, Reindexer
from index.repairer import Repair, Repairer
from index.searcher import (
    LIMIT_ALLOWED,
    PARTS_ALLOWED,
    Hit,
    ImagePart,
    Part,
    PicturePart,
    Query,
    Searcher,
    SearchResult,
    TextPart,
)
from index.store.collections import Collection, CollectionSettings
from index.store.database import Database, check_database_url, sqlite_url
from index.store.images import ImageRecord
from index.store.job_leases import LeaseLost
from index.store.job_records import JobRecord
from index.store.job_rows import Job
from index.store.migrating import migrate
from index.store.model_versions import ModelVersion
from index.store.pairs import Pair, Side
from index.store.probes import ProbeRecord
from index.tending import IndexState, IndexTender
from index.uploads import (
    COLLECTION_CHARACTERS,
    DEFAULT_COLLECTION,
    Upload,
    Words,
    printable_name,
)
from index.vectors.keeping import FaissKeeper, IndexKeeper
from index.vectors.milvus_index import MilvusKeeper, check_milvus_installed
from index.vectors.tuning import IndexGoals
from index.verifier import Disagreement, Verifier
from index.versions import Versions

__all__ = [
    "COLLECTION_CHARACTERS",
    "DEFAULT_COLLECTION",
    "LIMIT_ALLOWED",
    "PARTS_ALLOWED",
    "THUMBNAIL_SIZE",
    "Added",
    "Archive",
    "ArchiveError",
    "BackedUp",
    "BackupDamaged",
    "BackupMaker",
    "BlobStore",
    "Cancelled",
    "CancellingQuery",
    "Collection",
    "CollectionClosed",
    "CollectionNotEmpty",
    "CollectionPage",
    "CollectionSearcher",
    "CollectionSettings",
    "Collections",
    "Condition",
    "Conflict",
    "CursorError",
    "Database",
    "DatabaseUnavailable",
    "DigestMismatch",
    "DimensionMismatch",
    "Disagreement",
    "DrawnExamples",
    "DuplicateFinder",
    "DuplicateGroup",
    "DuplicatePage",
    "DuplicateReview",
    "EmbeddingRejected",
    "EmptyQuery",
    "Encoders",
    "FaissKeeper",
    "FilterError",
    "Finding",
    "Generation",
    "Hit",
    "ImageName",
    "ImagePage",
    "ImagePart",
    "ImageRecord",
    "Imported",
    "Importer",
    "IndexGoals",
    "IndexKeeper",
    "IndexState",
    "IndexTender",
    "IndexUnavailable",
    "Indexer",
    "Job",
    "JobPage",
    "JobQueue",
    "JobRecord",
    "JobRecordPage",
    "LabelledPairs",
    "LeaseLost",
    "Library",
    "LiveIndex",
    "MilvusKeeper",
    "MissingFile",
    "ModelVersion",
    "NamedFile",
    "NotBetter",
    "NotFound",
    "OpenedSources",
    "Pair",
    "PairCheck",
    "PairImporter",
    "PairLibrary",
    "PairPage",
    "PairedImage",
    "PairsAdded",
    "Part",
    "PartRefused",
    "PictureHashes",
    "PicturePart",
    "PictureReader",
    "ProbeOfAnotherModel",
    "ProbeRecord",
    "Probes",
    "Query",
    "QueryError",
    "Refusal",
    "Refused",
    "Reindexed",
    "Reindexer",
    "Repair",
    "Repairer",
    "Restored",
    "Restorer",
    "RetrievalError",
    "SearchResult",
    "Searcher",
    "Side",
    "SnapshotError",
    "StackedSearcher",
    "StorageError",
    "StorageFull",
    "StoredBytes",
    "TableError",
    "TableFormat",
    "TableLine",
    "TextPart",
    "TextRejected",
    "TrainingPairs",
    "Upload",
    "Verifier",
    "Versions",
    "Words",
    "check_blobs_url",
    "check_database_url",
    "check_milvus_installed",
    "condition",
    "count_files",
    "files_below",
    "is_archive",
    "member_pointer",
    "migrate",
    "move",
    "open_blobs",
    "opened_sources",
    "printable_name",
    "probe_name",
    "prove_restored",
    "sqlite_url",
    "stored_errors",
]
