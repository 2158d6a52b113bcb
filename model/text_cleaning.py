"""What is done to a text before a tokenizer sees it, as the tower's authors did it."""

import html
from typing import Literal

import ftfy

Cleaning = Literal["none", "clip"]


def clean(text: str, cleaning: Cleaning) -> str:
    """The text as the tower was trained on it; it may have no character left.

    "clip" is that of OpenAI's tokenizer: mis-decoded text repaired, HTML entities resolved twice,
    every run of white space one blank, lower case. "none" leaves the text alone.
    """
    if cleaning == "none":
        return text
    text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(text.split()).lower()
