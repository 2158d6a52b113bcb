"""Images and texts a second of the encoder alone, against other ways to run the same model.

    python benchmarks/encoder.py [--model ViT-B-32] [--images 64] [--texts 64] [--repeats 5]

`--model` is `compact` or one of CLIP's architectures, whose random weights time the same as trained
ones. Compared, interleaved, in one run:

- ours in float32 and in bfloat16, from 8-bit pixels and from text to unit vectors;
- the plain modules of `model/towers/` in float32;
- for vision transformers `transformers` as people run it: CLIPModel, float32, scaled-dot-product
  attention, texts padded to 77;
- ONNX Runtime with the image tower of the plain modules, where `onnxruntime` and `onnx` are
  installed (they are no dependency);
- the machine's matrix rate: the fastest of a few square bfloat16 products.

The others get normalised tensors and token ids, so that their preprocessing costs nothing. The
median of the repeats after one of warm-up; every batch has 32 images, or the 32 texts, except that
ours splits as it likes. The share of the matrix rate counts all operations of the plain tower. The
cosine is the least of all images, or texts, to the plain float32 modules.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from report import bar_plot, publish
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from model import Encoder
from model.byte_pairs import clip_tokenizer
from model.checkpoints import build_model, build_tokenizer, read_checkpoint
from model.dual_encoder import DualEncoder
from model.encoder import checkpoint_path
from model.preprocessing import CLIP_DEVIATION, CLIP_MEAN, Preprocessing, to_tensor
from model.tokenizers import Tokenizer, pad
from model.towers.vision_transformer import VisionTransformerConfig
from model.zoo import CLIP_ARCHITECTURES

BATCH = 32
# Queries one after another, as a service has them: of a single one between other work, most of the
# time would go into bringing the weights back into the caches.
QUERIES = 10
MATRIX_SIDES = (1024, 2048, 4096)

Work = Callable[[], Any]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="compact", choices=["compact", *CLIP_ARCHITECTURES])
    parser.add_argument("--images", type=int, default=2 * BATCH)
    parser.add_argument("--texts", type=int, default=2 * BATCH)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.manual_seed(0)
    plain, tokenizer, preprocessing = modules(options.model)
    ours = {
        name: Encoder(
            plain,
            tokenizer,
            preprocessing,
            name=options.model,
            fingerprint="",
            checkpoint=Path(),
            precision=dtype,
        )
        for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16))
    }
    side = preprocessing.image_size
    random = np.random.default_rng(0)
    pixels = [
        random.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(options.images)
    ]
    sentences = [
        f"two people walk past {number} red cars in the rain" for number in range(options.texts)
    ]
    prepared = to_tensor(pixels, preprocessing).contiguous()
    tokens = tokenizer(sentences)
    with torch.inference_mode():
        operations = count_operations(plain, prepared[:1])
        peers = peers_of(options.model, plain, prepared, tokens)
        candidates: dict[tuple[str, str], Work] = {}
        for name, encoder in ours.items():
            candidates["images", f"ours, {name}"] = lambda e=encoder: e.embed_pixels(pixels)
            candidates["texts", f"ours, {name}"] = lambda e=encoder: e.embed_texts(sentences)
            candidates["one text at a time", f"ours, {name}"] = lambda e=encoder: [
                e.embed_texts([sentence]) for sentence in sentences[:QUERIES]
            ]
        candidates |= peers
        for matrix_side in MATRIX_SIDES:
            square = torch.randn(matrix_side, matrix_side).bfloat16()
            candidates["matrix", str(matrix_side)] = lambda s=square: s @ s
        seconds = interleaved(candidates, options.repeats)
        exact = candidates["images", "plain modules, float32"]()
        exact_texts = candidates["texts", "plain modules, float32"]()
        cosines = {
            name: (
                float((encoder.embed_pixels(pixels) * exact).sum(1).min()),
                float((encoder.embed_texts(sentences).vectors * exact_texts).sum(1).min()),
            )
            for name, encoder in ours.items()
        }
    rate = max(
        2 * int(name) ** 3 / statistics.median(taken)
        for (what, name), taken in seconds.items()
        if what == "matrix"
    )
    counts = {"images": options.images, "texts": options.texts, "one text at a time": QUERIES}
    rows = [
        row(what, name, counts[what], taken, seconds, operations / rate)
        for (what, name), taken in sorted(seconds.items())
        if what in counts
    ]
    publish(
        f"encoder_{options.model}",
        rows,
        threads=torch.get_num_threads(),
        batch=BATCH,
        matrix_rate_gflops=rate / 1e9,
        gflop_an_image=operations / 1e9,
        least_cosine={
            name: {"images": images, "texts": texts} for name, (images, texts) in cosines.items()
        },
    )
    print(f"bfloat16 matrix rate {rate / 1e9:.0f} GFLOP/s, an image {operations / 1e9:.2f} GFLOP")
    for name, (images, texts) in cosines.items():
        print(f"least cosine to plain float32, {name}: images {images:.5f}, texts {texts:.5f}")
    bar_plot(
        f"encoder_{options.model}",
        [line for line in rows if line["what"] == "images"],
        "how",
        "a second, median",
    )


def modules(name: str) -> tuple[DualEncoder, Tokenizer, Preprocessing]:
    """The plain modules, in evaluation mode, and what goes with them."""
    if name not in CLIP_ARCHITECTURES:
        with checkpoint_path(name) as path:
            checkpoint, _ = read_checkpoint(path)
        return build_model(checkpoint), build_tokenizer(checkpoint), checkpoint.preprocessing
    architecture = CLIP_ARCHITECTURES[name]
    size = architecture.image.image_size
    return (
        architecture.build().eval(),
        Tokenizer(clip_tokenizer(), architecture.context_length),
        Preprocessing(size, "shortest", CLIP_MEAN, CLIP_DEVIATION),
    )


def count_operations(model: DualEncoder, image: Tensor) -> int:
    """Floating-point operations of the plain image tower for one image."""
    with FlopCounterMode(display=False) as counter:
        model.encode_images(image)
    return counter.get_total_flops()


def peers_of(
    name: str, plain: DualEncoder, prepared: Tensor, tokens: list[Any]
) -> dict[tuple[str, str], Work]:
    """What ours is compared with, each giving unit rows."""

    def images(embed: Callable[[Tensor], Any]) -> Work:
        return lambda: np.concatenate([np.asarray(embed(part)) for part in prepared.split(BATCH)])

    def plain_texts(count: int, at_once: int) -> Work:
        def work() -> Any:
            parts = [tokens[start : start + at_once] for start in range(0, count, at_once)]
            return np.concatenate([plain.encode_texts(*pad(part)).numpy() for part in parts])

        return work

    peers = {
        ("images", "plain modules, float32"): images(plain.encode_images),
        ("texts", "plain modules, float32"): plain_texts(len(tokens), BATCH),
        ("one text at a time", "plain modules, float32"): plain_texts(QUERIES, 1),
    }
    architecture = CLIP_ARCHITECTURES.get(name)
    if architecture and isinstance(architecture.image, VisionTransformerConfig):
        library = transformers_model(name)
        ids, is_token = pad(tokens)
        room = architecture.context_length - ids.shape[1]
        ids = torch.nn.functional.pad(ids, (0, room), value=architecture.text.end_token)
        mask = torch.nn.functional.pad(is_token, (0, room)).long()

        def library_texts(count: int, at_once: int) -> Work:
            return lambda: [
                library.get_text_features(input_ids=part, attention_mask=part_mask)
                for part, part_mask in zip(
                    ids[:count].split(at_once), mask[:count].split(at_once), strict=True
                )
            ]

        def library_images() -> Any:
            return [library.get_image_features(pixel_values=part) for part in prepared.split(BATCH)]

        peers["images", "transformers, float32"] = library_images
        peers["texts", "transformers, float32"] = library_texts(len(tokens), BATCH)
        peers["one text at a time", "transformers, float32"] = library_texts(QUERIES, 1)
    session = onnx_session(plain, prepared)
    if session is not None:
        peers["images", "ONNX Runtime, float32"] = images(
            lambda part: session.run(None, {"pixels": part.numpy()})[0]
        )
    return peers


def transformers_model(name: str) -> Any:
    """CLIPModel of that architecture, with random weights."""
    from transformers import CLIPConfig, CLIPModel

    architecture = CLIP_ARCHITECTURES[name]
    image, text = architecture.image, architecture.text
    assert isinstance(image, VisionTransformerConfig)
    config = CLIPConfig(
        projection_dim=text.embedding_width,
        vision_config={
            "hidden_size": image.width,
            "intermediate_size": image.inner_width,
            "num_hidden_layers": image.layers,
            "num_attention_heads": image.heads,
            "image_size": image.image_size,
            "patch_size": image.patch_size,
        },
        text_config={
            "hidden_size": text.width,
            "intermediate_size": text.inner_width,
            "num_hidden_layers": text.layers,
            "num_attention_heads": text.heads,
        },
    )
    return CLIPModel(config).eval()


def onnx_session(plain: DualEncoder, prepared: Tensor) -> Any:
    """The plain image tower in ONNX Runtime; None where that is not installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError:
        return None
    file = io.BytesIO()
    tower = torch.nn.Sequential(plain.image_tower, plain.image_projection).eval()
    torch.onnx.export(
        tower,
        (prepared[:BATCH],),
        file,
        input_names=["pixels"],
        dynamo=False,
        do_constant_folding=True,
    )
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(
        file.getvalue(), settings, providers=["CPUExecutionProvider"]
    )


def interleaved(
    candidates: dict[tuple[str, str], Work], repeats: int
) -> dict[tuple[str, str], list[float]]:
    """Seconds of each, in turn, after one round of warm-up."""
    seconds: dict[tuple[str, str], list[float]] = {name: [] for name in candidates}
    for repeat in range(repeats + 1):
        for name, work in candidates.items():
            start = time.perf_counter()
            work()
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def row(
    what: str,
    name: str,
    count: int,
    taken: list[float],
    seconds: dict[tuple[str, str], list[float]],
    least_seconds: float,
) -> dict[str, Any]:
    """One line of the table; `least_seconds` is an image's at the machine's matrix rate."""
    median = statistics.median(taken)
    others = {
        f"times {peer}": statistics.median(seconds[what, full]) / median
        for peer, full in (
            ("transformers", "transformers, float32"),
            ("ONNX", "ONNX Runtime, float32"),
            ("plain", "plain modules, float32"),
        )
        if (what, full) in seconds
    }
    return {
        "what": what,
        "how": name,
        "a second, median": count / median,
        "slowest": count / max(taken),
        "fastest": count / min(taken),
        "times transformers": others.get("times transformers", ""),
        "times ONNX": others.get("times ONNX", ""),
        "times plain": others["times plain"],
        "of matrix rate": count * least_seconds / median if what == "images" else "",
    }


if __name__ == "__main__":
    main()
