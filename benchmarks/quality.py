"""How well a model finds things, on any table of images with captions or labels.

    python benchmarks/quality.py [--model compact] [--pairs TSV]... [--labels TSV [--split NAME]]...

A table of pairs (`image`, `caption`) gives recall@1, 5 and 10 in both directions and the median
rank. A table of labels (`image`, `label`, perhaps `split`) gives zero-shot top-1 among its labels,
with the default prompt ensemble, and how well each label finds its images: recall@1 and 10 is the
share of labels with an own image among the first 1 and 10. Images lie in the folder `images` beside
a table, or beside the table itself. Pictures go the way they go in the service: decoded, fitted,
embedded in the machine's serving precision, or in that which `--precision` says.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from report import bar_plot, publish

from model import Encoder, Precision, decode, load_encoder, set_precision
from model.training.evaluation import Retrieval, accuracy, image_to_text, text_to_image
from model.training.pairs import read_labels, read_pairs
from model.zero_shot import label_embeddings

BATCH = 64


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="compact")
    parser.add_argument("--pairs", type=Path, action="append", default=[])
    parser.add_argument("--labels", type=Path, action="append", default=[])
    parser.add_argument("--split", help="only these rows of the tables of labels")
    parser.add_argument("--precision", default="auto", choices=get_args(Precision))
    parser.add_argument("--name", default="quality", help="of the files under benchmarks/results")
    options = parser.parse_args()
    if not options.pairs and not options.labels:
        parser.error("give at least one table with --pairs or --labels")
    set_precision(options.precision)
    encoder = load_encoder(options.model)
    rows = [row for table in options.pairs for row in measure_pairs(encoder, table)]
    for table in options.labels:
        rows += measure_labels(encoder, table, options.split)
    publish(
        options.name,
        rows,
        model=encoder.name,
        fingerprint=encoder.fingerprint,
        precision=str(encoder.precision),
    )
    shares = [
        {"measure": f"{row['table']}: {row['measure']}", "value": row["value"]}
        for row in rows
        if row["measure"] not in {"images", "median rank", "median rank, image to text"}
    ]
    bar_plot(options.name, shares, "measure", "value")


def measure_pairs(encoder: Encoder, table: Path) -> list[dict[str, Any]]:
    """Recall and median rank in both directions."""
    photos = read_pairs(table)
    images = embed_photos(encoder, [photo.path for photo in photos])
    texts = encoder.embed_texts([text for photo in photos for text in photo.captions]).vectors
    owners = np.repeat(np.arange(len(photos)), [len(photo.captions) for photo in photos])
    measures = {
        "images": len(photos),
        **_measures(text_to_image(images, texts, owners), ""),
        **_measures(image_to_text(images, texts, owners), ", image to text"),
    }
    return _rows(table, measures)


def measure_labels(encoder: Encoder, table: Path, split: str | None) -> list[dict[str, Any]]:
    """Zero-shot accuracy among the table's labels, and recall from label to image."""
    photos = read_labels(table, split)
    labels = sorted({photo.label for photo in photos})
    right = np.array([labels.index(photo.label) for photo in photos])
    images = embed_photos(encoder, [photo.path for photo in photos])
    names = label_embeddings(labels, lambda texts: encoder.embed_texts(texts).vectors)
    ranked = np.argsort(-(names @ images.T), axis=1)
    is_own = right[ranked] == np.arange(len(labels))[:, None]
    measures = {
        "images": len(photos),
        f"top-1 of {len(labels)} labels": accuracy(images, names, right),
        "label to image recall@1": float(is_own[:, :1].any(axis=1).mean()),
        "label to image recall@10": float(is_own[:, :10].any(axis=1).mean()),
    }
    return _rows(table, measures)


def embed_photos(encoder: Encoder, paths: Sequence[Path]) -> NDArray[np.float32]:
    """Unit rows, decoded in two threads a batch ahead of the model."""

    def prepared(path: Path) -> NDArray[np.uint8]:
        return encoder.prepare(decode(path, shorter_side=encoder.image_size))

    with ThreadPoolExecutor(2) as pool:
        batches = [
            encoder.embed_pixels(list(pool.map(prepared, paths[start : start + BATCH])))
            for start in range(0, len(paths), BATCH)
        ]
    return np.concatenate(batches)


def _measures(retrieval: Retrieval, direction: str) -> dict[str, float]:
    return {
        f"recall@1{direction}": retrieval.recall_at_1,
        f"recall@5{direction}": retrieval.recall_at_5,
        f"recall@10{direction}": retrieval.recall_at_10,
        f"median rank{direction}": retrieval.median_rank,
    }


def _rows(table: Path, measures: dict[str, float]) -> list[dict[str, Any]]:
    name = f"{table.parent.name}/{table.stem}"
    return [{"table": name, "measure": key, "value": value} for key, value in measures.items()]


if __name__ == "__main__":
    main()
