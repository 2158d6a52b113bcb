"""The layer that people touch: HTTP API, command line, web page, background jobs."""
