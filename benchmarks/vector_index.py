r"""The vector index beside its peers: one query's time at equal recall, memory, filters, changes.

    python benchmarks/vector_index.py --data FOLDER --work FOLDER \
        [--count 100000] [--peers 'a;b'] [--checks]

Real embeddings of the pictures and captions below FOLDER by the compact model, extended to `count`
(benchmarks/vector_index_data.py says how; `--checks` prints how alike they are). Every peer holds
the same vectors, is built by two threads in a process of its own and asked by one thread, 200
held-out images and 200 captions one after the other: the least effort whose recall@10 against exact
search is at least 0.99 on both kinds. Each peer's row is written as soon as it is there and stays
until that peer is measured again; peers that are not installed are left out by name. Memory is what
the process grew by that no file backs.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from report import RESULTS, publish
from vector_index_data import Surface, embedded, extended, structure_of, surface
from vector_index_peers import KINDS, PEERS, Built, Floats, Stored, blocks, own_memory

from index.vectors import snapshots
from index.vectors.faiss_index import FaissIndex
from index.vectors.snapshots import Snapshot

K = 10
ASKED = 200
GOAL = 0.99
MODULES = {"hnswlib": "hnswlib", "usearch": "usearch", "lancedb": "lancedb"}
MODULES |= {"milvus-lite": "milvus_lite", "qdrant-edge": "qdrant_edge"}
SHARES = (0.01, 0.001, 0.00001)
CLIENTS = 8
CLIENT_SECONDS = 5.0
SLOW_MS = 500
ADDITIONS_A_SECOND = 1_000


def main() -> None:
    """Measure and print, or one peer alone when told which."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", default="compact")
    parser.add_argument("--embed", type=int, default=15_000)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--peers", default=";".join(PEERS))
    parser.add_argument("--checks", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    images, texts = embedded(options.data, options.model, options.work, options.embed)
    on = surface(images, options.work)
    vectors = extended(on, options.count, options.work / f"vectors-{options.count}.npy")
    if options.one:
        print(json.dumps(_one(options.one, vectors, options.work, on, texts)))
        return
    if options.checks:
        _compare_with_real(on, texts)
    _truth(vectors, options.work, on, texts)
    # Not all fit in one sitting: what another run measured stays until it is measured again.
    kept = RESULTS / f"vector_index_{options.count}.json"
    rows = (
        {row["index"]: row for row in json.loads(kept.read_text())["rows"]} if kept.exists() else {}
    )
    for name in filter(None, options.peers.split(";")):
        if name in MODULES and importlib.util.find_spec(MODULES[name]) is None:
            print(f"{name} is not installed")
            continue
        told = [sys.executable, __file__, *sys.argv[1:], "--one", name]
        done = subprocess.run(told, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{name} failed: {done.stderr.strip().splitlines()[-1:]}")
            continue
        row = json.loads(done.stdout.strip().splitlines()[-1])
        extras = row.pop("extras", {})
        rows[name] = row
        publish(kept.stem, list(rows.values()), count=options.count, real=len(images))
        if extras:
            publish(f"vector_index_{options.count}_more", extras["rows"], count=options.count)
    if rows:
        _plot(options.count)


def _one(name: str, vectors: Stored, work: Path, on: Surface, texts: Floats) -> dict[str, Any]:
    queries, truth = _truth(vectors, work, on, texts)
    before = own_memory()
    with tempfile.TemporaryDirectory(dir=work) as folder:
        began = time.perf_counter()
        built = (PEERS | KINDS)[name](vectors, Path(folder), texts[ASKED:])
        seconds = time.perf_counter() - began
        row = {
            "index": name,
            **_least(built, queries, truth),
            "memory MB": (own_memory() - before) / 1e6,
            "build s": seconds,
            "how": built.note,
            "at": datetime.now(UTC).isoformat(timespec="minutes"),
        }
    if built.ours is not None:
        row["extras"] = {"rows": _more(built.ours, queries, on, float(row["p50 ms"]))}
    return row


def _least(built: Built, queries: Floats, truth: NDArray[np.int64]) -> dict[str, Any]:
    """The least effort that reaches the goal on both kinds, by bisection; else the largest."""
    low, high = 0, len(built.efforts) - 1
    measured: dict[int, dict[str, Any]] = {}

    def at(position: int) -> dict[str, Any]:
        if position not in measured:
            measured[position] = _measured(built, built.efforts[position], queries, truth)
        return measured[position]

    while low < high:
        middle = (low + high) // 2
        row = at(middle)
        if min(row["recall images"], row["recall texts"]) >= GOAL:
            high = middle
        else:
            low = middle + 1
    return at(low)


def _measured(
    built: Built, effort: int, queries: Floats, truth: NDArray[np.int64]
) -> dict[str, Any]:
    began = time.perf_counter()
    for position in range(10):
        built.ask(queries[position], K, effort)
    # An index that takes long is asked an eighth of the queries.
    some = range(0, len(queries), 8 if _ms(began) > SLOW_MS else 1)
    took: list[float] = []
    shares: list[float] = []
    for position in some:
        began = time.perf_counter()
        found = built.ask(queries[position], K, effort)
        took.append(time.perf_counter() - began)
        shares.append(len(set(found) & set(truth[position].tolist())) / K)
    return {
        "effort": effort,
        "recall images": float(np.mean(shares[: len(shares) // 2])),
        "recall texts": float(np.mean(shares[len(shares) // 2 :])),
        "p50 ms": 1e3 * float(np.percentile(took, 50)),
        "p99 ms": 1e3 * float(np.percentile(took, 99)),
    }


def _truth(
    vectors: Stored, work: Path, on: Surface, texts: Floats
) -> tuple[Floats, NDArray[np.int64]]:
    """Held-out images, then texts (N, D), and the positions of their K nearest."""
    kept = work / f"truth-{len(vectors)}.npz"
    if kept.exists():
        loaded = np.load(kept)
        return loaded["queries"], loaded["truth"]
    held_out = on.made(ASKED, np.random.default_rng(99))
    queries = np.concatenate([held_out, texts[:ASKED]])
    best = np.full((len(queries), K), -np.inf, dtype=np.float32)
    truth = np.full((len(queries), K), -1, dtype=np.int64)
    for start, block in blocks(vectors):
        products = np.concatenate([best, queries @ block.T], axis=1)
        positions = np.arange(start, start + len(block))
        names = np.concatenate([truth, np.tile(positions, (len(queries), 1))], axis=1)
        order = np.argpartition(-products, K, axis=1)[:, :K]
        best = np.take_along_axis(products, order, axis=1)
        truth = np.take_along_axis(names, order, axis=1)
    np.savez(kept, queries=queries, truth=truth)
    return queries, truth


def _more(
    index: FaissIndex, queries: Floats, on: Surface, unfiltered: float
) -> list[dict[str, Any]]:
    """Filters, batches, changes beside searches, deletions, a start from a snapshot."""
    numbers = index.numbers()
    random = np.random.default_rng(3)
    rows: list[dict[str, Any]] = [{"what": "one query, no filter: p50 ms", "value": unfiltered}]
    for share in SHARES:
        allowed = np.sort(random.permutation(numbers)[: max(1, int(share * len(numbers)))])
        kept = index.vectors(allowed)
        took, found = [], 0.0
        for query in queries[::4]:
            began = time.perf_counter()
            shown = index.search(query[None], K, allowed).numbers[0]
            took.append(time.perf_counter() - began)
            best = allowed[np.argsort(-(kept @ query))[:K]]
            found += len(set(shown.tolist()) & set(best.tolist())) / len(best)
        rows.append(
            {
                "what": f"filter keeping {share:.3%}: p50 ms, recall {found / len(took):.4f}",
                "value": 1e3 * float(np.median(took)),
            }
        )
    began = time.perf_counter()
    index.search(queries, K)
    rows.append({"what": "400 queries in one call: ms a query", "value": _ms(began) / 400})
    gone = random.permutation(numbers)[:1_000]
    took = []
    for number in gone:
        began = time.perf_counter()
        index.remove(number[None])
        took.append(_ms(began))
    rows.append({"what": "1,000 deletions one by one: largest ms", "value": max(took)})
    rows += _beside_additions(index, queries, on)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "snapshot"
        began = time.perf_counter()
        snapshots.write(path, Snapshot("v", 1, index.state()))
        rows.append({"what": "snapshot written: s", "value": _ms(began) / 1e3})
        began = time.perf_counter()
        read = snapshots.read(path, model_version="v", dimension=index.dimension)
        again = FaissIndex.restored(index.dimension, read.state)
        again.search(queries[:1], K)
        rows.append({"what": "first answer from a snapshot: s", "value": _ms(began) / 1e3})
    return rows


def _beside_additions(index: FaissIndex, queries: Floats, on: Surface) -> list[dict[str, Any]]:
    fresh = on.made(2 * int(CLIENT_SECONDS) * ADDITIONS_A_SECOND, np.random.default_rng(5))
    first = int(index.numbers().max()) + 1
    stop = threading.Event()
    added = [0]

    def add() -> None:
        began = time.perf_counter()
        while not stop.is_set() and added[0] + 10 <= len(fresh):
            some = np.arange(added[0], added[0] + 10)
            index.put(first + some, fresh[some])
            added[0] += 10
            time.sleep(max(0.0, began + added[0] / ADDITIONS_A_SECOND - time.perf_counter()))

    idle = _by_clients(index, queries)
    thread = threading.Thread(target=add)
    began = time.perf_counter()
    thread.start()
    busy = _by_clients(index, queries)
    a_second = added[0] / (time.perf_counter() - began)
    stop.set()
    thread.join()
    return [
        {"what": f"{CLIENTS} clients, idle: p99 ms", "value": idle},
        {"what": f"{CLIENTS} clients beside {a_second:.0f} additions/s: p99 ms", "value": busy},
    ]


def _by_clients(index: FaissIndex, queries: Floats) -> float:
    took: list[float] = []
    end = time.perf_counter() + CLIENT_SECONDS

    def ask(client: int) -> None:
        turn = client * 37
        while (began := time.perf_counter()) < end:
            index.search(queries[turn % len(queries)][None], K)
            took.append(_ms(began))
            turn += 1

    threads = [threading.Thread(target=ask, args=(client,)) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return float(np.percentile(took, 99))


def _compare_with_real(on: Surface, texts: Floats) -> None:
    """A made set of the real one's size beside it: what it is like, and recall at settings."""
    import faiss

    images = on.images
    made = on.made(len(images), np.random.default_rng(8))
    rows = []
    for name, vectors in (("real", images), ("extended", made)):
        row: dict[str, Any] = {"vectors": name, **structure_of(vectors)}
        truth = faiss.IndexFlatIP(vectors.shape[1])
        truth.add(vectors)
        for factory, settings in (("HNSW16,SQ8", (16, 64)), ("IVF128,PQ128x4fs", (4, 16))):
            index = faiss.index_factory(vectors.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
            index.train(vectors)
            index.add(vectors)
            for setting in settings:
                for kind, asked in (("images", vectors[:500]), ("texts", texts[:500])):
                    key = "efSearch" if factory.startswith("HNSW") else "nprobe"
                    faiss.ParameterSpace().set_index_parameter(index, key, setting)
                    true = truth.search(asked, K)[1]
                    found = index.search(asked, K)[1]
                    share = [len(set(a) & set(b)) / K for a, b in zip(true, found, strict=True)]
                    row[f"{factory.split(',')[0]} {setting} {kind}"] = float(np.mean(share))
        rows.append(row)
    turned = [
        {"what": what, "real": rows[0][what], "extended": rows[1][what]}
        for what in rows[0]
        if what != "vectors"
    ]
    publish("vector_index_data", turned, real=len(images), spread=on.spread)


def _ms(began: float) -> float:
    return 1e3 * (time.perf_counter() - began)


def _plot(count: int) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    rows = json.loads((RESULTS / f"vector_index_{count}.json").read_text())["rows"]
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for row in rows:
        axes.scatter(row["memory MB"], row["p50 ms"], color="#4269d0")
        recall = min(row["recall images"], row["recall texts"])
        axes.annotate(
            f"{row['index']} ({recall:.3f})",
            (row["memory MB"], row["p50 ms"]),
            xytext=(5, 3),
            textcoords="offset points",
        )
    axes.set_yscale("log")
    axes.set_xlabel("memory, MB")
    axes.set_ylabel(f"one query's p50, ms, {count:,} vectors")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(RESULTS / f"vector_index_{count}.png", dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
