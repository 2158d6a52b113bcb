"""The networks that turn pixels or token ids into features, one architecture family a file."""
