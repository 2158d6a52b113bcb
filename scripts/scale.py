"""What a million, a hundred million and ten billion images need; --check only compares the page.

    .venv/bin/python scripts/scale.py [--check] [--images N] [--embed-a-second-a-gpu X] ...

Without `--images` it writes the table of docs/scale.md. Every figure that the arithmetic starts
from is an option, so that a reader can put in their own; the page says which are measured.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "scale.md"
BEGIN, END = "<!-- scale: begin -->\n", "<!-- scale: end -->\n"
SIZES = (1_000_000, 100_000_000, 10_000_000_000)
# Above this one process's memory and one SQL server's rows are the wrong place for vectors.
ONE_MACHINE = 50_000_000
HOURS_OF_A_NIGHT = 8


@dataclass(frozen=True, slots=True)
class Figures:
    """What the arithmetic starts from."""

    dimension: int = 512
    # Reading, decoding, embedding and writing small photos (benchmarks/reindex.py, two workers).
    embed_a_second_a_core: float = 70.0
    # Not measured here: set it to what your GPU does with your model.
    embed_a_second_a_gpu: float = 2_000.0
    # A photo as phones write them; thumbnails are WebP of 320 pixels.
    file_bytes: int = 3_000_000
    thumbnail_bytes: int = 11_000
    # PostgreSQL: an image with two tags, a caption and a path, its embedding and its change, all
    # with their indexes, but without the vector itself.
    row_bytes: int = 1_400
    # Of the `ivf` index beyond the float16 vector: the growth of the process at a million images.
    index_bytes_beyond_vector: int = 200
    # Milvus: DiskANN or IVF with 4-bit codes keeps about this much a vector in memory.
    milvus_memory_bytes: int = 128
    machine_memory_bytes: int = 256_000_000_000
    machine_cores: int = 64


def needs(images: int, figures: Figures) -> dict[str, str]:
    """Each need of so many images, in words a person reads."""
    vector = 2 * figures.dimension
    is_one = images <= ONE_MACHINE
    in_memory = (
        vector + figures.index_bytes_beyond_vector if is_one else figures.milvus_memory_bytes
    )
    memory = images * in_memory
    machines = math.ceil(memory / (0.7 * figures.machine_memory_bytes))
    cpu_hours = images / figures.embed_a_second_a_core / 3_600
    gpu_hours = images / figures.embed_a_second_a_gpu / 3_600
    return {
        "images": f"{images:,}",
        "where vectors are searched": "in each process" if is_one else "Milvus cluster",
        "index family": "ivf (or hnsw)" if is_one else "Milvus: IVF or DiskANN, sharded",
        "vectors as stored (float16)": size(images * vector),
        "index in memory": size(memory),
        f"machines of {size(figures.machine_memory_bytes)} for it": f"{machines:,}",
        "rows in SQL, vectors included": size(images * (figures.row_bytes + vector)),
        "image files and thumbnails": size(images * (figures.file_bytes + figures.thumbnail_bytes)),
        "embedding, core-hours": f"{cpu_hours:,.0f}",
        "embedding, GPU-hours": f"{gpu_hours:,.1f}" if gpu_hours < 100 else f"{gpu_hours:,.0f}",
        f"machines of {figures.machine_cores} cores to reindex in a night": (
            f"{math.ceil(cpu_hours / HOURS_OF_A_NIGHT / figures.machine_cores):,}"
        ),
        "GPUs to reindex in a night": f"{math.ceil(gpu_hours / HOURS_OF_A_NIGHT):,}",
        "a reindex writes": size(images * vector),
    }


def size(count: float) -> str:
    """Bytes in decimal units."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1_000:
            return f"{count:,.0f} {unit}" if count >= 10 else f"{count:,.1f} {unit}"
        count /= 1_000
    return f"{count:,.0f} PB" if count >= 10 else f"{count:,.1f} PB"


def table(sizes: tuple[int, ...], figures: Figures) -> str:
    """A Markdown table with one column a size."""
    columns = [needs(images, figures) for images in sizes]
    lines = ["| " + " | ".join(["", *(column["images"] for column in columns)]) + " |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    lines += [
        "| " + " | ".join([name, *(column[name] for column in columns)]) + " |"
        for name in list(columns[0])[1:]
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the needs of a size, or write the page's table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--images", type=int)
    for field in fields(Figures):
        kind = type(field.default)
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default)
    options = vars(parser.parse_args())
    figures = Figures(**{name: options[name] for name in asdict(Figures())})
    if options["images"] is not None:
        print(table((options["images"],), figures))
        return
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    fresh = before + BEGIN + table(SIZES, figures) + END + after
    if not options["check"]:
        PAGE.write_text(fresh)
    elif fresh != text:
        sys.exit(f"{PAGE.name} is stale: run scripts/scale.py")


if __name__ == "__main__":
    main()
