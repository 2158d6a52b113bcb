"""Remember images that look alike, and what was decided about them.

Revision ID: 0004
Revises: 0003
Create Date: 2026-11-25 05:30:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the two tables."""
    op.create_table(
        "near_duplicates",
        sa.Column("first_number", Number, nullable=False),
        sa.Column("second_number", Number, nullable=False),
        sa.Column("grade", sa.String(length=16), nullable=False),
        sa.Column("differing_bits", sa.Integer(), nullable=True),
        sa.Column("cosine", sa.Double(), nullable=True),
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("decision", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(
            ["first_number"],
            ["images.number"],
            name="fk_near_duplicates_first_number_images",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["second_number"],
            ["images.number"],
            name="fk_near_duplicates_second_number_images",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("first_number", "second_number", name="pk_near_duplicates"),
    )
    op.create_index("ix_near_duplicates_second_number", "near_duplicates", ["second_number"])
    op.create_index(
        "ix_near_duplicates_decision_grade_first_number",
        "near_duplicates",
        ["decision", "grade", "first_number"],
    )
    op.create_table(
        "comparisons",
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("last_number", Number, nullable=False),
        sa.Column("same_cosine", sa.Double(), nullable=False),
        sa.Column("similar_cosine", sa.Double(), nullable=False),
        sa.Column("measured_on", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_version"],
            ["model_versions.id"],
            name="fk_comparisons_model_version_model_versions",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("model_version", name="pk_comparisons"),
    )


def downgrade() -> None:
    """Drop them; what was decided is lost."""
    op.drop_table("comparisons")
    op.drop_index("ix_near_duplicates_decision_grade_first_number", table_name="near_duplicates")
    op.drop_index("ix_near_duplicates_second_number", table_name="near_duplicates")
    op.drop_table("near_duplicates")
