"""What the clusters of boxes are: their sizes, classes, distances and likeness, as JSON values."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.columns import contiguous, fixed_size_values
from engine.landscape.hierarchy import OUTLIER
from engine.landscape.similarity import cosine_similarities
from engine.schema import STATUS_OK
from jobs.spm.regions import LEFT_OUT, clusters_of
from jobs.spm.spacings import BoxDistances, spacing_statistics

if TYPE_CHECKING:
    from engine.store import Table
    from jobs.spm.pipeline import SpmTables
    from models.representations import Layer

Floats = NDArray[np.float64]
CLASSES_SHOWN = 3


class Boxes(NamedTuple):
    """What is known of every row (N,) of `spm_grid`, in the order of parts and rows."""

    cluster: NDArray[np.int32]
    assigned: NDArray[np.bool_]
    classified: NDArray[np.bool_]
    prototype: NDArray[np.str_]
    mutual_information: Floats
    n_atoms: NDArray[np.int32]
    frame: NDArray[np.int32]
    place: Floats
    """Of the embedding (N, 2); NaN where there is none."""


def read_boxes(tables: SpmTables, regions: Table) -> Boxes:
    """Read the results of all boxes with their clusters."""
    import pyarrow as pa

    mine = ["status", "prototype", "mutual_information", "n_atoms", "frame"]
    parts = sorted(regions.part_names())
    grid = pa.concat_tables([tables.grid.read(part, mine) for part in parts])
    found = pa.concat_tables([regions.read(part, ["assigned", "x", "y"]) for part in parts])
    return Boxes(
        cluster=clusters_of(regions),
        assigned=contiguous(found["assigned"]).fill_null(False).to_numpy(zero_copy_only=False),
        classified=contiguous(grid["status"]).to_numpy(zero_copy_only=False) == STATUS_OK,
        prototype=np.array(contiguous(grid["prototype"]).fill_null("").to_pylist(), np.str_),
        mutual_information=_numbers(grid["mutual_information"]),
        n_atoms=contiguous(grid["n_atoms"]).fill_null(0).to_numpy(),
        frame=contiguous(grid["frame"]).to_numpy(),
        place=np.stack([_numbers(found["x"]), _numbers(found["y"])], axis=1),
    )


def _numbers(column: Any) -> Floats:
    return np.asarray(contiguous(column).to_numpy(zero_copy_only=False), np.float64)


class Likeness(NamedTuple):
    """Cosine similarities of mean representations: of clusters (K, K) and of frames (F, F)."""

    clusters: Floats
    frames: Floats


def likeness(tables: SpmTables, layer: Layer, boxes: Boxes) -> Likeness:
    """Compare the mean representations of clusters, and of the classified boxes of each frame."""
    clusters, frames = boxes.cluster.max(initial=OUTLIER) + 1, boxes.frame.max(initial=-1) + 1
    of_cluster, of_frame = np.zeros((clusters, layer.width)), np.zeros((frames, layer.width))
    begin = 0
    for part in sorted(tables.grid.part_names()):
        column = contiguous(tables.soap.read(part, ["vector"])["vector"])
        rows = slice(begin, begin + len(column))
        usable = boxes.classified[rows]
        vectors = fixed_size_values(column).reshape(len(column), column.type.list_size)
        points = layer(vectors[usable]).astype(np.float64)
        own = boxes.cluster[rows][usable]
        np.add.at(of_cluster, own[own >= 0], points[own >= 0])
        np.add.at(of_frame, boxes.frame[rows][usable], points)
        begin += len(column)
    return Likeness(cosine_similarities(of_cluster), cosine_similarities(of_frame))


def summarize_regions(boxes: Boxes, distances: BoxDistances | None, alike: Likeness) -> dict[str, Any]:
    """Tell how many boxes are clustered, and of every cluster its size, classes and distances."""
    count = int(boxes.cluster.max(initial=OUTLIER)) + 1
    chosen = boxes.cluster != LEFT_OUT
    summary = {
        "boxes": len(boxes.cluster),
        "clustered_boxes": int(chosen.sum()),
        "outliers": int((boxes.cluster == OUTLIER).sum()),
        "assigned": int(boxes.assigned.sum()),
        "clusters": [_cluster(boxes, number, int(chosen.sum())) for number in range(count)],
        "similarity": alike.clusters.tolist(),
        "similarity_of_frames": alike.frames.tolist(),
    }
    if distances is not None:
        summary["distances"] = spacing_statistics(distances, boxes.cluster)
        summary["differences"] = _differences(distances, boxes.cluster, count)
    return summary


def _cluster(boxes: Boxes, number: int, clustered: int) -> dict[str, Any]:
    member = boxes.cluster == number
    names, counts = np.unique(boxes.prototype[member], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:CLASSES_SHOWN]
    return {
        "cluster": number,
        "boxes": int(member.sum()),
        "share": float(member.sum() / clustered),
        "assigned": int((member & boxes.assigned).sum()),
        "classes": {str(names[k]): float(counts[k] / member.sum()) for k in order},
        "mutual_information": float(boxes.mutual_information[member].mean()),
        "atoms": float(boxes.n_atoms[member].mean()),
    }


def _differences(distances: BoxDistances, clusters: NDArray[np.int32], count: int) -> list[dict[str, Any]]:
    """Tell, in Å, by how much like neighbours of one species are farther apart than those of another."""
    rows = []
    for (first, second), number in (
        (pair, number) for pair in combinations(distances.labels, 2) for number in range(count)
    ):
        values = distances.difference(first, second)[clusters == number]
        values = values[np.isfinite(values)]
        if len(values):
            low, median, high = np.percentile(values, [25, 50, 75])
            rows.append(
                {
                    "cluster": number,
                    "difference": f"d_{first}{first} - d_{second}{second}",
                    "boxes": len(values),
                    "mean": float(values.mean()),
                    "std": float(values.std()),
                    "q25": float(low),
                    "q50": float(median),
                    "q75": float(high),
                }
            )
    return rows
