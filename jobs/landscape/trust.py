"""How well a plane keeps neighbourhoods: of structures that it was fitted to, and of those placed in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine.landscape.quality import drawn_rows, embedding_quality
from engine.store import Superseded
from jobs.landscape.sample import Chosen, read_chosen

if TYPE_CHECKING:
    from engine.landscape.model import MapModel
    from engine.store import Store, Table
    from models.representations import Layer

JUDGED = 1000
"""Structures of each kind that are judged, against all fitted ones."""
OF_A_PART = 200
"""Placed structures of one part among them."""
NEIGHBORHOOD = 15


def trustworthiness(
    store: Store, model: MapModel, features: Table, table: Table, layer: Layer
) -> dict[str, float | None]:
    """Trustworthiness (Venna & Kaski 2001) of a map, 1 at best, at `JUDGED` fitted and placed structures.

    ``features`` are the vectors that ``table``, the map, was made of. Placed structures are judged among all
    fitted ones and the other placed ones that are judged; None where there are no placed ones, or too few
    fitted ones to judge by.
    """
    if 2 * len(model.points) - 1 <= 3 * NEIGHBORHOOD:
        return {"fitted": None, "placed": None}
    chosen, plane = _placed(store, table)
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


def _placed(store: Store, table: Table) -> tuple[Chosen, NDArray[np.float32]]:
    """Draw current placed structures; return their rows and their places (n, 2).

    Parts bear hashes for names, so that the first ones are a sample of all.
    """
    superseded = Superseded.of(store)
    rows, planes, total = {}, [np.empty((0, 2), np.float32)], 0
    for part in sorted(table.part_names()):
        content = table.read(part, ["structure_id", "x", "y", "fitted"])
        numbered = content.append_column("row", pa.array(np.arange(len(content))))
        current = superseded.drop_from(part, numbered)
        placed = current.filter(pc.invert(current["fitted"])).combine_chunks()
        drawn = placed.take(pa.array(drawn_rows(len(placed), min(OF_A_PART, JUDGED - total))))
        if len(drawn):
            rows[part] = drawn["row"].to_numpy()
            planes.append(np.stack([drawn["x"].to_numpy(), drawn["y"].to_numpy()], axis=1))
            total += len(drawn)
        if total == JUDGED:
            break
    return Chosen(rows, total), np.concatenate(planes)
