"""Every setting, from `BEHOLDER_*` environment variables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from index import (
    IndexGoals,
    check_blobs_url,
    check_database_url,
    check_milvus_installed,
    sqlite_url,
)
from model import ImageLimits, Precision


class Settings(BaseSettings):
    """What can be set. A value that makes no sense stops the start and names its variable."""

    model_config = SettingsConfigDict(env_prefix="BEHOLDER_", frozen=True, extra="ignore")

    data_dir: Path = Field(
        default=Path("data"),
        description="Folder of everything kept: images, database, model weights, index.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="SQLAlchemy URL of the database; default is SQLite inside the data folder.",
    )
    blobs: str | None = Field(
        default=None,
        description="s3://bucket/prefix for the image files; default is the data folder.",
    )
    model: str = Field(
        default="compact",
        min_length=1,
        description="Name or checkpoint path of the model at the first start and for `reindex`.",
    )
    model_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(),
        description="Folders, as a JSON list, whose checkpoints the API may register.",
    )
    hub_models: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Models of the hub, as a JSON list of `owner/name` with `*` for anything, that "
        "the API may fetch.",
    )
    hub_token: SecretStr | None = Field(
        default=None,
        min_length=1,
        description="Token for models that are not for everyone; default is HF_TOKEN.",
    )
    hub_endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s]+$",
        description="URL of the hub or a mirror of it; default is HF_ENDPOINT or the public hub.",
    )
    hub_cache: Path | None = Field(
        default=None,
        description="Folder of fetched models, in the layout of `huggingface_hub`; default is "
        "`hub` inside the data folder.",
    )
    hub_offline: bool = Field(
        default=False, description="Whether to take models from that folder alone."
    )
    picture_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(),
        description="Folders, as a JSON list, whose pictures an import may name by path.",
    )
    max_bytes: int = Field(
        default=50_000_000, ge=1_000, le=2_000_000_000, description="Largest image file, in bytes."
    )
    max_pixels: int = Field(
        default=100_000_000,
        ge=1,
        le=2_000_000_000,
        description="Largest picture, in pixels; decoding one takes about 4 bytes a pixel.",
    )
    max_request_bytes: int = Field(
        default=1_000_000_000,
        ge=1_000,
        description="Largest request with files, in bytes; bounds a batch upload.",
    )
    max_batch_files: int = Field(
        default=100, ge=1, le=10_000, description="Most files in one batch upload."
    )
    long_texts: Literal["cut", "refuse"] = Field(
        default="cut",
        description="What is done with a text over the model's context length: it is cut and the "
        "answer warns of it, or it is refused.",
    )
    max_waiting: int = Field(
        default=512,
        ge=1,
        le=100_000,
        description="Most pictures and texts waiting for the model; more are answered 503.",
    )
    max_uploads_at_once: int = Field(
        default=64, ge=1, le=10_000, description="Most uploads in hand; more are answered 503."
    )
    max_pause_seconds: float = Field(
        default=60,
        ge=1,
        le=3_600,
        description="How long a request's body may pause, in seconds; then it is answered 408.",
    )
    threads: int = Field(
        default=0, ge=0, le=1_024, description="Threads of the model; 0 takes every core."
    )
    precision: Precision = Field(
        default="auto",
        description="Number format of the model: float32, bfloat16, or the faster of them here.",
    )
    worker: bool = Field(
        default=True, description="Whether `serve` starts a worker for jobs beside itself."
    )
    root_path: str = Field(
        default="",
        pattern=r"^(/[^?#]*[^/?#])?$",
        description="Path prefix that a reverse proxy strips, such as /photos.",
    )
    trusted_proxies: str = Field(
        default="127.0.0.1",
        description="Comma-separated addresses whose X-Forwarded-* headers are believed.",
    )
    database_wait_seconds: float = Field(
        default=30, ge=0, le=3_600, description="How long to wait for a database at the start."
    )
    milvus_uri: str | None = Field(
        default=None,
        min_length=1,
        description="URI of the Milvus server, or the path of a Milvus Lite file; needs the extra "
        "`milvus`.",
    )
    milvus_token: SecretStr | None = Field(
        default=None, description="Token, or `user:password`, of the Milvus server."
    )
    vector_index: Literal["faiss", "milvus"] = Field(
        default="faiss",
        description="Where the vectors are searched: in each process, or by Milvus.",
    )
    index_recall: float = Field(
        default=0.99,
        ge=0.5,
        le=1,
        description="Share of the ten nearest images that a tuned index has to find.",
    )
    index_latency_ms: float = Field(
        default=5,
        gt=0,
        le=10_000,
        description="How long a vector search may take, in milliseconds, before an index that "
        "looks at a part of the images takes the place of exact search.",
    )
    index_kind: Literal["auto", "exact", "ivf", "hnsw"] = Field(
        default="auto", description="Kind of index; `auto` chooses by measuring."
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="Log lines for people or for machines."
    )

    @field_validator("data_dir", "hub_cache", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if value == "":
            # It would be the present folder, whichever that is.
            raise ValueError("name a folder")
        return value

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        try:
            return value.expanduser().absolute()
        except RuntimeError as error:
            raise ValueError("there is no such user") from error

    @field_validator("vector_index")
    @classmethod
    def _reachable(cls, value: str, info: ValidationInfo) -> str:
        if value == "milvus":
            if info.data.get("milvus_uri") is None:
                raise ValueError("it needs BEHOLDER_MILVUS_URI too")
            check_milvus_installed()
        return value

    @field_validator("blobs")
    @classmethod
    def _in_a_bucket(cls, value: str | None) -> str | None:
        if value is not None:
            check_blobs_url(value)
        return value

    @field_validator("database_url")
    @classmethod
    def _supported(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            check_database_url(value.get_secret_value())
        return value

    @field_validator("model_roots", "picture_roots", "hub_models", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return json.loads(value) if isinstance(value, str) else value

    @property
    def models_dir(self) -> Path:
        """Where the weights of the model versions are kept."""
        return self.data_dir / "models"

    @property
    def effective_hub_cache(self) -> Path:
        """Where models from the hub are kept, whether set or not."""
        return self.hub_cache or self.data_dir / "hub"

    @property
    def precision_file(self) -> Path:
        """Where it is remembered which precision is the faster on this machine."""
        return self.data_dir / "precision.json"

    @property
    def index_dir(self) -> Path:
        """Where the index is saved."""
        return self.data_dir / "index"

    @property
    def effective_database_url(self) -> str:
        """The database's URL, whether set or not. It may hold a password."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return sqlite_url(self.data_dir / "beholder.db")

    def as_environment(self) -> dict[str, str]:
        """The variables that give another process these very settings; one may be a password."""
        values = self.model_dump(mode="json", exclude_none=True)
        values["database_url"] = self.effective_database_url
        for name in ("milvus_token", "hub_token"):
            if (secret := getattr(self, name)) is not None:
                values[name] = secret.get_secret_value()
        return {
            f"BEHOLDER_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in values.items()
        }

    @property
    def index_goals(self) -> IndexGoals:
        """What the vector index is tuned for."""
        return IndexGoals(
            recall=self.index_recall,
            latency_seconds=self.index_latency_ms / 1e3,
            kind=self.index_kind,
        )

    @property
    def image_limits(self) -> ImageLimits:
        """The caps on a picture."""
        return ImageLimits(max_bytes=self.max_bytes, max_pixels=self.max_pixels)
