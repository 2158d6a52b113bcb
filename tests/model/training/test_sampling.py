"""What each step of a run sees."""

import dataclasses

import numpy as np
import pytest
import torch

from model.tokenizers import Tokens
from model.training.activations import Activations
from model.training.backbones import Classifier
from model.training.concepts import CLASSES, read_concepts
from model.training.sampling import Corpus, Dropout, StepSizes, draw
from model.training.synthesis import fit_synthesis
from model.training.texts import TextBank

CAPTIONED, OTHERS, VIEWS, FEATURES, ATTENTION = 10, 4, 2, 8, 4
NO_DROPOUT = Dropout(image=0, text=0, attention=0)
SIZES = StepSizes(captioned=4, captions_each=2, uncaptioned=3, classes=20, groups=2, synthetic=16)


@pytest.fixture
def corpus() -> Corpus:
    """Ten photos with three captions, four without, one prompt a class, three groups."""
    random = torch.Generator().manual_seed(1)
    photos = CAPTIONED + OTHERS
    features = torch.rand(photos, VIEWS, FEATURES, generator=random)
    maps = np.zeros((photos, VIEWS, 1, 1, 1), np.float16)
    classifier = Classifier(torch.randn(CLASSES, FEATURES, generator=random), torch.zeros(CLASSES))
    texts = 3 * CAPTIONED + CLASSES + 3
    return Corpus(
        activations=Activations(maps, maps, features),
        logits=features @ classifier.weight.T,
        texts=TextBank({}, [Tokens((2, 3), was_truncated=False)] * texts, torch.rand(texts, 6)),
        captions=[range(3 * photo, 3 * photo + 3) for photo in range(CAPTIONED)],
        class_prompts=[[3 * CAPTIONED + index] for index in range(CLASSES)],
        group_prompts=[[3 * CAPTIONED + CLASSES + index] for index in range(3)],
        membership=torch.ones(3, CLASSES),
        classifier=classifier,
        synthesis=fit_synthesis(features[:, 0], classifier),
        attention_width=ATTENTION,
    )


def generator(seed: int = 0) -> torch.Generator:
    """A seeded source of randomness."""
    return torch.Generator().manual_seed(seed)


def shown(corpus: Corpus, sizes: StepSizes, step: int) -> list[int]:
    """The photos of a step."""
    drawn = draw(corpus, sizes, NO_DROPOUT, step, 0, generator(step))
    photos: list[int] = drawn.seen.photos.tolist()
    return photos


def test_an_epoch_shows_each_captioned_photo_once(corpus: Corpus) -> None:
    """Two steps of four make an epoch of ten photos; none comes twice within it."""
    seen = [
        photo
        for step in range(2)
        for photo in draw(corpus, SIZES, NO_DROPOUT, step, 0, generator(step))
        .seen.photos[:4]
        .tolist()
    ]
    assert len(set(seen)) == 8
    assert max(seen) < CAPTIONED


def test_a_step_is_made_of_what_was_asked_for(corpus: Corpus) -> None:
    """Photos, captions, classes, groups and synthetic features come in the sizes given."""
    drawn = draw(corpus, SIZES, NO_DROPOUT, 5, 0, generator())
    targets = drawn.targets
    assert len(drawn.seen) == len(targets.logits) == 4 + 3
    assert all(photo >= CAPTIONED for photo in drawn.seen.photos[4:].tolist())
    assert len(targets.image_groups) == 4
    assert len(targets.caption_groups) == 8
    assert len(targets.classes) == len(set(targets.classes.tolist())) == 20
    assert len(drawn.text_rows) == len(targets.text_anchors) == 8 + 20 + 2
    assert set(targets.synthetic_classes.tolist()) <= set(targets.classes.tolist())


def test_captions_belong_to_their_photos(corpus: Corpus) -> None:
    """Each caption's group is that of the photo it describes."""
    drawn = draw(corpus, SIZES, NO_DROPOUT, 3, 0, generator())
    for row, group in zip(drawn.text_rows[:8].tolist(), drawn.targets.caption_groups, strict=True):
        place = drawn.seen.photos[:4].tolist().index(row // 3)
        assert drawn.targets.image_groups[place] == group


def test_a_step_repeats_with_its_number_and_generator(corpus: Corpus) -> None:
    """A resumed run sees in step 7 what the first one saw."""
    one, two = (draw(corpus, SIZES, NO_DROPOUT, 7, 0, generator(7)) for _ in range(2))
    assert torch.equal(one.seen.photos, two.seen.photos)
    assert torch.equal(one.text_rows, two.text_rows)
    assert torch.equal(one.targets.synthetic, two.targets.synthetic)


def test_a_small_table_still_fills_steps(corpus: Corpus) -> None:
    """Fewer photos than a step asks for are all shown, without an error."""
    sizes = StepSizes(64, 1, 0, 20, 2, 4)
    assert sorted(draw(corpus, sizes, NO_DROPOUT, 9, 0, generator()).seen.photos.tolist()) == list(
        range(10)
    )


def test_concepts_name_a_thousand_classes_and_their_groups() -> None:
    """Each class has several texts, and groups hold the classes that belong to them."""
    read = read_concepts()
    assert len(read.names) == len(read.class_prompts) == CLASSES
    assert min(len(prompts) for prompts in read.class_prompts) >= 8
    assert read.names[0] == "tench"
    assert "a photo of a tench." in read.class_prompts[0]
    dogs = next(row for row, prompts in enumerate(read.group_prompts) if prompts[1] == "dog")
    assert read.membership[dogs, 151:269].min() == 1
    assert read.membership[dogs, :151].max() == 0


def test_dropout_leaves_out_shares_and_keeps_the_sum(corpus: Corpus) -> None:
    """A fifth of the features is zero, the others make up for it; synthetic ones have no map."""
    sizes = dataclasses.replace(SIZES, synthetic=200)
    drawn = draw(corpus, sizes, Dropout(image=0.2, text=0.5, attention=0), 0, 0, generator())
    averaged = drawn.targets.image_mask[:, :FEATURES]
    assert set(averaged.unique().tolist()) == {0, 1.25}
    assert averaged.mean().item() == pytest.approx(1, abs=0.05)
    assert set(drawn.targets.text_mask.unique().tolist()) == {0, 2}
    assert drawn.targets.image_mask[-200:, FEATURES:].sum() == 0
    assert (drawn.targets.image_mask[:-200, FEATURES:] > 0).any()


def test_attention_is_left_out_of_whole_photos(corpus: Corpus) -> None:
    """With a share of one no photo has features pooled by attention, and all have the others."""
    drawn = draw(corpus, SIZES, Dropout(image=0, text=0, attention=1), 0, 0, generator())
    assert drawn.targets.image_mask[:, FEATURES:].sum() == 0
    assert (drawn.targets.image_mask[:, :FEATURES] == 1).all()
