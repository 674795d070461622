"""How far maps agree: of several backends, in fewer dimensions, and of placed structures with fitted ones."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from engine.errors import CrysiftError
from engine.landscape.backend import backend_of
from engine.landscape.cluster import cluster
from engine.landscape.components import Projection
from engine.landscape.model import MapSettings, Places, fit_map
from engine.landscape.quality import (
    Quality,
    adjusted_rand_index,
    drawn_rows,
    embedding_quality,
    neighbor_recall,
)
from jobs.bench.report import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from engine.landscape.backend import Backend

    Singles = NDArray[np.float32]

REFERENCE: Backend = "torch"
JUDGED = 15
"""Neighbours that trustworthiness and continuity look at."""
SHARE = 3
"""One structure in so many is fitted, the others are placed."""
FITTED, PLACED = "fitted third", "placed rest"
SAME, SCALED = "same settings", f"settings / {SHARE}"
AGREEMENT = "ARI with clusters of all"


class Compared(NamedTuple):
    """What agreement is measured on."""

    vectors: Singles
    settings: MapSettings
    judged: NDArray[np.int64]
    """Rows at which embeddings are judged, and searches for neighbours."""
    seed: int


def usable_backends(points: int) -> tuple[list[Backend], list[str]]:
    """Return the backends that this machine has, the reference first, and why others are left out."""
    usable: list[Backend] = [REFERENCE, "cpu"]
    try:
        usable.append(backend_of("cuml", points))
    except CrysiftError:
        return usable, ["cuml: not run, since it needs an NVIDIA GPU and RAPIDS"]
    return usable, []


def agreement(
    compared: Compared, backends: Sequence[Backend], all_columns: NDArray[np.int64]
) -> list[Figure]:
    """Compare backends, numbers of columns at the rows ``all_columns``, and placed structures with fitted."""
    few = compared.vectors[: 2 * compared.settings.neighbors(len(compared.vectors))]
    clustering = replace(compared.settings.clustering, min_cluster_size=5)
    with_small_clusters = replace(compared.settings, clustering=clustering)
    for backend in backends:  # compiles what the time is measured of
        fit_map(few, with_small_clusters, backend)
    figures, together = backends_agree(compared, backends)
    return [*figures, *placed_agree(compared, together), *reduced_agrees(compared, all_columns)]


def backends_agree(compared: Compared, backends: Sequence[Backend]) -> tuple[list[Figure], Places]:
    """Map the same vectors with each backend; returns the reference's places as well."""
    figures: list[Figure] = []
    maps: dict[Backend, Places] = {}
    for backend in backends:
        start = time.perf_counter()
        model, maps[backend] = fit_map(compared.vectors, compared.settings, backend)
        seconds = time.perf_counter() - start
        found = maps[backend].neighbors.indices[compared.judged]
        recall = neighbor_recall(model.points, compared.judged, found)
        quality = _quality(compared, maps[backend].plane, compared.judged)
        same = adjusted_rand_index(maps[REFERENCE].clusters.labels, maps[backend].clusters.labels)
        figures += [
            Figure(f"{backend}: map of {len(compared.vectors):,} structures", seconds, "s"),
            Figure(f"{backend}: nearest neighbours found", 100 * recall, "%"),
            *_judgement(backend, quality),
        ]
        if backend != REFERENCE:
            figures.append(Figure(f"{backend} and {REFERENCE}: ARI of clusters", same, ""))
    return figures, maps[REFERENCE]


def reduced_agrees(compared: Compared, rows: NDArray[np.int64]) -> list[Figure]:
    """Cluster the same rows in their principal components and in all columns."""
    vectors, settings = compared.vectors[rows], compared.settings.clustering
    labels, seconds, widths = [], [], []
    for variance in (compared.settings.variance, 1.0):
        points = Projection.fit(vectors, variance)(vectors)
        start = time.perf_counter()
        labels.append(cluster(points, settings)[0].core)
        seconds.append(time.perf_counter() - start)
        widths.append(points.shape[1])
    few, many = (f"{width} components" for width in widths)
    return [
        Figure(f"{few} and {many}: ARI of clusters", adjusted_rand_index(*labels), ""),
        *(
            Figure(f"{name}: clusters", float(found.max() + 1), "")
            for name, found in zip((few, many), labels, strict=True)
        ),
        Figure(f"{many} / {few}: time of HDBSCAN", seconds[1] / seconds[0], "times"),
    ]


def placed_agree(compared: Compared, together: Places) -> list[Figure]:
    """Fit a part and place the rest in it; ``together`` are the places where all are fitted.

    The clusters of a part are compared twice: with the settings as they are, and with the smallest size and
    the neighbours in proportion to the part.
    """
    vectors, settings, count = compared.vectors, compared.settings, len(compared.vectors)
    fitted = drawn_rows(count, count // SHARE, compared.seed)
    rest = np.setdiff1d(np.arange(count), fitted)
    model, of_part = fit_map(vectors[fitted], settings, REFERENCE)
    of_rest = model.place(vectors[rest])
    plane = np.empty((count, 2), np.float32)
    plane[fitted], plane[rest] = of_part.plane, of_rest.plane
    figures = []
    for name, rows in ((FITTED, fitted), (PLACED, rest)):
        judged = rows[drawn_rows(len(rows), len(compared.judged), compared.seed)]
        figures += _judgement(name, _quality(compared, plane, judged))
    clustering = settings.clustering
    in_part = replace(
        clustering,
        min_cluster_size=max(clustering.min_cluster_size // SHARE, 2),
        min_samples=max(clustering.neighbors // SHARE, 1),
    )
    smaller, of_smaller = fit_map(
        vectors[fitted], replace(settings, clustering=in_part), REFERENCE, plane=of_part.plane
    )
    labels = together.clusters.labels
    for how, first, second in (
        (SAME, of_part, of_rest),
        (SCALED, of_smaller, smaller.place(vectors[rest])),
    ):
        for name, rows, places in ((FITTED, fitted, first), (PLACED, rest, second)):
            same = adjusted_rand_index(labels[rows], places.clusters.labels)
            figures.append(Figure(f"{name}, {how}: {AGREEMENT}", same, ""))
    return figures


def _quality(compared: Compared, plane: Singles, rows: NDArray[np.int64]) -> Quality:
    return embedding_quality(compared.vectors, plane, JUDGED, rows)


def _judgement(name: str, quality: Quality) -> list[Figure]:
    return [
        Figure(f"{name}: trustworthiness", quality.trustworthiness, ""),
        Figure(f"{name}: continuity", quality.continuity, ""),
    ]
