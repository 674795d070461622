"""A picture to choose the smallest cluster size from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.picture import GRID_COLOUR, picture

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]

IN_CLUSTERS, ASSIGNED, OUTLIERS = "#2f6db5", "#9cc3ea", "#e4e4e4"
STABLE, PERSISTENT = "#2f6db5", "#b35806"
ROOM = 20
"""Points between a panel and its title, for its legend."""
BARS = 0.72
"""Width of a bar, where their distance is 1."""


def sweep_picture(table: pa.Table, path: Path) -> None:
    """Draw clusters, outliers and stability over the smallest size, of a MAP_SWEEP; PNG, SVG or PDF."""
    values = {
        name: table[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in table.column_names
    }
    sizes = [f"{int(size)}" for size in values["min_cluster_size"]]
    with picture(path, (10.2, 3.1), dots_per_inch=200, colours=None) as figure:
        panels = figure.subplots(1, 3)
        for axes, draw in zip(panels, (_clusters, _outliers, _stability), strict=True):
            axes.set_xticks(range(len(sizes)), labels=sizes)
            axes.set(xlabel="smallest cluster size", xlim=(-0.6, len(sizes) - 0.4))
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(visible=True, axis="y", color=GRID_COLOUR, linewidth=0.6)
            axes.set_axisbelow(True)
            draw(axes, values)


def _clusters(axes: Axes, values: dict[str, Doubles]) -> None:
    from matplotlib.ticker import NullLocator

    counts = values["clusters"]
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set(ylabel="number", ylim=(0.7, 2.0 * max(counts.max(), 1.0)))
    axes.set_title("Clusters", pad=ROOM)
    axes.bar(range(len(counts)), counts, BARS, color=IN_CLUSTERS)
    for place, count in enumerate(counts):
        axes.annotate(f"{count:.0f}", (place, max(count, 0.7)), (0, 2), **_LABEL)


def _outliers(axes: Axes, values: dict[str, Doubles]) -> None:
    places = np.arange(len(values["clusters"]))
    outliers, assigned = 100.0 * values["outlier_fraction"], 100.0 * values["assigned_fraction"]
    inside = 100.0 - outliers
    axes.set(ylabel="share (%)", ylim=(0.0, 100.0))
    axes.bar(places, inside, BARS, color=IN_CLUSTERS, label="in clusters")
    axes.bar(places, assigned, BARS, inside, color=ASSIGNED, label="assigned to clusters")
    axes.bar(places, outliers - assigned, BARS, inside + assigned, color=OUTLIERS, label="outliers")
    axes.legend(**_ABOVE, ncols=3)
    axes.set_title("Structures", pad=ROOM)


def _stability(axes: Axes, values: dict[str, Doubles]) -> None:
    places = np.arange(len(values["clusters"]))
    stable = values["stability"]
    spread = np.array([stable - values["stability_low"], values["stability_high"] - stable])
    axes.errorbar(
        places,
        stable,
        np.clip(spread, 0.0, None),
        fmt="o-",
        color=STABLE,
        capsize=3,
        label="ARI with halves",
        markersize=5,
        linewidth=1.3,
    )
    axes.plot(
        places,
        values["persistence"],
        "s--",
        color=PERSISTENT,
        markersize=4,
        label="persistence",
        linewidth=1.3,
    )
    low = min(0.0, np.nanmin(values["stability_low"], initial=0.0) - 0.02)
    axes.set(ylabel="1 is best", ylim=(low, 1.0))
    axes.legend(**_ABOVE, ncols=2)
    axes.set_title("Stability", pad=ROOM)


_LABEL: dict[str, Any] = {
    "textcoords": "offset points",
    "ha": "center",
    "va": "bottom",
    "fontsize": 8,
}
_ABOVE: dict[str, Any] = {
    "loc": "lower center",
    "bbox_to_anchor": (0.5, 0.985),
    "frameon": False,
    "fontsize": 8,
    "handlelength": 1.2,
    "columnspacing": 1.0,
}
