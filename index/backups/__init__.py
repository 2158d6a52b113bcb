"""Backups: one folder that holds everything a store can't make again, checked as a whole."""
