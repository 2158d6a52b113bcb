"""`python -m app` is the `beholder` command."""

from app.cli import main

if __name__ == "__main__":
    main()
