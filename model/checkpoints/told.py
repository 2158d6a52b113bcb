"""What is told of a model beside its weights."""

from dataclasses import dataclass

from model.preprocessing import Preprocessing
from model.tokenizers import TokenizerSettings
from model.towers.transformer import Activation


@dataclass(frozen=True, slots=True)
class TowerTold:
    """What a tower's shapes don't tell: its activation and heads; None is "as usual"."""

    activation: Activation | None = None
    heads: int | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What a configuration beside the weights says; None and the defaults where it says nothing.

    `image_size` is what the configuration claims, and must be that of the positions.
    """

    image: TowerTold = TowerTold()
    text: TowerTold = TowerTold()
    image_size: int | None = None
    end_token: int | None = None
    tokenizer: TokenizerSettings | None = None
    preprocessing: Preprocessing | None = None
