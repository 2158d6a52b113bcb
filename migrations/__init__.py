"""Alembic revisions of the SQL schema; `beholder migrate` applies them."""
