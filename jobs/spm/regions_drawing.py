"""Pictures of clusters of boxes: the map of their representations, their distances and their likeness."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.landscape.hierarchy import OUTLIER
from jobs.picture import GRID_COLOUR, picture
from jobs.spm.maps.palette import cluster_colour, colour_of
from jobs.spm.maps.quantities import OUTLIER as NO_CLUSTER
from jobs.spm.maps.quantities import title_of
from jobs.spm.region_summary import Boxes
from jobs.spm.spacings import BIN, EDGES, AtomDistances, BoxDistances

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
SHOWN = 6
"""Clusters in histograms, the largest first."""
CLASSES = 8
"""Classes with a colour of their own."""
FEWEST = 25
"""Atoms for whom a histogram is worth drawing."""
OTHER = "#b0b0b0"
_POINTS = 40_000.0


def draw_map(path: Path, boxes: Boxes) -> None:
    """Draw the embedding three times: by cluster, by class and by mutual information."""
    shown = np.isfinite(boxes.place[:, 0])
    place, order = boxes.place[shown], np.random.default_rng(0).permutation(int(shown.sum()))
    size = float(np.clip(_POINTS / max(len(place), 1), 1.0, 20.0))
    dots: dict[str, Any] = {"s": size, "linewidths": 0.0, "rasterized": True}
    with picture(path, (13.4, 5.0), colours=None) as figure:
        panels = figure.subplots(1, 3)
        for axes, (names, colours, codes) in zip(
            panels, (_by_cluster(boxes.cluster[shown]), _by_class(boxes.prototype[shown])), strict=False
        ):
            axes.scatter(*place[order].T, c=np.array(colours)[codes[order]], **dots)
            _legend(axes, names, colours)
        values = boxes.mutual_information[shown]
        drawn = panels[2].scatter(*place[order].T, c=values[order], cmap="magma", vmin=0.0, **dots)
        bar: dict[str, Any] = {"shrink": 0.8, "pad": 0.02}
        figure.colorbar(drawn, ax=panels[2], label="mutual information (nat)", **bar)
        for axes, title in zip(panels, ("cluster", "prototype", "uncertainty"), strict=True):
            axes.set(title=title, xticks=[], yticks=[])


def draw_differences(path: Path, distances: BoxDistances, boxes: Boxes) -> None:
    """Draw how much farther apart like neighbours of one species are than those of another.

    A row per cluster, the largest first, and a column per two species.
    """
    pairs = list(combinations(distances.labels, 2))
    shown = _largest(np.bincount(boxes.cluster[boxes.cluster >= 0]))
    with picture(path, (1.6 + 3.8 * len(pairs), 0.8 + 0.95 * len(shown)), colours=None) as figure:
        grid = figure.subplots(len(shown), len(pairs), sharex="col", squeeze=False)
        for column, (first, second) in zip(grid.T, pairs, strict=True):
            values = distances.difference(first, second)
            edges = _edges(values[np.isin(boxes.cluster, shown)])
            for number, axes in zip(shown, column, strict=True):
                counts, _ = np.histogram(values[boxes.cluster == number], edges)
                axes.stairs(counts, edges, color=_colour(number), fill=True)
                axes.axvline(0.0, color="black", linewidth=0.8, linestyle=":")
                _finish(axes)
            column[-1].set_xlabel(f"$d_{{\\mathrm{{{first * 2}}}}} - d_{{\\mathrm{{{second * 2}}}}}$ (Å)")
        for number, axes in zip(shown, grid[:, 0], strict=True):
            caption = _caption(boxes, number)
            axes.set_ylabel(caption, rotation=0, ha="right", va="center", fontsize=8, labelpad=8)
        figure.supylabel("boxes", fontsize=9)


def draw_neighbors(path: Path, atoms: AtomDistances) -> None:
    """Draw how far the nearest neighbours of the atoms of each cluster are, for every pair of species."""
    labels = atoms.labels
    pairs = [(a, b) for a in range(len(labels)) for b in range(len(labels))]
    columns = min(len(labels), 3)
    with picture(path, (4.6 * columns, 3.3 * -(-len(pairs) // columns))) as figure:
        for axes, (alpha, beta) in zip(_panels(figure, len(pairs), columns), pairs, strict=True):
            counts = atoms.counts[:-1, alpha, beta]
            shown = _largest(counts.sum(axis=1), FEWEST)
            used = np.flatnonzero(counts[shown].sum(axis=0))
            for number in shown:
                share = counts[number] / counts[number].sum() / BIN
                axes.stairs(share, EDGES, color=_colour(number), linewidth=1.3, label=f"cluster {number}")
            if len(used):
                axes.set_xlim(EDGES[used[0]] - 2 * BIN, EDGES[used[-1] + 1] + 2 * BIN)
            axes.set(xlabel=f"nearest {labels[beta]} of {labels[alpha]} (Å)", ylabel="share of atoms (1/Å)")
            _finish(axes)
            axes.legend(fontsize=7)


def draw_similarity(path: Path, matrix: Floats, names: Sequence[str]) -> None:
    """Draw a matrix of cosine similarities."""
    side = float(np.clip(1.8 + 0.45 * len(names), 3.2, 12.0))
    with picture(path, (side + 0.9, side), colours=None) as figure:
        axes = figure.subplots()
        low = float(np.floor(10.0 * np.nanmin(matrix)) / 10.0) if np.isfinite(matrix).any() else 0.0
        drawn = axes.imshow(matrix, cmap="viridis", vmin=min(low, 0.9), vmax=1.0)
        axes.set_xticks(range(len(names)), labels=names, rotation=90)
        axes.set_yticks(range(len(names)), labels=names)
        figure.colorbar(drawn, ax=axes, label="cosine similarity", shrink=0.8)
        if len(names) <= 12:
            for (row, column), value in np.ndenumerate(matrix):
                axes.text(
                    column,
                    row,
                    f"{value:.2f}",
                    ha="center",
                    va="center",
                    fontsize=7,
                    color=_ink(drawn, value),
                )


def _ink(drawn: Any, value: float) -> str:
    """Black on light and white on dark colours."""
    red, green, blue, _ = drawn.cmap(drawn.norm(value))
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"


def _by_cluster(clusters: NDArray[np.int32]) -> tuple[list[str], list[str], NDArray[np.int64]]:
    """Names, colours, and the code (n,) of each box."""
    present = np.unique(clusters[clusters != OUTLIER]).tolist()
    names = [*(f"{number}" for number in present), NO_CLUSTER[0]]
    colours = [*map(_colour, present), NO_CLUSTER[1]]
    codes = np.where(clusters == OUTLIER, len(present), np.searchsorted(present, clusters))
    return names, colours, codes


def _by_class(prototypes: NDArray[np.str_]) -> tuple[list[str], list[str], NDArray[np.int64]]:
    labels, codes, counts = np.unique(prototypes, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    rank = np.empty(len(labels), np.int64)
    rank[order] = np.arange(len(labels))
    shown = [str(labels[k]) for k in order[:CLASSES]]
    return (
        [*map(title_of, shown), "other"],
        [*map(colour_of, shown), OTHER],
        np.minimum(rank[codes], len(shown)),
    )


def _legend(axes: Axes, names: Sequence[str], colours: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=colour, label=name) for name, colour in zip(names, colours, strict=True)]
    below: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.02), "frameon": False}
    axes.legend(handles=handles[:20], ncols=3, fontsize=7, **below)


def _edges(values: Floats) -> Floats:
    """Edges of bins over all but the most extreme values."""
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, [0.5, 99.5]) if len(known) else (0.0, 0.0)
    return np.linspace(low - 0.05, high + 0.05, 81)


def _caption(boxes: Boxes, number: int) -> str:
    """Number, size and most frequent class of a cluster."""
    member = boxes.cluster == number
    names, counts = np.unique(boxes.prototype[member], return_counts=True)
    return f"cluster {number}\n{member.sum():,} boxes\n{title_of(str(names[counts.argmax()]))}"


def _largest(sizes: NDArray[np.integer], least: int = 1) -> list[int]:
    order = np.argsort(-sizes, kind="stable")[:SHOWN]
    return [int(number) for number in order if sizes[number] >= least]


def _panels(figure: Figure, count: int, columns: int = 3) -> list[Axes]:
    grid = figure.subplots(-(-count // columns), min(count, columns), squeeze=False)
    for axes in grid.flat[count:]:
        axes.set_axis_off()
    return list(grid.flat[:count])


def _colour(number: int) -> str:
    return cluster_colour(number)


def _finish(axes: Axes) -> None:
    axes.grid(visible=True, color=GRID_COLOUR)
    axes.set_axisbelow(True)
    axes.set_ylim(bottom=0.0)
