"""What clustering and embedding take, said before they start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import CrysiftError
from engine.execution.capacity import available_memory

if TYPE_CHECKING:
    from engine.landscape.hierarchy import Hierarchy

_CLUSTER_BYTES = 1500
_COPIES = 3
_EMBED_BYTES = 600
_BYTES_PER_NEIGHBOR = 120
_COMPILED = 300 * 2**20


def clustering_bytes(rows: int, components: int, clusters: int = 20) -> int:
    """Memory, bytes, that HDBSCAN with soft clustering takes on the CPU at most.

    hdbscan 0.8.44 took 1.5 kB per row with 8 components and 1.8 kB with 32, for 6 clusters.
    """
    return rows * (_CLUSTER_BYTES + 8 * (_COPIES * components + 2 * clusters))


def memberships_bytes(hierarchy: Hierarchy) -> int:
    """Memory, bytes, of the densities at which every branch and every cluster part, and of marks for them."""
    return 5 * len(hierarchy.above) * hierarchy.count


def embedding_bytes(rows: int, components: int, neighbors: int) -> int:
    """Memory, bytes, that UMAP takes on the CPU at most.

    umap-learn 0.5.12 took 0.2 GiB and 5.8 kB per row with 50 neighbours and 16 components.
    """
    return _COMPILED + rows * (_EMBED_BYTES + 8 * components + _BYTES_PER_NEIGHBOR * neighbors)


def check_memory(what: str, rows: int, needed: int) -> None:
    """Raise CrysiftError where ``needed`` bytes are more than the machine has free."""
    free = available_memory()
    if needed > free:
        raise CrysiftError(
            f"{what} {rows:,} vectors needs about {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are "
            "free: take fewer of them, or a machine with more memory"
        )
