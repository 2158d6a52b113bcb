"""Keep pairs of image and text, and what images look like.

Revision ID: 0003
Revises: 0002
Create Date: 2026-11-25 05:00:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the three tables."""
    op.create_table(
        "picture_hashes",
        sa.Column("image_number", Number, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_number"],
            ["images.number"],
            name="fk_picture_hashes_image_number_images",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("image_number", name="pk_picture_hashes"),
    )
    op.create_table(
        "paired_images",
        sa.Column("image_number", Number, nullable=False),
        sa.Column("split_group", Number, nullable=False),
        sa.Column("side", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_number"],
            ["images.number"],
            name="fk_paired_images_image_number_images",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("image_number", name="pk_paired_images"),
    )
    op.create_index("ix_paired_images_split_group", "paired_images", ["split_group"])
    op.create_table(
        "pairs",
        sa.Column("number", Number, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("image_number", Number, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("text_sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.ForeignKeyConstraint(
            ["image_number"],
            ["paired_images.image_number"],
            name="fk_pairs_image_number_paired_images",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("number", name="pk_pairs"),
        sa.UniqueConstraint("id", name="uq_pairs_id"),
        sa.UniqueConstraint(
            "image_number", "text_sha256", name="uq_pairs_image_number_text_sha256"
        ),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("pairs")
    op.drop_index("ix_paired_images_split_group", table_name="paired_images")
    op.drop_table("paired_images")
    op.drop_table("picture_hashes")
