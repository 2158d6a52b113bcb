"""Prompt templates: what is written round a label before the text tower reads it.

Source: Radford et al., 2021, section 3.1.4 (prompt engineering and ensembling).
"""

import unicodedata
from collections.abc import Mapping, Sequence

from model.errors import LabelError

_PLACE = "{label}"
BARE_TEMPLATE = _PLACE

PROMPT_TEMPLATES = (
    "A photo of a {label}.",
    "a picture of a {label}",
    "{label}",
    "a close-up photo of a {label}.",
    "a good photo of the {label}.",
)

TEMPLATE_SETS: Mapping[str, tuple[str, ...]] = {
    "default": PROMPT_TEMPLATES,
    "photos": (
        "A photo of a {label}.",
        "a photo of the {label}.",
        "a photo of the large {label}.",
        "a photo of the small {label}.",
        "a bad photo of the {label}.",
        "a cropped photo of a {label}.",
        "a bright photo of a {label}.",
        "a dark photo of a {label}.",
        "a {label} outdoors.",
        "a {label} indoors.",
    ),
    "products": (
        "A photo of a {label}.",
        "a product photo of a {label}.",
        "a {label} for sale.",
        "a {label} on a plain background.",
        "a catalogue picture of a {label}.",
        "a close-up of a {label}.",
        "{label}",
    ),
    "documents": (
        "a scan of a {label}.",
        "a photo of a {label} on paper.",
        "a page of a {label}.",
        "a printed {label}.",
        "a handwritten {label}.",
        "a screenshot of a {label}.",
        "a document: {label}",
    ),
    "art": (
        "a painting of a {label}.",
        "a drawing of a {label}.",
        "a sketch of a {label}.",
        "an illustration of a {label}.",
        "a sculpture of a {label}.",
        "a print of a {label}.",
        "artwork of a {label}.",
    ),
}
"""Sets of templates that a caller may name; which fits depends on what the pictures are."""


def templates_of(given: Sequence[str] | None) -> tuple[str, ...]:
    """The templates that a caller means: each entry is one, or the name of a set of them.

    None means the default ones. Raises LabelError for no entry, and for one that is neither.
    """
    if given is None:
        return PROMPT_TEMPLATES
    if not given:
        raise LabelError("Give at least one template, or none at all for the default ones.")
    meant: list[str] = []
    for entry in given:
        if _PLACE in entry:
            meant.append(entry)
        elif (named := TEMPLATE_SETS.get(entry.strip())) is not None:
            meant += named
        else:
            raise LabelError(
                f"The template {entry!r} has no place for the {{label}}, "
                f"and is no set of templates either ({', '.join(TEMPLATE_SETS)})."
            )
    return tuple(dict.fromkeys(meant))


def prompts_of(label: str, templates: Sequence[str]) -> list[str]:
    """The label in each template; both are text, never a format string."""
    return [template.replace(_PLACE, label.strip()) for template in templates]


def check_labels(labels: Sequence[str]) -> None:
    """Raise LabelError for no label, a blank one, or the same one twice.

    Blanks, case and the Unicode form of accents do not tell a label from another.
    """
    if not labels:
        raise LabelError("Give at least one label.")
    seen: set[str] = set()
    for position, label in enumerate(labels):
        key = label_key(label)
        if not key:
            raise LabelError(f"Label {position + 1} is blank.")
        if key in seen:
            raise LabelError(f"The label {label.strip()!r} is given twice.")
        seen.add(key)


def label_key(label: str) -> str:
    """What two spellings of one label have in common."""
    return " ".join(unicodedata.normalize("NFC", label).split()).casefold()
