"""Packing rows into batches by predicted cost."""

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from engine.columns import contiguous, distinct_labels, list_offsets

PAIRS_PER_SITE_AND_SPECIES = 100.0
"""Mean number of neighbour pairs, measured on 51,488 Materials Project structures."""

TYPICAL_SPECIES = 3
"""Of a structure whose species are not known yet."""


def predicted_pairs(n_sites: ArrayLike, n_species: ArrayLike) -> NDArray[np.float64]:
    """Neighbour pairs that the descriptor of a structure is predicted to visit."""
    products = np.multiply(n_sites, n_species, dtype=np.float64)
    return np.asarray(PAIRS_PER_SITE_AND_SPECIES * products)


def row_costs(species_at_sites: pa.ChunkedArray | pa.Array) -> NDArray[np.float64]:
    """Neighbour pairs that featurizing each row is predicted to visit (B,)."""
    labels = contiguous(species_at_sites)
    return predicted_pairs(np.diff(list_offsets(labels)), distinct_labels(labels))


def pack(costs: ArrayLike, limit: float, max_rows: int) -> list[range]:
    """Consecutive batches of at most ``max_rows`` rows whose summed cost stays within ``limit``.

    Every row is in exactly one batch and the order is kept; a row that alone costs more than ``limit``
    is a batch of its own.
    """
    batches: list[range] = []
    start, total = 0, 0.0
    listed = np.asarray(costs, dtype=float).tolist()
    for row, cost in enumerate(listed):
        if row > start and (total + cost > limit or row - start >= max_rows):
            batches.append(range(start, row))
            start, total = row, 0.0
        total += cost
    if listed:
        batches.append(range(start, len(listed)))
    return batches
