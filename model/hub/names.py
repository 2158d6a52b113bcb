"""What a model on the hub is called: `hf-hub:owner/name@revision`, or as people know it."""

import re
from dataclasses import dataclass

from model.checkpoints.shapes import QUICK
from model.checkpoints.weights import WEIGHT_SUFFIXES
from model.errors import HubModelNotFound
from model.hub.known_names import OPEN_CLIP, OPENAI

PREFIX = "hf-hub:"
_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_-])?"
_ON_THE_HUB = re.compile(rf"({_PART}/{_PART})(?:@([A-Za-z0-9][A-Za-z0-9._/-]{{0,199}}))?")
# timm's names of its copies: architecture, a point, name of the weights.
_TIMM = re.compile(r"(?:vit|resnet)[a-z0-9_]*_clip[a-z0-9_]*\.[a-z0-9_]+")
# What ends so is a file of weights, there or not.
_FILES = (*WEIGHT_SUFFIXES, ".json")


@dataclass(frozen=True, slots=True)
class HubName:
    """A repository, `owner/name`, and a branch, tag or commit of it; None is its main branch."""

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        at = f"@{self.revision}" if self.revision else ""
        return f"{PREFIX}{self.repository}{at}"


def hub_name(name: str) -> HubName | None:
    """Where on the hub `name` is; None for what can only be a path or a model that is shipped.

    Beside `hf-hub:owner/name` and `owner/name`, each with `@revision` or without, these are the
    names of OpenAI ("ViT-B/32"), OpenCLIP ("ViT-B-32/laion2b_s34b_b79k") and timm
    ("vit_base_patch32_clip_224.openai"). Nothing is asked of the hub.

    Raises HubModelNotFound for a name that starts with the prefix and is none, and for weights that
    an architecture of OpenCLIP's is not known with.
    """
    if name in OPENAI:
        return HubName(OPEN_CLIP[OPENAI[name]]["openai"])
    if _TIMM.fullmatch(name):
        return HubName(f"timm/{name}")
    architecture, slash, weights = name.partition("/")
    known = OPEN_CLIP.get(architecture.removesuffix(QUICK))
    if known and slash:
        if weights not in known:
            raise HubModelNotFound(name, f"{architecture} is known with {', '.join(known)}")
        return HubName(known[weights])
    is_prefixed = name.startswith(PREFIX)
    match = _ON_THE_HUB.fullmatch(name.removeprefix(PREFIX))
    # The hub forbids these, and a path may have them.
    if match is None or ".." in match[1] or "--" in match[1]:
        if is_prefixed:
            raise HubModelNotFound(
                name, f"a name is {PREFIX}owner/name or {PREFIX}owner/name@revision"
            )
        return None
    if not is_prefixed and name.endswith(_FILES):
        return None
    return HubName(match[1], match[2])
