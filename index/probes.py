"""The owner's probes: examples drawn from the stored pairs, and what was trained on them, kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any

import numpy as np

from index.errors import Conflict, ProbeOfAnotherModel, TextRejected
from index.store import embeddings, pairs, probes
from index.store.database import Database
from index.store.model_versions import ModelVersion
from index.store.pairs import Pair
from index.store.probes import ProbeRecord
from index.uploads import clean_text
from model import LinearProbe, ProbeExamples, draw_shots, label_key

NAME_CHARACTERS = 100
# A gigabyte of the widest embeddings; more tell hardly more.
EXAMPLES_ALLOWED = 250_000
# A text that one image alone has is a caption, or teaches nothing that could be checked.
IMAGES_NEEDED = 2


@dataclass(frozen=True, slots=True)
class LabelledPairs:
    """Pairs whose texts are labels: image numbers by the side they are on, with their labels.

    `several` counts images left out because they have several labels, `rare` texts that fewer
    images have than it takes for a label.
    """

    train: dict[int, str]
    held_out: dict[int, str]
    several: int
    rare: int


@dataclass(frozen=True, slots=True)
class DrawnExamples:
    """Examples to train on and to choose by, embedded by one model version.

    `missing` counts images that this version has not embedded.
    """

    train: ProbeExamples
    held_out: ProbeExamples
    missing: int


def probe_name(text: str) -> str:
    """The name, as it is kept. Raises TextRejected for one that no address can hold."""
    name = clean_text(text, "/name", max_characters=NAME_CHARACTERS).strip()
    if not name:
        raise TextRejected("/name", "a probe has a name")
    if name.startswith(".") or not name.isprintable() or {"/", "\\"} & set(name):
        raise TextRejected("/name", "a probe's name has no slash and does not begin with a dot")
    return name


class Probes:
    """Reads and writes probes. Thread-safe; calls block for the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[ProbeRecord]:
        """Every probe, by name. Raises DatabaseUnavailable."""
        with self._database.reading() as session:
            return probes.all_probes(session)

    def get(self, name: str) -> ProbeRecord:
        """What is known of a probe. Raises NotFound, DatabaseUnavailable."""
        with self._database.reading() as session:
            return probes.get(session, name)[0]

    def load(self, name: str, version: ModelVersion) -> LinearProbe:
        """The probe, for embeddings of this version.

        Raises NotFound, ProbeOfAnotherModel when it was trained on those of another,
        ProbeDamaged, DatabaseUnavailable.
        """
        with self._database.reading() as session:
            _, content = probes.get(session, name)
        probe = LinearProbe.from_bytes(content)
        if probe.fingerprint != version.fingerprint:
            raise ProbeOfAnotherModel(name, probe.fingerprint, version.id)
        return probe

    def save(self, name: str, probe: LinearProbe, details: dict[str, Any]) -> ProbeRecord:
        """Keep a probe, in place of the one that has this name.

        Raises TextRejected, DatabaseUnavailable.
        """
        kept = probe_name(name)
        content = probe.to_bytes()
        with self._database.writing() as session:
            return probes.put(
                session, kept, fingerprint=probe.fingerprint, content=content, details=details
            )

    def delete(self, name: str) -> None:
        """Remove a probe. Raises NotFound, DatabaseUnavailable."""
        with self._database.writing() as session:
            probes.delete(session, name)

    def labelled(self, *, collection: str | None = None) -> LabelledPairs:
        """The stored pairs as labels of images, of one collection or of all.

        Spellings that differ by case or blanks are one label, written as most of them are. Raises
        Conflict when fewer than two labels are left, DatabaseUnavailable.
        """
        with self._database.reading() as session:
            every = chain.from_iterable(pairs.stream(session))
            found = _labelled(
                pair for pair in every if collection is None or pair.collection == collection
            )
        if len(set(found.train.values())) < 2:
            where = "" if collection is None else f" of the collection {collection!r}"
            raise Conflict(
                f"The pairs{where} do not name two labels that {IMAGES_NEEDED} images to train on "
                "have each; add pairs whose texts are labels."
            )
        return found

    def examples(
        self, labelled: LabelledPairs, version: ModelVersion, *, shots: int | None, seed: int
    ) -> DrawnExamples:
        """The embeddings by one version, `shots` to train on for each label; None for all.

        Raises DatabaseUnavailable.
        """
        labels = set(labelled.train.values())
        at_most = max(1, EXAMPLES_ALLOWED // len(labels))
        train = _drawn(labelled.train, min(shots or at_most, at_most), seed)
        held_out = _drawn(labelled.held_out, at_most, seed)
        return DrawnExamples(
            train=(learned := self._embedded(train, version)),
            held_out=(judges := self._embedded(held_out, version)),
            missing=len(train) + len(held_out) - len(learned) - len(judges),
        )

    def _embedded(self, labelled: dict[int, str], version: ModelVersion) -> ProbeExamples:
        with self._database.reading() as session:
            stored = embeddings.stored(session, version.id, version.dimension, list(labelled))
        # The same examples in the same order make the same probe.
        order = np.argsort(stored.numbers)
        return ProbeExamples(
            stored.vectors[order].astype(np.float32),
            tuple(labelled[number] for number in stored.numbers[order].tolist()),
        )


def _labelled(pairs: Iterable[Pair]) -> LabelledPairs:
    keys: dict[str, dict[int, str]] = {"train": {}, "validation": {}}
    spellings: dict[str, Counter[str]] = {}
    several = 0
    for number, of_image in groupby(pairs, key=lambda pair: pair.image_number):
        together = list(of_image)
        of_this = {label_key(pair.text): pair.text.strip() for pair in together}
        if len(of_this) > 1:
            several += 1
            continue
        ((key, text),) = of_this.items()
        keys[together[0].side][number] = key
        spellings.setdefault(key, Counter())[text] += 1
    uses = Counter(keys["train"].values())
    names = {
        key: written.most_common(1)[0][0]
        for key, written in spellings.items()
        if uses[key] >= IMAGES_NEEDED
    }
    return LabelledPairs(
        train={number: names[key] for number, key in keys["train"].items() if key in names},
        held_out={number: names[key] for number, key in keys["validation"].items() if key in names},
        several=several,
        rare=len(spellings) - len(names),
    )


def _drawn(labelled: dict[int, str], shots: int, seed: int) -> dict[int, str]:
    numbers = list(labelled)
    places = draw_shots(list(labelled.values()), shots, seed=seed)
    return {numbers[place]: labelled[numbers[place]] for place in places}
