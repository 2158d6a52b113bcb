"""What every benchmark ends with: a table on the terminal, a JSON file, a plot."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS = Path("benchmarks/results")


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    cores = 0
    if cpuinfo.is_file():
        lines = cpuinfo.read_text().splitlines()
        models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        processor = models[0] if models else processor
        cores = len(models)
    return {"processor": processor, "cores": cores, "python": platform.python_version()}


def publish(name: str, rows: Sequence[dict[str, Any]], **facts: Any) -> None:
    """Print `rows` as a table and write them with the machine to `benchmarks/results/NAME.json`."""
    table = Table(title=name)
    for heading in rows[0]:
        table.add_column(heading)
    for row in rows:
        table.add_row(*(f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()))
    Console(width=140).print(table)
    RESULTS.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine(), **facts, "rows": list(rows)}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


def bar_plot(name: str, rows: Sequence[dict[str, Any]], label: str, value: str) -> None:
    """Draw one bar a row to `benchmarks/results/NAME.png`."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 0.6 + 0.45 * len(rows)), layout="constrained")
    labels = [str(row[label]) for row in rows]
    bars = axes.barh(labels, [row[value] for row in rows], color="#4269d0")
    axes.bar_label(bars, fmt="%.3g", padding=3)
    axes.invert_yaxis()
    axes.set_xlabel(value)
    axes.spines[["top", "right"]].set_visible(False)
    RESULTS.mkdir(parents=True, exist_ok=True)
    figure.savefig(RESULTS / f"{name}.png", dpi=110)
    plt.close(figure)
