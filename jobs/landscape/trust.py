"""How well a plane keeps neighbourhoods: of structures that it was fitted to, and of those placed in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from engine.columns import contiguous
from engine.landscape.quality import drawn_rows, embedding_quality
from jobs.landscape.sample import Chosen, read_chosen

if TYPE_CHECKING:
    from engine.landscape.model import MapModel
    from engine.store import Table
    from models.representations import Layer

JUDGED = 1000
"""Structures of each kind that are judged, against all fitted ones."""
NEIGHBORHOOD = 15


def trustworthiness(model: MapModel, features: Table, table: Table, layer: Layer) -> dict[str, float | None]:
    """Trustworthiness (Venna & Kaski 2001) of a map, 1 at best, at `JUDGED` fitted and placed structures.

    ``features`` are the vectors that ``table``, the map, was made of. Placed structures are judged among all
    fitted ones and the other placed ones that are judged; None where there are no placed ones, or too few
    fitted ones to judge by.
    """
    if 2 * len(model.points) - 1 <= 3 * NEIGHBORHOOD:
        return {"fitted": None, "placed": None}
    chosen, plane = _placed(table)
    points, places = model.points, model.plane
    if chosen.size:
        _, vectors = read_chosen(features, chosen, layer)
        points = np.concatenate([points, model.projection(vectors)])
        places = np.concatenate([places, plane])
    groups = {
        "fitted": drawn_rows(len(model.points), JUDGED),
        "placed": np.arange(len(model.points), len(points)),
    }
    return {
        name: embedding_quality(points, places, NEIGHBORHOOD, rows).trustworthiness if len(rows) else None
        for name, rows in groups.items()
    }


def _placed(table: Table) -> tuple[Chosen, np.ndarray[tuple[int, int], np.dtype[np.float32]]]:
    """Draw placed structures from parts all over the map; return their rows and their places (n, 2)."""
    parts = sorted(table.part_names())
    quota = -(-JUDGED // max(len(parts), 1))
    rows, planes, total = {}, [np.empty((0, 2), np.float32)], 0
    for part in parts[:: max(len(parts) // JUDGED, 1)]:
        content = table.read(part, ["x", "y", "fitted"])
        placed = np.flatnonzero(
            contiguous(content["fitted"]).fill_null(True).to_numpy(zero_copy_only=False) == 0
        )
        drawn = placed[drawn_rows(len(placed), quota)]
        total += len(placed)
        if len(drawn):
            rows[part] = drawn
            x, y = (contiguous(content[name]).take(pa.array(drawn)).to_numpy() for name in ("x", "y"))
            planes.append(np.stack([x, y], axis=1))
    return Chosen(rows, total), np.concatenate(planes)
