"""Let jobs take turns, keep checkpoints and records, and pause.

Revision ID: 0002
Revises: 0001
Create Date: 2026-11-25 04:50:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Document = sa.JSON().with_variant(JSONB(), "postgresql")
Moment = sa.DateTime(timezone=True)
RUNNING = sa.text("state = 'running'")


def upgrade() -> None:
    """Add the columns and the table; the reindexes that are there take turns too."""
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("turn", sa.String(length=32), nullable=True))
        jobs.add_column(sa.Column("checkpoint", Document, nullable=True))
        jobs.add_column(sa.Column("paused_at", Moment, nullable=True))
        jobs.add_column(sa.Column("paused_by", sa.String(length=100), nullable=True))
    op.execute("UPDATE jobs SET turn = 'model-versions' WHERE kind = 'reindex'")
    # Two that run at once could be left by workers that died; the oldest goes first.
    op.execute(
        "UPDATE jobs SET state = 'queued', leased_by = NULL, lease_expires_at = NULL "
        "WHERE state = 'running' AND kind = 'reindex' AND number > "
        "(SELECT MIN(number) FROM jobs WHERE state = 'running' AND kind = 'reindex')"
    )
    op.create_index(
        "ix_jobs_running_turn",
        "jobs",
        ["turn"],
        unique=True,
        sqlite_where=RUNNING,
        postgresql_where=RUNNING,
    )
    op.create_table(
        "job_records",
        sa.Column("number", Number, autoincrement=True, nullable=False),
        sa.Column("job_number", Number, nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("data", Document, nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.ForeignKeyConstraint(
            ["job_number"],
            ["jobs.number"],
            name="fk_job_records_job_number_jobs",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("number", name="pk_job_records"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_job_records_job_number_number", "job_records", ["job_number", "number"])


def downgrade() -> None:
    """Drop them; what they held is lost."""
    op.drop_index("ix_job_records_job_number_number", table_name="job_records")
    op.drop_table("job_records")
    op.drop_index(
        "ix_jobs_running_turn", table_name="jobs", sqlite_where=RUNNING, postgresql_where=RUNNING
    )
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_column("paused_by")
        jobs.drop_column("paused_at")
        jobs.drop_column("checkpoint")
        jobs.drop_column("turn")
