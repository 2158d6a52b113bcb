"""How the compact model is made: two pretrained towers taught to share one space.

1. `views`: each photo goes through the frozen lower part of the image tower once, in every view.
2. `heads`: the two projections learn alone, on the features of the frozen towers.
3. `towers`: the upper image tower and the upper text tower learn too, by cached gradients.
4. `settle`: the projections learn alone again, on the features of the new towers: a step of theirs
   sees all thousand classes, which is too much for a step of the towers.
5. `blend`: weights between the ends of 2 and 4 are tried on the dev split, the best is kept
   (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022).
6. `hubs`: some of the captions become the bank that tells which images are hubs.
"""

import copy
import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from model.checkpoints import Checkpoint, write_checkpoint
from model.errors import TrainingError
from model.hubs import HubAwareImages
from model.serving import native_precision
from model.tokenizers import Tokenizer, TokenizerSettings
from model.towers.bert import Bert
from model.towers.efficientnet_lite import EfficientNetLite, as_channels_last, fold_norms
from model.training.activations import Activations, Seen, finish_views, take_views
from model.training.backbones import read_image_backbone, read_text_backbone
from model.training.cached_gradients import backward_in_chunks
from model.training.concepts import read_concepts
from model.training.dev_split import DevSplit, Score
from model.training.objective import objective
from model.training.pairs import read_pairs, read_photos
from model.training.sampling import Corpus, draw
from model.training.settings import CompactSettings, Trained, TrainingProgress
from model.training.synthesis import fit_synthesis
from model.training.texts import TextBank, read_texts, text_chunks
from model.training.trainer import FitSettings, RateGroup, StepFunction, Trainer
from model.zoo import ARCHITECTURES, PREPROCESSING

NAME = "compact"
_IMAGE_CHUNK = 32
_TEXT_CHUNK = 64
# So many photos tell what an image has of a hub in the mean.
_LEVEL_PHOTOS = 512
_BLENDS = (0.4, 0.55, 0.7, 0.85, 1.0)


def train_compact(
    settings: CompactSettings, progress: Callable[[TrainingProgress], None]
) -> Trained:
    """Make the compact model and write it to `settings.out`. The same command repeats the result.

    Raises TrainingError for tables, packages or states that cannot be used, NonFiniteLoss when
    training runs away (the last checkpoint stays), ImageError for a photo that cannot be decoded.
    """
    run = _Run(settings, progress)
    heads = run.fit_heads()
    run.fit_towers()
    settled = run.settle()
    run.blend(heads, settled)
    score = run.hold_hubs_back()
    fingerprint = run.write()
    return Trained(settings.out, fingerprint, score)


class _Run:
    """The model in the making and all it learns from."""

    def __init__(
        self, settings: CompactSettings, progress: Callable[[TrainingProgress], None]
    ) -> None:
        self.settings = settings
        self.progress = progress
        architecture = ARCHITECTURES[NAME]
        torch.manual_seed(settings.seed)
        self.model = architecture.build()
        image_state, self.classifier = read_image_backbone()
        text_state, definition = read_text_backbone(architecture.text.positions)
        self.tokenizer = Tokenizer(TokenizerSettings(definition), architecture.text.positions)
        fresh = {
            name: tensor
            for name, tensor in self.model.image_tower.state_dict().items()
            if "attention." in name
        }
        self.model.image_tower.load_state_dict(image_state | fresh)
        self.model.text_tower.load_state_dict(text_state)
        # Evaluation mode throughout: batch-norm statistics stay ImageNet's, and the chunks of a
        # batch must not see each other.
        self.model.eval()
        as_channels_last(self.model.image_tower)
        assert isinstance(self.model.image_tower, EfficientNetLite)
        assert isinstance(self.model.text_tower, Bert)
        self.image_tower, self.text_tower = self.model.image_tower, self.model.text_tower
        # Below, nothing is trained; views are kept from there.
        self.frozen_blocks = self.image_tower.config.early_blocks
        self.corpus = self._read_corpus()
        self.dev = self._read_dev()

    def fit_heads(self) -> dict[str, Tensor]:
        """The state after the projections alone have learnt."""
        return self._fit_heads("heads", self.settings.heads, self.settings.head_rate)

    def settle(self) -> dict[str, Tensor]:
        """The state after the projections have learnt again, on the towers as they are now."""
        corpus = self.corpus
        activations = finish_views(
            corpus.activations,
            self._serving_tower(),
            blocks=self.frozen_blocks,
            file=self.settings.run_folder / "settle.last",
            progress=lambda done, total: self._tell("new features", done, total),
        )
        self.corpus = dataclasses.replace(
            corpus,
            activations=activations,
            texts=self._read_texts(corpus.texts.rows, "new texts"),
            synthesis=fit_synthesis(activations.features[:, 0], self.classifier),
        )
        return self._fit_heads("settle", self.settings.settle, self.settings.settle_rate)

    def _fit_heads(self, stage: str, fit: FitSettings, rate: float) -> dict[str, Tensor]:
        corpus, settings = self.corpus, self.settings
        activations = corpus.activations

        def step(number: int, random: torch.Generator) -> Tensor:
            drawn = draw(
                corpus, settings.head_sizes, settings.dropout, number, settings.seed, random
            )
            seen = drawn.seen
            averaged = activations.features[seen.photos, seen.views]
            pooled = self.image_tower.pooled(
                activations.lower_maps(seen), activations.last_maps(seen)
            )
            loss = objective(
                self.model,
                self.classifier,
                self.settings.weights,
                drawn.targets,
                torch.cat([averaged, *pooled], dim=-1),
                corpus.texts.features[drawn.text_rows],
            )
            loss.backward()  # type: ignore[no-untyped-call]
            return loss.detach()

        return self._fit(stage, fit, [RateGroup(self._heads(), rate)], step)

    def fit_towers(self) -> dict[str, Tensor]:
        """The state after the towers have learnt too; lower parts are frozen from now on."""
        settings = self.settings
        self._freeze_lower()

        def step(number: int, random: torch.Generator) -> Tensor:
            return self._tower_step(number, random)

        groups = [
            RateGroup(self._heads(), settings.tower_head_rate),
            RateGroup((self.image_tower.blocks, self.image_tower.head), settings.image_rate),
            RateGroup((self.text_tower,), settings.text_rate),
        ]
        return self._fit("towers", settings.towers, groups, step)

    def blend(self, heads: dict[str, Tensor], settled: dict[str, Tensor]) -> None:
        """Go to the best state between the two, by the dev split; without one, to the second."""
        self.model.load_state_dict(settled)
        if self.dev is None:
            return
        best, best_state = -math.inf, settled
        for done, share in enumerate(_BLENDS, start=1):
            state = {
                name: torch.lerp(heads[name], tensor, share)
                if tensor.is_floating_point()
                else tensor
                for name, tensor in settled.items()
            }
            self.model.load_state_dict(state)
            score = self.dev.score(self.model)
            self._tell("blend", done, len(_BLENDS), f"{share:.2f}: {score}")
            if score.total > best:
                best, best_state = score.total, state
        self.model.load_state_dict(best_state)

    @torch.inference_mode()
    def hold_hubs_back(self) -> Score | None:
        """Give the model its bank of texts; gives the score of what is written."""
        images, settings = self.model.image_projection, self.settings
        assert isinstance(images, HubAwareImages)
        random = torch.Generator().manual_seed(settings.seed)
        captions = [row for rows in self.corpus.captions for row in rows]
        drawn = _drawn(captions, len(images.bank), random)
        tokens = [self.corpus.texts.tokens[row] for row in drawn]
        chunks, places = text_chunks(self.text_tower, tokens, _TEXT_CHUNK)
        texts = self.model.text_projection(torch.cat([chunk() for chunk in chunks])[places])
        photos = torch.tensor(_drawn(range(len(self.corpus.logits)), _LEVEL_PHOTOS, random))
        as_served = torch.zeros_like(photos)
        seen = Seen(photos, as_served, as_served.bool())
        features = torch.cat([chunk() for chunk in self._image_chunks(seen)])
        images.hold_back(texts, images(features), settings.hub_strength)
        score = self.dev.score(self.model) if self.dev else None
        self._tell("hubs", 1, 1, str(score or ""))
        return score

    def write(self) -> str:
        """Write the checkpoint; gives its fingerprint."""
        # Half precision takes nothing that embeddings show, and the file ships with the program.
        halves = {
            name: t.half() if t.is_floating_point() else t
            for name, t in self.model.state_dict().items()
        }
        checkpoint = Checkpoint(
            NAME, ARCHITECTURES[NAME], PREPROCESSING[NAME], self.tokenizer.settings, halves
        )
        return write_checkpoint(checkpoint, self.settings.out)

    def _fit(
        self, stage: str, fit: FitSettings, groups: list[RateGroup], step: StepFunction
    ) -> dict[str, Tensor]:
        state_file = self.settings.run_folder / f"{stage}.safetensors"
        trainer = Trainer(self.model, groups, fit, state_file, self._recipe())
        trainer.resume()

        def after_step(done: int, loss: float) -> None:
            message = f"loss {loss:.3f}"
            if self.dev and (done % self.settings.evaluate_steps == 0 or done == fit.steps):
                with trainer.averaged() as model:
                    message += f", {self.dev.score(model)}"
            self._tell(stage, done, fit.steps, message)

        trainer.run(step, after_step)
        with trainer.averaged() as model:
            averaged = copy.deepcopy(model.state_dict())
        self.model.load_state_dict(averaged)
        return averaged

    def _recipe(self) -> str:
        # What may change between the starts of one run: where it writes and how often it measures.
        same = dataclasses.replace(
            self.settings, out=Path(), run_folder=Path(), dev=None, evaluate_steps=0
        )
        return repr(same)

    def _tower_step(self, number: int, random: torch.Generator) -> Tensor:
        corpus = self.corpus
        drawn = draw(
            corpus,
            self.settings.tower_sizes,
            self.settings.dropout,
            number,
            self.settings.seed + 1,
            random,
        )
        images = self._image_chunks(drawn.seen)
        tokens = [corpus.texts.tokens[row] for row in drawn.text_rows.tolist()]
        texts, places = text_chunks(self.text_tower, tokens, _TEXT_CHUNK)

        def loss_of(image_features: Tensor, text_features: Tensor) -> Tensor:
            return objective(
                self.model,
                self.classifier,
                self.settings.weights,
                drawn.targets,
                image_features,
                text_features[places],
            )

        return backward_in_chunks([images, texts], loss_of)

    def _image_chunks(self, seen: Seen) -> list[Callable[[], Tensor]]:
        def features(part: Seen) -> Tensor:
            lower = self.corpus.activations.lower_maps(part)
            return self.image_tower.finish(lower, self.frozen_blocks)

        return [
            partial(features, seen[at : at + _IMAGE_CHUNK])
            for at in range(0, len(seen), _IMAGE_CHUNK)
        ]

    def _heads(self) -> tuple[nn.Module, ...]:
        tower = self.image_tower
        pools = (pool for pool in (tower.attention, tower.early_attention) if pool is not None)
        return (self.model.image_projection, self.model.text_projection, *pools)

    def _freeze_lower(self) -> None:
        lower = [self.image_tower.stem, *self.image_tower.blocks[: self.frozen_blocks]]
        # Word vectors of the few words in the captions must not move away from all the others.
        early = self.text_tower.layers[: self.settings.frozen_layers]
        for module in (*lower, self.text_tower.embeddings, *early):
            module.requires_grad_(requires_grad=False)

    def _read_corpus(self) -> Corpus:
        settings = self.settings
        captioned = [photo for table in settings.pairs for photo in read_pairs(table)]
        if not captioned:
            raise TrainingError("No table of pairs was given.")
        others = [path for source in settings.photos for path in read_photos(source)]
        concepts = read_concepts()
        texts = self._read_texts(
            [
                *(text for photo in captioned for text in photo.captions),
                *(text for prompts in concepts.class_prompts for text in prompts),
                *(text for prompts in concepts.group_prompts for text in prompts),
            ],
            "texts",
        )
        activations = self._take_views([*(photo.path for photo in captioned), *others], "views")
        return Corpus(
            activations=activations,
            logits=activations.features @ self.classifier.weight.T + self.classifier.bias,
            texts=texts,
            captions=[texts.rows_of(photo.captions) for photo in captioned],
            class_prompts=[texts.rows_of(prompts) for prompts in concepts.class_prompts],
            group_prompts=[texts.rows_of(prompts) for prompts in concepts.group_prompts],
            membership=concepts.membership,
            classifier=self.classifier,
            synthesis=fit_synthesis(activations.features[:, 0], self.classifier),
            attention_width=self.image_tower.config.output_width - self.image_tower.config.features,
        )

    def _read_dev(self) -> DevSplit | None:
        if self.settings.dev is None:
            return None
        photos = read_pairs(self.settings.dev)
        activations = self._take_views([photo.path for photo in photos], "dev", views=1)
        return DevSplit(
            photos,
            activations,
            self.frozen_blocks,
            activations.features[:, 0] @ self.classifier.weight.T + self.classifier.bias,
            read_concepts().names,
            self.tokenizer,
        )

    def _take_views(self, photos: list[Path], stage: str, views: int | None = None) -> Activations:
        return take_views(
            photos,
            self._serving_tower(),
            PREPROCESSING[NAME],
            blocks=self.frozen_blocks,
            views=views or self.settings.views,
            seed=self.settings.seed,
            file=self.settings.run_folder / f"{stage}.activations",
            progress=lambda done, total: self._tell(stage, done, total),
        )

    def _serving_tower(self) -> EfficientNetLite:
        tower = copy.deepcopy(self.image_tower)
        fold_norms(tower)
        tower.to(dtype=native_precision())
        as_channels_last(tower)
        return tower

    def _read_texts(self, texts: Iterable[str], stage: str) -> TextBank:
        return read_texts(
            texts,
            self.tokenizer,
            copy.deepcopy(self.text_tower).to(dtype=native_precision()),
            lambda done, total: self._tell(stage, done, total),
        )

    def _tell(self, stage: str, done: int, total: int, message: str = "") -> None:
        self.progress(TrainingProgress(stage, done, total, message))


def _drawn(rows: Sequence[int], count: int, random: torch.Generator) -> list[int]:
    """As many of the rows at random, each as often as any other, or once less."""
    order = torch.randperm(len(rows), generator=random).repeat(-(-count // len(rows)))
    return [rows[place] for place in order[:count].tolist()]
