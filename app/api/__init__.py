"""The HTTP API: one router per resource, schemas, problem details."""
