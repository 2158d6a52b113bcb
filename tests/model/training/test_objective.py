"""What the compact model is asked to do, and the synthetic features it is asked on."""

import dataclasses

import pytest
import torch
from torch import Tensor

from model.training.backbones import Classifier
from model.training.objective import Targets, Weights, objective
from model.training.synthesis import fit_synthesis
from tests.model import tiny

FEATURES, CLASSES = tiny.ARCHITECTURE.image.features, 6
WIDTH = tiny.ARCHITECTURE.image.output_width
NOTHING = Weights(
    captions=0, classes=0, ranking=0, groups=0, keep_images=0, keep_texts=0, class_scale=30
)


def classifier(seed: int = 0) -> Classifier:
    """Random weights that tell the classes well apart."""
    random = torch.Generator().manual_seed(seed)
    return Classifier(torch.randn(CLASSES, FEATURES, generator=random), torch.zeros(CLASSES))


def photos(count: int, seed: int = 1, width: int = WIDTH) -> Tensor:
    """Features of `count` photos, none below zero."""
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)).relu()


def targets(images: Tensor, texts: Tensor) -> Targets:
    """Four captioned images of eight, three classes, two groups, five synthetic features."""
    synthesis = fit_synthesis(photos(200, seed=2, width=FEATURES), classifier())
    named = torch.tensor([0, 2, 4, 0, 2])
    return Targets(
        image_groups=torch.arange(4),
        caption_groups=torch.tensor([0, 0, 1, 2, 3]),
        classes=torch.tensor([4, 0, 2]),
        membership=torch.tensor([[1.0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1]]),
        logits=images[:, :FEATURES] @ classifier().weight.T,
        synthetic=synthesis.draw(named, torch.Generator().manual_seed(3)),
        synthetic_classes=named,
        text_anchors=texts.detach().clone(),
        image_mask=torch.ones(len(images) + len(named), images.shape[1]),
        text_mask=torch.ones(texts.shape),
    )


@pytest.mark.parametrize("part", [field.name for field in dataclasses.fields(Weights)[:-1]])
def test_each_part_alone_can_be_learnt(part: str) -> None:
    """Gradient descent on one part at a time lowers it: no sign or axis is wrong."""
    torch.manual_seed(0)
    model = tiny.ARCHITECTURE.build()
    images = photos(8).requires_grad_()
    texts = torch.randn(5 + 3 + 2, 16, requires_grad=True)
    known = targets(images.detach(), texts)
    if part.startswith("keep"):
        with torch.no_grad():
            images += 0.5 * torch.randn_like(images)
            texts += torch.randn_like(texts)
    weights = dataclasses.replace(NOTHING, **{part: 1.0})
    optimizer = torch.optim.Adam([images, texts, *model.parameters()], lr=5e-3)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = objective(model, classifier(), weights, known, images, texts)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert losses[-1] > -1e-4


def test_parts_of_weight_zero_are_left_out() -> None:
    """With every weight at zero nothing is asked for."""
    model = tiny.ARCHITECTURE.build()
    images, texts = photos(8), torch.randn(10, 16)
    assert objective(model, classifier(), NOTHING, targets(images, texts), images, texts) == 0


def test_synthetic_features_are_what_the_classifier_takes_for_their_class() -> None:
    """Most are classified as what they were drawn for, and none is below zero."""
    synthesis = fit_synthesis(photos(400, width=FEATURES), classifier())
    named = torch.arange(CLASSES).repeat(50)
    drawn = synthesis.draw(named, torch.Generator().manual_seed(4))
    assert drawn.min() >= 0
    assert ((drawn @ classifier().weight.T).argmax(dim=1) == named).float().mean() > 0.8


def test_synthetic_features_repeat_with_their_generator() -> None:
    """A resumed run draws the same features."""
    synthesis = fit_synthesis(photos(400, width=FEATURES), classifier())
    one, two = (
        synthesis.draw(torch.arange(CLASSES), torch.Generator().manual_seed(5)) for _ in range(2)
    )
    assert torch.equal(one, two)
