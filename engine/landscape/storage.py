"""A fitted map as three tables of a store, and the rows of the table `map`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine.columns import contiguous
from engine.landscape.components import Projection
from engine.landscape.hierarchy import OUTLIER, Hierarchy
from engine.landscape.model import NEIGHBORS_KEPT, MapModel, MapSettings, Places
from engine.landscape.neighbors import Neighbors
from engine.schema import MAP, MAP_AXES, MAP_POINTS, MAP_TREE, SCHEMA_VERSION, STATUS_OK
from engine.store import Fingerprint

if TYPE_CHECKING:
    from engine.store import Store, Table

REVISION = 1
ROWS_PER_PART = 65_536
POINTS = "map_points"
_ONLY = "part-00000"


class FitTables(NamedTuple):
    """Where a fitted map is kept: its structures, its hierarchy and its principal components."""

    points: Table
    tree: Table
    axes: Table

    @classmethod
    def of(cls, store: Store, settings: dict[str, Any], model: str | None, source: str) -> FitTables:
        """Return the tables, existing or yet to be filled, of a map with these settings.

        ``model`` is the hash of the network, ``source`` the folder of the table that its vectors come from.
        """
        tables = [
            store.derived(
                Fingerprint(name, SCHEMA_VERSION, REVISION, settings, model, source), allow_new=True
            )
            for name in (POINTS, "map_tree", "map_axes")
        ]
        return cls(*tables)

    def complete(self) -> bool:
        """Whether the map was written to its end, and no part of it was taken away since."""
        if not self.axes.part_names() or not self.tree.part_names():
            return False
        return self.points.count().rows == self.axes.footer(_ONLY).rows_in

    def write(self, model: MapModel, ids: pa.Array, places: Places) -> None:
        """Write a map of the structures ``ids`` (N,); the principal components come last, and complete it."""
        rows = map_rows(ids, places, ids, fitted=True)
        for part, start in enumerate(range(0, len(rows), ROWS_PER_PART)):
            block = slice(start, start + ROWS_PER_PART)
            columns = {
                **dict(zip(MAP.names, rows.slice(start, ROWS_PER_PART).columns, strict=True)),
                "point": _lists(model.points[block]),
                "core_distance": pa.array(model.core_distances[block]),
                "branch": pa.array(model.hierarchy.branches[block]),
                "level": pa.array(model.hierarchy.levels[block]),
            }
            _commit(self.points, f"part-{part:05d}", pa.table(columns, schema=MAP_POINTS))
        _commit(self.tree, _ONLY, _tree_rows(model.hierarchy))
        axes = _axes_rows(model.projection)
        self.axes.commit(_ONLY, axes, source_part=None, rows_in=len(rows), failed=0, cost=float(len(axes)))

    def plane(self) -> NDArray[np.float32]:
        """Read the places (N, 2) of the fitted structures."""
        return np.concatenate([_plane(self.points.read(part, ["x", "y"])) for part in self._parts()])

    def _parts(self) -> list[str]:
        return sorted(self.points.part_names())

    def read(self, settings: MapSettings) -> tuple[MapModel, pa.Table]:
        """Read a map with its settings, and the rows of `map` for its structures."""
        rows = pa.concat_tables([self.points.read(part) for part in self._parts()])
        points = contiguous(rows["point"])
        values = points.flatten().to_numpy().reshape(len(points), -1).astype(np.float32)
        tree = self.tree.read(_ONLY)
        clusters = _numbers(tree, "cluster")
        chosen = np.flatnonzero(clusters != OUTLIER)
        hierarchy = Hierarchy(
            _numbers(rows, "branch"),
            _numbers(rows, "level"),
            _numbers(tree, "above"),
            _numbers(tree, "birth"),
            chosen[np.argsort(clusters[chosen])],
        )
        axes = np.array(self.axes.read(_ONLY)["values"].to_pylist())
        projection = Projection(axes[0], np.ascontiguousarray(axes[1:].T))
        core = _numbers(rows, "core_distance")
        return MapModel(settings, projection, values, core, hierarchy, _plane(rows)), rows.select(MAP.names)


def map_rows(ids: pa.Array, places: Places, fitted_ids: pa.Array, *, fitted: bool) -> pa.Table:
    """Rows of the table `map` for the structures ``ids`` (B,); their neighbours are among ``fitted_ids``.

    An earlier version of a structure is not its neighbour.
    """
    clusters, count = places.clusters, len(ids)
    neighbors = _of_others(ids, places.neighbors, fitted_ids)
    columns = {
        "structure_id": ids,
        "status": pa.repeat(pa.scalar(STATUS_OK), count),
        "x": pa.array(places.plane[:, 0]),
        "y": pa.array(places.plane[:, 1]),
        "cluster": pa.array(clusters.labels),
        "cluster_probability": pa.array(clusters.probabilities),
        "assigned": pa.array(clusters.assigned),
        "memberships": _structs(
            MAP.field("memberships").type,
            pa.array(clusters.memberships.clusters.ravel()),
            clusters.memberships.probabilities,
        ),
        "outlier_score": pa.array(clusters.outlier_scores),
        "neighbors": _structs(
            MAP.field("neighbors").type,
            fitted_ids.take(pa.array(neighbors.indices.ravel())),
            neighbors.distances,
        ),
        "fitted": pa.repeat(pa.scalar(fitted), count),
    }
    arrays = [columns[field.name] if field.name in columns else pa.nulls(count, field.type) for field in MAP]
    return pa.table(arrays, schema=MAP)


def _of_others(ids: pa.Array, near: Neighbors, fitted_ids: pa.Array) -> Neighbors:
    """Leave out fitted structures of the same id, and so many in all that `NEIGHBORS_KEPT` are left."""
    own = np.asarray(pc.fill_null(pc.index_in(ids, fitted_ids), -1))
    order = np.argsort(near.indices == own[:, None], axis=1, kind="stable")[:, :NEIGHBORS_KEPT]
    return Neighbors(
        np.take_along_axis(near.indices, order, axis=1), np.take_along_axis(near.distances, order, axis=1)
    )


def _structs(kind: pa.ListType, first: pa.Array, second: NDArray[np.float32]) -> pa.Array:
    """Lists of pairs: (B·m,) values of the first field, (B, m) of the second."""
    pairs = pa.StructArray.from_arrays([first, pa.array(second.ravel())], fields=list(kind.value_type))
    offsets = np.arange(len(second) + 1, dtype=np.int32) * second.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pairs, type=kind)


def _lists(values: NDArray[np.float32]) -> pa.Array:
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    kind = MAP_POINTS.field("point").type
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.ravel()), type=kind)


def _tree_rows(hierarchy: Hierarchy) -> pa.Table:
    clusters = np.full(len(hierarchy.above), OUTLIER, np.int32)
    clusters[hierarchy.chosen] = np.arange(hierarchy.count)
    branches = np.arange(len(hierarchy.above))
    return pa.table([branches, hierarchy.above, hierarchy.births, clusters], schema=MAP_TREE)


def _axes_rows(projection: Projection) -> pa.Table:
    rows = [projection.mean, *projection.axes.T]
    numbers = np.arange(len(rows), dtype=np.int32) - 1
    return pa.table([numbers, [row.tolist() for row in rows]], schema=MAP_AXES)


def _plane(rows: pa.Table) -> NDArray[np.float32]:
    return np.stack([_numbers(rows, "x"), _numbers(rows, "y")], axis=1)


def _numbers(rows: pa.Table, name: str) -> NDArray[Any]:
    return np.asarray(contiguous(rows[name]).to_numpy(zero_copy_only=False))


def _commit(table: Table, part: str, rows: pa.Table) -> None:
    table.commit(part, rows, source_part=None, rows_in=len(rows), failed=0, cost=float(len(rows)))
