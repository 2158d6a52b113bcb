"""The peers of `benchmarks/vector_index.py`, each behind the same calls."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.vectors.faiss_index import FaissIndex
from index.vectors.tuning import IndexGoals, Kind, tune

THREADS = 2
LINKS = 16
CONSTRUCTION = 100
BLOCK = 20_000
Floats = NDArray[np.float32]
Stored = NDArray[np.float16]
# One query (D,), k, an effort: the positions of what was found, best first.
Ask = Callable[[Floats, int, int], list[int]]
GRAPH_EFFORTS = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536)


@dataclass(frozen=True, slots=True)
class Built:
    """An index that answers, and the efforts to try, ascending; 0 for one that has no effort.

    `ours` is the index itself where it is this project's, for what only it is asked.
    """

    ask: Ask
    efforts: tuple[int, ...]
    note: str
    ours: FaissIndex | None = None


def blocks(vectors: Stored) -> Iterator[tuple[int, Floats]]:
    """Consecutive vectors as float32 (N, D) of unit length, with the position of the first."""
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK].astype(np.float32)
        yield start, block / np.linalg.norm(block, axis=1, keepdims=True)


def exact(vectors: Stored, _work: Path, _texts: Floats) -> Built:
    """FAISS's flat index in float32."""
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])
    for _, block in blocks(vectors):
        index.add(block)
    return Built(lambda q, k, _: index.search(q[None], k)[1][0].tolist(), (0,), "IndexFlatIP")


def beholder(vectors: Stored, _work: Path, texts: Floats, kind: Kind = "auto") -> Built:
    """Ours, tuned on stored vectors and on texts that are not asked here."""
    index = FaissIndex(vectors.shape[1])
    for start in range(0, len(vectors), BLOCK):
        block = np.asarray(vectors[start : start + BLOCK])
        index.put(np.arange(start, start + len(block), dtype=np.int64), block)
    # A little above what is asked: recall on other queries scatters around what tuning saw.
    goals = IndexGoals(recall=0.993, latency_seconds=0.002, kind=kind)
    tune(index, goals, texts, threads=THREADS)
    described = index.describe()
    return Built(
        lambda q, k, _: index.search(q[None], k).numbers[0].tolist(),
        (0,),
        f"{described.kind} {dict(described.parameters)}",
        index,
    )


def hnswlib(vectors: Stored, _work: Path, _texts: Floats) -> Built:
    """Hnswlib in float32."""
    import hnswlib as library

    index = library.Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), M=LINKS, ef_construction=CONSTRUCTION)
    index.set_num_threads(THREADS)
    for start, block in blocks(vectors):
        index.add_items(block, np.arange(start, start + len(block)))

    def ask(query: Floats, k: int, effort: int) -> list[int]:
        index.set_ef(effort)
        labels, _ = index.knn_query(query[None], k, num_threads=1)
        found: list[int] = labels[0].tolist()
        return found

    return Built(ask, GRAPH_EFFORTS, f"M={LINKS} ef_construction={CONSTRUCTION}")


def usearch(vectors: Stored, _work: Path, _texts: Floats) -> Built:
    """Usearch with its vectors in half precision."""
    from usearch.index import Index

    index = Index(
        ndim=vectors.shape[1],
        metric="ip",
        dtype="f16",
        connectivity=LINKS,
        expansion_add=CONSTRUCTION,
    )
    for start, block in blocks(vectors):
        index.add(np.arange(start, start + len(block)), block, threads=THREADS)

    def ask(query: Floats, k: int, effort: int) -> list[int]:
        index.expansion_search = effort
        found: list[int] = index.search(query, k, threads=1).keys.tolist()
        return found

    return Built(ask, GRAPH_EFFORTS, f"f16 connectivity={LINKS} expansion_add={CONSTRUCTION}")


def lancedb(vectors: Stored, work: Path, _texts: Floats) -> Built:
    """LanceDB's IVF with a graph over 8-bit codes, refined with the vectors."""
    import lancedb as library
    import pyarrow as pa

    dimension = vectors.shape[1]
    kind = pa.list_(pa.float32(), dimension)
    schema = pa.schema([("position", pa.int64()), ("vector", kind)])

    def batches() -> Iterator[Any]:
        for start, block in blocks(vectors):
            column = pa.FixedSizeListArray.from_arrays(pa.array(block.reshape(-1)), dimension)
            positions = pa.array(np.arange(start, start + len(block)))
            yield pa.RecordBatch.from_arrays([positions, column], schema=schema)

    table = library.connect(str(work / "lance")).create_table("v", data=batches(), schema=schema)
    table.create_index(
        metric="dot",
        vector_column_name="vector",
        index_type="IVF_HNSW_SQ",
        num_partitions=max(1, len(vectors) // 1_000_000),
        m=LINKS,
        ef_construction=CONSTRUCTION,
    )

    def ask(query: Floats, k: int, effort: int) -> list[int]:
        search = (
            table.search(query)
            .distance_type("dot")
            .limit(k)
            .ef(max(effort, 4 * k))
            .refine_factor(4)
        )
        found: list[int] = search.select(["position"]).to_arrow()["position"].to_pylist()
        return found

    return Built(ask, GRAPH_EFFORTS, f"IVF_HNSW_SQ m={LINKS} ef_construction={CONSTRUCTION}")


def milvus_lite(vectors: Stored, work: Path, _texts: Floats) -> Built:
    """Milvus in the process, with its graph."""
    from pymilvus import DataType, MilvusClient

    client = MilvusClient(str(work / "milvus.db"))
    schema = client.create_schema(auto_id=False)
    schema.add_field("position", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=vectors.shape[1])
    parameters = client.prepare_index_params()
    parameters.add_index(
        "vector",
        index_type="HNSW",
        metric_type="IP",
        params={"M": LINKS, "efConstruction": CONSTRUCTION},
    )
    client.create_collection("v", schema=schema)
    for start, block in blocks(vectors):
        for at in range(0, len(block), 2_000):
            rows = [
                {"position": start + at + i, "vector": vector}
                for i, vector in enumerate(block[at : at + 2_000])
            ]
            client.insert("v", rows)
    client.flush("v")
    client.create_index("v", parameters)
    client.load_collection("v")

    def ask(query: Floats, k: int, effort: int) -> list[int]:
        found = client.search("v", [query], limit=k, search_params={"params": {"ef": effort}})
        return [hit["position"] for hit in found[0]]

    return Built(ask, GRAPH_EFFORTS, f"HNSW M={LINKS} efConstruction={CONSTRUCTION}")


def qdrant_edge(vectors: Stored, work: Path, _texts: Floats) -> Built:
    """Qdrant's engine in the process, with its graph."""
    import qdrant_edge as library

    folder = work / "qdrant"
    folder.mkdir()
    graph = library.HnswIndexConfig(m=LINKS, ef_construct=CONSTRUCTION, full_scan_threshold=100)
    parameters = library.EdgeVectorParams(
        size=vectors.shape[1], distance=library.Distance.Dot, hnsw_config=graph
    )
    optimizers = library.EdgeOptimizersConfig(indexing_threshold=1_000)
    shard = library.EdgeShard.create(
        str(folder), library.EdgeConfig(vectors=parameters, optimizers=optimizers)
    )
    for start, block in blocks(vectors):
        points = [library.Point(start + i, vector.tolist(), {}) for i, vector in enumerate(block)]
        shard.update(library.UpdateOperation.upsert_points(points))
    shard.optimize()

    def ask(query: Floats, k: int, effort: int) -> list[int]:
        request = library.QueryRequest(
            query=library.Query.Nearest(query.tolist()),
            limit=k,
            params=library.SearchParams(hnsw_ef=effort),
        )
        return [point.id for point in shard.query(request)]

    return Built(ask, GRAPH_EFFORTS, f"HNSW m={LINKS} ef_construct={CONSTRUCTION}")


PEERS: dict[str, Callable[[Stored, Path, Floats], Built]] = {
    "exact (faiss)": exact,
    "beholder": beholder,
    "hnswlib": hnswlib,
    "usearch": usearch,
    "lancedb": lancedb,
    "milvus-lite": milvus_lite,
    "qdrant-edge": qdrant_edge,
}


# Not asked by default: what tuning chooses between.
KINDS: dict[str, Callable[[Stored, Path, Floats], Built]] = {
    "beholder, ivf": partial(beholder, kind="ivf"),
    "beholder, hnsw": partial(beholder, kind="hnsw"),
}


def own_memory() -> int:
    """Bytes of this process that no file backs, so that the mapped input is not counted."""
    with open(f"/proc/{os.getpid()}/status", encoding="ascii") as file:  # noqa: PTH123
        for line in file:
            if line.startswith("RssAnon"):
                return int(line.split()[1]) * 1024
    return 0
