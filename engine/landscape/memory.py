"""What clustering and embedding take, said before they start."""

from __future__ import annotations

from engine.errors import CrysiftError
from engine.execution.capacity import available_memory

_CLUSTER_BYTES = 1500
_COPIES = 6
_EMBED_BYTES = 600
_BYTES_PER_NEIGHBOR = 360
_COMPILED = 250 * 2**20


def clustering_bytes(rows: int, components: int, clusters: int = 50) -> int:
    """Memory, bytes, that HDBSCAN with soft clustering takes on the CPU (measured with hdbscan 0.8.44)."""
    return rows * (_CLUSTER_BYTES + 8 * (_COPIES * components + 2 * clusters))


def embedding_bytes(rows: int, components: int, neighbors: int) -> int:
    """Memory, bytes, that UMAP takes on the CPU (measured with umap-learn 0.5.12)."""
    return _COMPILED + rows * (_EMBED_BYTES + 8 * components + _BYTES_PER_NEIGHBOR * neighbors)


def check_memory(what: str, rows: int, needed: int) -> None:
    """Raise CrysiftError where ``needed`` bytes are more than the machine has free."""
    free = available_memory()
    if needed > free:
        raise CrysiftError(
            f"{what} {rows:,} vectors needs about {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are "
            "free: use a larger stride, fewer frames, or a machine with more memory"
        )
