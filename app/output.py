"""Text on a terminal or in a table of lines, whatever it is made of."""

from __future__ import annotations


def one_line(text: str) -> str:
    """The text in one line, with "�" for what would move the cursor or end a field."""
    return "".join(character if character.isprintable() else "�" for character in text)
