"""What is wrong with a set of pairs, said before an hour is spent on training with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from index.pairs.training_set import PairedImage, TrainingPairs

EXAMPLES_SHOWN = 5
# Fewer can't be split so that both sides say anything.
IMAGES_NEEDED = 10
# Below this the figures of a validation move by points with a single image.
IMAGES_ADVISED = 40
DOMINANT_SHARE = 0.8
TEXTS_PER_CALL = 1_000
ASKING_THREADS = 16

Code = Literal[
    "no_pairs",
    "too_few_pairs",
    "one_text",
    "texts_too_long",
    "images_missing",
    "no_validation_images",
    "no_training_images",
    "all_duplicates",
]


@dataclass(frozen=True, slots=True)
class Example:
    """One image or text that a finding is about."""

    image_id: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong; an error makes training pointless, a warning worse than it could."""

    code: Code
    level: Literal["error", "warning"]
    detail: str
    count: int
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True)
class PairCheck:
    """What a set of pairs is made of, and what is wrong with it; errors come first."""

    pairs: int
    images: int
    texts: int
    train_images: int
    validation_images: int
    findings: tuple[Finding, ...]

    @property
    def is_trainable(self) -> bool:
        """Whether no finding is an error."""
        return not any(finding.level == "error" for finding in self.findings)


def check_pairs(
    found: TrainingPairs,
    *,
    are_truncated: Callable[[Sequence[str]], Sequence[bool]],
    context_length: int,
    has_file: Callable[[str], bool],
) -> PairCheck:
    """What is wrong with these pairs for a model that reads `context_length` tokens.

    `are_truncated` says which texts that model would cut, `has_file` whether the bytes of a
    SHA-256 are stored; it is called by several threads and may wait for a network.
    """
    images = [*found.train, *found.validation]
    # How many images have a text, whatever its capitals.
    uses = Counter(text for image in images for text in {one.casefold() for one in image.texts})
    texts = list(dict.fromkeys(text for image in images for text in image.texts))
    findings: list[Finding] = []
    if not images:
        findings.append(Finding("no_pairs", "error", "There are no pairs.", 0))
    else:
        findings += _about_numbers(found, images)
        findings += _about_texts(images, uses)
        findings += _too_long(texts, are_truncated, context_length)
        findings += _missing(images, has_file)
    return PairCheck(
        pairs=sum(len(image.texts) for image in images),
        images=len(images),
        texts=len(texts),
        train_images=len(found.train),
        validation_images=len(found.validation),
        findings=tuple(sorted(findings, key=lambda finding: finding.level)),
    )


def _about_numbers(found: TrainingPairs, images: Sequence[PairedImage]) -> list[Finding]:
    findings: list[Finding] = []
    count = len(images)
    if count < IMAGES_ADVISED:
        level: Literal["error", "warning"] = "error" if count < IMAGES_NEEDED else "warning"
        detail = (
            f"Pairs of {count} images are few: at least {IMAGES_NEEDED} are needed, and from about "
            f"{IMAGES_ADVISED} on the figures of a validation mean something."
        )
        findings.append(Finding("too_few_pairs", level, detail, count))
    if count > 1 and len({image.group for image in images}) == 1:
        detail = "All images look alike: there is nothing to tell one from another by."
        findings.append(Finding("all_duplicates", "error", detail, count, _some(images)))
    if not found.validation:
        detail = "No image is kept for validation, so nothing can be measured: add other images."
        findings.append(Finding("no_validation_images", "error", detail, 0))
    if not found.train:
        detail = "Every image is kept for validation, so nothing can be learned: add other images."
        findings.append(Finding("no_training_images", "error", detail, 0))
    return findings


def _about_texts(images: Sequence[PairedImage], uses: Counter[str]) -> list[Finding]:
    ((text, count),) = uses.most_common(1)
    if len(images) == 1 or count <= DOMINANT_SHARE * len(images):
        return []
    is_only = len(uses) == 1
    having = [image for image in images if text in {one.casefold() for one in image.texts}]
    return [
        Finding(
            "one_text",
            "error" if is_only else "warning",
            f"{count} of {len(images)} images have the same text, which tells none from another.",
            count,
            tuple(Example(image.image_id, image.texts[0]) for image in having[:EXAMPLES_SHOWN]),
        )
    ]


def _too_long(
    texts: list[str],
    are_truncated: Callable[[Sequence[str]], Sequence[bool]],
    context_length: int,
) -> list[Finding]:
    cut: list[str] = []
    for start in range(0, len(texts), TEXTS_PER_CALL):
        chunk = texts[start : start + TEXTS_PER_CALL]
        cut += [text for text, is_cut in zip(chunk, are_truncated(chunk), strict=True) if is_cut]
    if not cut:
        return []
    detail = (
        f"{len(cut)} texts have over {context_length} tokens; the model does not read the rest."
    )
    examples = tuple(Example(text=text) for text in cut[:EXAMPLES_SHOWN])
    return [Finding("texts_too_long", "warning", detail, len(cut), examples)]


def _missing(images: Sequence[PairedImage], has_file: Callable[[str], bool]) -> list[Finding]:
    with ThreadPoolExecutor(ASKING_THREADS, thread_name_prefix="check-pairs") as pool:
        are_there = pool.map(has_file, (image.sha256 for image in images))
        missing = [image for image, is_there in zip(images, are_there, strict=True) if not is_there]
    if not missing:
        return []
    level: Literal["error", "warning"] = "error" if len(missing) == len(images) else "warning"
    detail = f"The files of {len(missing)} images are missing from the store."
    return [Finding("images_missing", level, detail, len(missing), _some(missing))]


def _some(images: Sequence[PairedImage]) -> tuple[Example, ...]:
    return tuple(Example(image.image_id, image.texts[0]) for image in images[:EXAMPLES_SHOWN])
