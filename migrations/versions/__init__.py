"""One file per revision, dated, in order."""
