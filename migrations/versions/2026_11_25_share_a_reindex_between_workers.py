"""Share a reindex between workers.

Revision ID: 0006
Revises: 0005
Create Date: 2026-11-25 05:55:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table of ranges."""
    op.create_table(
        "reindex_claims",
        sa.Column("number", Number, autoincrement=True, nullable=False),
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("worker", sa.String(length=64), nullable=False),
        sa.Column("first_number", Number, nullable=False),
        sa.Column("last_number", Number, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_done", sa.Boolean(), nullable=False),
        sa.Column("embedded", sa.Integer(), nullable=False),
        sa.Column("copied", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_version"],
            ["model_versions.id"],
            name="fk_reindex_claims_model_version_model_versions",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("number", name="pk_reindex_claims"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_reindex_claims_model_version_is_done", "reindex_claims", ["model_version", "is_done"]
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_index("ix_reindex_claims_model_version_is_done", table_name="reindex_claims")
    op.drop_table("reindex_claims")
