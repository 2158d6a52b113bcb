"""Rows: the schema and one module per aggregate; functions take a `Session` and never commit."""
