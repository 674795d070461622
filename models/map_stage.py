"""The stage that places structures in a fitted map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine.columns import contiguous
from engine.descriptors.soap import SOAP_WIDTH
from engine.landscape.model import MapModel, MapSettings
from engine.landscape.storage import FitTables, map_rows
from engine.schema import ERROR_COLUMNS, MAP, features_schema
from engine.stage import BatchFunction, Resources, Stage
from models.batches import usable_rows, vectors_of, with_failed_rows
from models.representations import Layer
from models.weights_file import load_model, model_digest

_READ = ("structure_id", "status", *(field.name for field in ERROR_COLUMNS), "vector")
_SAME = 1e-4
"""Two computations of one point differ by at most this, in units of the points' spread."""


@dataclass(frozen=True, kw_only=True)
class MapStage(Stage):
    """features_soap → map: structures that the map was fitted to as they were fitted, others placed in it."""

    fit: FitTables
    map_settings: MapSettings
    layer: str
    weights: str

    name: ClassVar[str] = "map"
    source: ClassVar[str] = "features_soap"
    revision: ClassVar[int] = 1
    cluster_from: ClassVar[float] = 200_000

    @property
    def reads(self) -> pa.Schema:
        """Vectors and their status."""
        schema = features_schema(SOAP_WIDTH)
        return pa.schema([schema.field(name) for name in _READ])

    @property
    def writes(self) -> pa.Schema:
        """The places."""
        return MAP

    @property
    def resources(self) -> Resources:
        """One core, and memory for the fitted points and the distances of a block to them."""
        return Resources(memory_bytes=2 * 1024**3)

    def settings(self) -> dict[str, Any]:
        """The fitted map, whose name holds all that determined it."""
        return {"fit": self.fit.points.folder.name}

    def model_hash(self) -> str:
        """SHA-256 of the network's weights."""
        return model_digest(self.weights)

    def open(self) -> BatchFunction:
        """Load the map and the network; return the function on tables of vectors."""
        import torch

        torch.set_num_threads(1)
        layer = Layer(load_model(self.weights).network, self.layer)
        model, known = self.fit.read(self.map_settings)
        ids = contiguous(known["structure_id"])
        spread = float(model.points.std(axis=0).max())

        def place(batch: pa.Table) -> pa.Table:
            usable = usable_rows(batch)
            mine = contiguous(batch["structure_id"]).filter(pa.array(usable))
            vectors = layer(vectors_of(batch)[usable])
            row = _fitted_rows(mine, ids, model.projection(vectors), model, _SAME * spread)
            new = row < 0
            placed = map_rows(mine.filter(pa.array(new)), model.place(vectors[new]), ids, fitted=False)
            rows = pa.concat_tables([known.take(pa.array(row[~new])), placed])
            rows = rows.take(pa.array(np.argsort(np.argsort(new, kind="stable"))))
            columns = {name: contiguous(rows[name]) for name in MAP.names}
            return with_failed_rows(batch, usable, columns, MAP)

        return place


def _fitted_rows(
    mine: pa.Array, ids: pa.Array, points: NDArray[np.float32], model: MapModel, tolerance: float
) -> NDArray[np.int64]:
    """Row (B,) of each structure among the fitted ones; -1 where it is none, or has changed since."""
    rows = np.asarray(pc.fill_null(pc.index_in(mine, ids), -1), np.int64)
    apart = np.abs(points - model.points[rows]).max(axis=1, initial=0.0)
    rows[apart > tolerance] = -1
    return rows
