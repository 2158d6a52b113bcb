"""Let collections have settings.

Revision ID: 0007
Revises: 0006
Create Date: 2026-11-25 09:50:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, with a row of default settings for each collection that has images."""
    moment = sa.DateTime(timezone=True)
    made = op.create_table(
        "collections",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("min_score", sa.Double(), nullable=True),
        sa.Column("group_duplicates", sa.Boolean(), nullable=False),
        sa.Column("accepts_uploads", sa.Boolean(), nullable=False),
        sa.Column("searched_by_default", sa.Boolean(), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_collections"),
    )
    op.create_index("ix_images_collection_size_bytes", "images", ["collection", "size_bytes"])
    images = sa.table("images", sa.column("collection"), sa.column("created_at", moment))
    used = sa.select(
        images.c.collection,
        sa.false(),
        sa.true(),
        sa.true(),
        sa.func.min(images.c.created_at),
    ).group_by(images.c.collection)
    settings = ["group_duplicates", "accepts_uploads", "searched_by_default"]
    op.execute(sa.insert(made).from_select(["name", *settings, "created_at"], used))


def downgrade() -> None:
    """Drop it with the settings; images keep the names of their collections."""
    op.drop_index("ix_images_collection_size_bytes", table_name="images")
    op.drop_table("collections")
