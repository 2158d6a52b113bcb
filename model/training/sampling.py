"""What each step sees: photos in views, captions, class and group texts, synthetic features.

Shape letters as in `objective`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.training.activations import Activations, Seen
from model.training.backbones import Classifier
from model.training.concepts import CLASSES
from model.training.objective import Targets
from model.training.synthesis import FeatureSynthesis
from model.training.texts import TextBank


@dataclass(frozen=True, slots=True)
class StepSizes:
    """How many of each a step sees; `classes` may be all thousand."""

    captioned: int
    captions_each: int
    uncaptioned: int
    classes: int
    groups: int
    synthetic: int


@dataclass(frozen=True, slots=True)
class Dropout:
    """The shares of features that a step leaves out, so that no few of them decide.

    `attention` is the share of photos seen without the features pooled by attention at all, which
    the synthetic features, never seen as a map, have none of.
    """

    image: float
    text: float
    attention: float


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """All a run learns from; photos with captions come first in `activations`.

    `captions` has the text rows of each captioned photo, `class_prompts` and `group_prompts` those
    of each class and group, `membership` (G, K) which classes a group has. `logits` (P, V, K) are
    the classifier's.
    """

    activations: Activations
    logits: Tensor
    texts: TextBank
    captions: Sequence[Sequence[int]]
    class_prompts: Sequence[Sequence[int]]
    group_prompts: Sequence[Sequence[int]]
    membership: Tensor
    classifier: Classifier
    synthesis: FeatureSynthesis
    attention_width: int


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """One step's choice: views of photos, text rows, and what is known about them."""

    seen: Seen  # (N,)
    text_rows: Tensor  # (M + C + G,)
    targets: Targets


def draw(
    corpus: Corpus,
    sizes: StepSizes,
    dropout: Dropout,
    step: int,
    seed: int,
    random: torch.Generator,
) -> Drawn:
    """The choice of `step`; photos with captions come in epochs, each once an epoch."""
    captioned = len(corpus.captions)
    photos = torch.tensor(places_of_epoch(captioned, sizes.captioned, step, seed))  # (B,)
    captions, owners = [], []
    for place, photo in enumerate(photos.tolist()):
        rows = corpus.captions[photo]
        for choice in torch.randperm(len(rows), generator=random)[: sizes.captions_each].tolist():
            captions.append(rows[choice])
            owners.append(place)
    image_groups, caption_groups = joint_groups(len(photos), owners, captions)
    total = len(corpus.logits)
    if total > captioned:
        others = torch.randint(captioned, total, (sizes.uncaptioned,), generator=random)
        photos = torch.cat([photos, others])
    views = torch.randint(corpus.logits.shape[1], (len(photos),), generator=random)
    is_mirrored = torch.rand(len(photos), generator=random) < 0.5
    classes = torch.randperm(CLASSES, generator=random)[: sizes.classes]
    named = classes[torch.randint(len(classes), (sizes.synthetic,), generator=random)]
    groups = torch.randperm(len(corpus.group_prompts), generator=random)[: sizes.groups]
    text_rows = torch.tensor(
        [
            *captions,
            *(_one_of(corpus.class_prompts[index], random) for index in classes.tolist()),
            *(_one_of(corpus.group_prompts[index], random) for index in groups.tolist()),
        ]
    )
    targets = Targets(
        image_groups=image_groups,
        caption_groups=caption_groups,
        classes=classes,
        membership=corpus.membership[groups],
        logits=corpus.logits[photos, views].float(),
        synthetic=corpus.synthesis.draw(named, random),
        synthetic_classes=named,
        text_anchors=corpus.texts.features[text_rows],
        image_mask=_image_mask(corpus, dropout, len(photos), len(named), random),
        text_mask=_kept((len(text_rows), corpus.texts.features.shape[1]), dropout.text, random),
    )
    return Drawn(Seen(photos, views, is_mirrored), text_rows, targets)


def joint_groups(images: int, owners: Sequence[int], texts: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Groups of `images` images and of the texts they own: (images,) and (len(texts),) integers.

    An image and its texts are one group, and images that own the same text are one group too: in
    a batch, neither may count as a wrong answer for the other.
    """
    group = list(range(images))

    def find(image: int) -> int:
        while group[image] != image:
            image = group[image]
        return image

    first_owner: dict[int, int] = {}
    for owner, text in zip(owners, texts, strict=True):
        known = first_owner.setdefault(text, owner)
        group[find(owner)] = find(known)
    image_groups = torch.tensor([find(image) for image in range(images)])
    return image_groups, image_groups[torch.tensor(list(owners))]


def places_of_epoch(count: int, size: int, step: int, seed: int) -> list[int]:
    """Places `step * size` and following of an endless row of shuffled epochs of `count` items."""
    size = min(size, count)
    per_epoch = count // size
    epoch, place = divmod(step, per_epoch)
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    order = torch.randperm(count, generator=generator)
    return order[place * size : (place + 1) * size].tolist()


def _image_mask(
    corpus: Corpus, dropout: Dropout, photos: int, synthetic: int, random: torch.Generator
) -> Tensor:
    averaged, pooled = corpus.activations.features.shape[-1], corpus.attention_width
    mask = _kept((photos + synthetic, averaged + pooled), dropout.image, random)
    mask[:photos, averaged:] *= torch.rand(photos, 1, generator=random) >= dropout.attention
    mask[photos:, averaged:] = 0
    return mask


def _kept(shape: tuple[int, int], share: float, random: torch.Generator) -> Tensor:
    """Zeros where a feature is left out, elsewhere the factor that keeps the sum the same."""
    return (torch.rand(shape, generator=random) >= share).float() / (1 - share)


def _one_of(rows: Sequence[int], random: torch.Generator) -> int:
    return rows[int(torch.randint(len(rows), (1,), generator=random))]
