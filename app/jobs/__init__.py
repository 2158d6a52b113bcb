"""Long work: a worker that claims jobs, and one module per kind of job."""
