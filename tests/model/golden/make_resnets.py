"""Make `resnets.safetensors`: what OpenAI's ModifiedResNet gives for weights of a formula.

Needs `openai-clip` 1.0.1 beside the project, installed without what it depends on; the tests need
no such thing. Run from the repository's root:
`PYTHONPATH=. python tests/model/golden/make_resnets.py`.
"""

from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from tests.model.golden.formula import fill, noise

# Name: blocks of the stages, width, embedding width, side of the input.
TOWERS = {
    "tiny": ([1, 2, 1, 1], 8, 24, 96),
    "RN50": ([3, 4, 6, 3], 64, 1024, 224),
}


def reference() -> type[nn.Module]:
    """OpenAI's class, without the rest of its package, which asks for more to be installed."""
    package = find_spec("clip")
    assert package is not None
    assert package.origin is not None
    spec = spec_from_file_location("clip_model", Path(package.origin).with_name("model.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    found: type[nn.Module] = module.ModifiedResNet
    return found


@torch.no_grad()
def main() -> None:
    """Two pictures through each tower."""
    made = {}
    for name, (layers, width, embedding_width, side) in TOWERS.items():
        tower = reference()(layers, embedding_width, width // 2, side, width).eval()
        fill(tower.state_dict())
        made[name] = tower(2 * noise("pixels", torch.Size([2, 3, side, side])))
    save_file(made, Path(__file__).with_name("resnets.safetensors"))


if __name__ == "__main__":
    main()
