"""Similarity and recognition of clusters over their size, by family of prototypes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jobs.picture import GRID_COLOUR, picture
from jobs.studies.arise.supercells import TRAINED_FROM, smallest_recognised

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

SIZE = (10.5, 7.2)
FAMILIES = {
    "elemental": ("#2f6db5", "o"),
    "binary": ("#e69f00", "s"),
    "ternary": ("#009e73", "^"),
    "quaternary": ("#cc79a7", "D"),
    "2d": ("#40307a", "v"),
}
"""Colour and marker of each family of prototypes; told apart by colour-blind readers too."""
TITLES = {"2d": "two-\ndimensional"}
EDGES = np.geomspace(2.0, 2048.0, 11)
"""Of the bins in atoms: factors of two."""


def draw(path: Path, rows: pa.Table) -> None:
    """Draw similarity of vectors and of hidden layers, share recognised, and smallest sizes recognised."""
    with picture(path, SIZE, colours=None) as figure:
        (descriptor, hidden), (share, smallest) = figure.subplots(2, 2)
        _draw_similarity(descriptor, rows, "similarity_descriptor", "SOAP vectors")
        _draw_similarity(hidden, rows, "similarity_representation", "last hidden layer")
        _draw_share(share, rows)
        _draw_smallest(smallest, rows)
        for axes in (descriptor, hidden, share):
            axes.set(xscale="log", xlabel="atoms in the cluster")
            axes.axvline(TRAINED_FROM, color="black", linestyle=":", linewidth=0.9)
        for axes in (descriptor, hidden, share, smallest):
            axes.grid(visible=True, color=GRID_COLOUR)
            axes.set_axisbelow(True)
        figure.legend(
            *descriptor.get_legend_handles_labels(), loc="outside upper center", ncols=5, frameon=False
        )


def _draw_similarity(axes: Axes, rows: pa.Table, column: str, of_what: str) -> None:
    for family, (colour, marker) in FAMILIES.items():
        atoms, values = _clusters(rows, family, column)
        centres, (low, middle, high) = _binned(atoms, values)
        title = TITLES.get(family, family).replace("\n", "")
        axes.plot(centres, middle, color=colour, marker=marker, markersize=4, label=title)
        axes.fill_between(centres, low, high, color=colour, alpha=0.15, linewidth=0.0)
    axes.set(ylabel="cosine similarity to the crystal", title=of_what)
    axes.set_ylim(top=1.01)


def _draw_share(axes: Axes, rows: pa.Table) -> None:
    for family, (colour, marker) in FAMILIES.items():
        atoms, right = _clusters(rows, family, "is_right")
        present = [bin_ for bin_ in range(len(EDGES) - 1) if (_bins(atoms) == bin_).any()]
        shares = [right[_bins(atoms) == bin_].mean() for bin_ in present]
        axes.plot(_centres()[present], shares, color=colour, marker=marker, markersize=4)
    axes.set(ylabel="share of clusters recognised", ylim=(-0.03, 1.03))


def _draw_smallest(axes: Axes, rows: pa.Table) -> None:
    """One marker for each prototype; those of one size stand beside each other."""
    found = smallest_recognised(rows)
    for place, (family, (colour, marker)) in enumerate(FAMILIES.items()):
        sizes = np.sort([float(each.atoms) for each in found if each.family == family and each.atoms])
        seen: dict[int, int] = {}
        for size in sizes:
            near = round(6.0 * np.log2(size))
            count = seen[near] = seen.get(near, 0) + 1
            offset = 0.075 * (count // 2) * (1 if count % 2 else -1)
            axes.plot(place + offset, size, marker=marker, color=colour, markersize=4, linestyle="none")
    axes.set_xticks(range(len(FAMILIES)), [TITLES.get(family, family) for family in FAMILIES])
    axes.axhline(TRAINED_FROM, color="black", linestyle=":", linewidth=0.9)
    axes.set(yscale="log", ylabel="atoms from which on\nall clusters are recognised")
    axes.set_xlim(-0.6, len(FAMILIES) - 0.4)


def _clusters(rows: pa.Table, family: str, column: str) -> tuple[Floats, Floats]:
    """Atoms and values (n,) of the clusters of a family."""
    wanted = (np.array(rows["kind"].to_pylist()) == "cluster") & (
        np.array(rows["family"].to_pylist()) == family
    )
    return rows["n_atoms"].to_numpy()[wanted].astype(np.float64), rows[column].to_numpy()[wanted].astype(
        np.float64
    )


def _binned(atoms: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Centres (b,) of the bins that hold clusters, and their 10th, 50th and 90th percentiles (3, b)."""
    present = [bin_ for bin_ in range(len(EDGES) - 1) if (_bins(atoms) == bin_).any()]
    of_bins = [np.percentile(values[_bins(atoms) == bin_], (10, 50, 90)) for bin_ in present]
    return _centres()[present], np.transpose(of_bins)


def _bins(atoms: Floats) -> NDArray[np.int64]:
    return np.asarray(np.digitize(atoms, EDGES) - 1, np.int64)


def _centres() -> Floats:
    return np.sqrt(EDGES[:-1] * EDGES[1:])
