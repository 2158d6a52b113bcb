"""Create the tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Document = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
CLAIMABLE = sa.text("state IN ('queued', 'running')")
Moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make every table of the first version."""
    op.create_table(
        "change_counter",
        sa.Column("only", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("value", Number, nullable=False),
        sa.PrimaryKeyConstraint("only", name="pk_change_counter"),
    )
    op.execute('INSERT INTO change_counter ("only", value) VALUES (1, 0)')
    op.create_table(
        "changes",
        sa.Column("sequence", Number, autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("image_number", Number, nullable=True),
        sa.Column("model_version", sa.String(length=64), nullable=True),
        sa.Column("at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_changes"),
    )
    op.create_table(
        "images",
        sa.Column("number", Number, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("collection", sa.String(length=100), nullable=False),
        sa.Column("filename", sa.String(length=255), nullable=False),
        sa.Column("format", sa.String(length=16), nullable=False),
        sa.Column("media_type", sa.String(length=64), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("taken_at", sa.DateTime(), nullable=True),
        sa.Column("taken_offset_minutes", sa.Integer(), nullable=True),
        sa.Column("caption", sa.Text(), nullable=True),
        sa.Column("metadata", Document, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_images"),
        sa.UniqueConstraint("collection", "sha256", name="uq_images_collection_sha256"),
        sa.UniqueConstraint("id", name="uq_images_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_images_collection_number", "images", ["collection", "number"])
    op.create_index("ix_images_sha256", "images", ["sha256"])
    op.create_index("ix_images_taken_at", "images", ["taken_at"])
    op.create_table(
        "jobs",
        sa.Column("number", Number, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("arguments", Document, nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=True),
        sa.Column("unit", sa.String(length=16), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("result", Document, nullable=True),
        sa.Column("problem", Document, nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("leased_by", sa.String(length=64), nullable=True),
        sa.Column("lease_expires_at", Moment, nullable=True),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("started_at", Moment, nullable=True),
        sa.Column("finished_at", Moment, nullable=True),
        sa.Column("updated_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_jobs"),
        sa.UniqueConstraint("id", name="uq_jobs_id"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_jobs_claimable", "jobs", ["number"], sqlite_where=CLAIMABLE, postgresql_where=CLAIMABLE
    )
    op.create_table(
        "model_versions",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("weights", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("architecture", sa.String(length=64), nullable=False),
        sa.Column("dimension", sa.Integer(), nullable=False),
        sa.Column("origin", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("metrics", Document, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("promoted_at", Moment, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_model_versions"),
    )
    op.create_table(
        "embeddings",
        sa.Column("image_number", Number, nullable=False),
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_number"],
            ["images.number"],
            name="fk_embeddings_image_number_images",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["model_version"],
            ["model_versions.id"],
            name="fk_embeddings_model_version_model_versions",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("image_number", "model_version", name="pk_embeddings"),
    )
    op.create_index(
        "ix_embeddings_model_version_image_number",
        "embeddings",
        ["model_version", "image_number"],
        unique=True,
    )
    op.create_table(
        "image_tags",
        sa.Column("image_number", Number, nullable=False),
        sa.Column("tag", sa.String(length=100), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_number"],
            ["images.number"],
            name="fk_image_tags_image_number_images",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("image_number", "tag", name="pk_image_tags"),
    )
    op.create_index("ix_image_tags_tag_image_number", "image_tags", ["tag", "image_number"])
    op.create_table(
        "serving",
        sa.Column("only", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("live_version", sa.String(length=64), nullable=False),
        sa.Column("previous_version", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["live_version"], ["model_versions.id"], name="fk_serving_live_version_model_versions"
        ),
        sa.ForeignKeyConstraint(
            ["previous_version"],
            ["model_versions.id"],
            name="fk_serving_previous_version_model_versions",
        ),
        sa.PrimaryKeyConstraint("only", name="pk_serving"),
    )


def downgrade() -> None:
    """Drop them all."""
    op.drop_table("serving")
    op.drop_index("ix_image_tags_tag_image_number", table_name="image_tags")
    op.drop_table("image_tags")
    op.drop_index("ix_embeddings_model_version_image_number", table_name="embeddings")
    op.drop_table("embeddings")
    op.drop_table("model_versions")
    op.drop_index(
        "ix_jobs_claimable", table_name="jobs", sqlite_where=CLAIMABLE, postgresql_where=CLAIMABLE
    )
    op.drop_table("jobs")
    op.drop_index("ix_images_taken_at", table_name="images")
    op.drop_index("ix_images_sha256", table_name="images")
    op.drop_index("ix_images_collection_number", table_name="images")
    op.drop_table("images")
    op.drop_table("changes")
    op.drop_table("change_counter")
