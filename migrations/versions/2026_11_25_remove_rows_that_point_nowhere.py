"""Remove rows that point nowhere.

SQLite's foreign keys were off on one connection of every restarted service, so that deleting an
image left what belonged to it behind.

Revision ID: 0005
Revises: 0004
Create Date: 2026-11-25 05:55:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Each table whose rows go with a row of another, the column that names it, and where it points.
OF_OTHERS = (
    ("image_tags", "image_number", "images", "number"),
    ("embeddings", "image_number", "images", "number"),
    ("picture_hashes", "image_number", "images", "number"),
    ("near_duplicates", "first_number", "images", "number"),
    ("near_duplicates", "second_number", "images", "number"),
    ("paired_images", "image_number", "images", "number"),
    ("pairs", "image_number", "paired_images", "image_number"),
)


def upgrade() -> None:
    """Delete them; a number is never given again, so they are of no image to come."""
    for name, column, parent, key in OF_OTHERS:
        table = sa.table(name, sa.column(column))
        others = sa.table(parent, sa.column(key))
        op.execute(sa.delete(table).where(~sa.exists().where(others.c[key] == table.c[column])))


def downgrade() -> None:
    """Nothing: they are missed by nobody."""
