"""Vectors and their nearest neighbours; derived from SQL, never the truth."""
