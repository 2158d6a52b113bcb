"""Groups of commands that `app.cli` puts together, one module each."""
