"""One picture of a map: its points, coloured by a quantity, and what explains the colours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jobs.landscape.marks import Mark, Moved, moved_marks
from jobs.landscape.quantities import BACKGROUND, NAMED, Categories, Numbers, Quantity
from jobs.picture import picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]

SIDE = 5.0
"""Of the map, inches."""
LEGEND, SCALE = 2.9, 0.95
"""Widths of the column with a legend, or with a scale of colours."""
TOP = 0.3
LEFT = 0.1
DOTS_PER_INCH = 300
COLOUR_MAP = "viridis"
LONGEST = 46
"""Characters of a text."""
MARGIN = 0.03
COVERED = 0.35
"""Share of the map that the points would cover side by side."""
SIZES = (0.35, 14.0)
"""Least and largest area of a point, in square points."""


def draw_map(path: Path, places: Doubles, quantity: Quantity, marks: Sequence[Mark] = ()) -> None:
    """Draw points (N, 2), coloured by a quantity of theirs, as PNG, SVG or PDF; they are an image in each.

    Points without a place, NaN, are left out.
    """
    shown = np.asarray(np.isfinite(places).all(axis=1))
    square = Square.around(places[shown])
    size = (SIDE + (LEGEND if isinstance(quantity, Categories) else SCALE), SIDE + TOP)
    with picture(path, size, dots_per_inch=DOTS_PER_INCH, colours=None, layout=None) as figure:
        axes = figure.add_axes((LEFT / size[0], 0.05 / size[1], SIDE / size[0], SIDE / size[1]))
        axes.set_axis_off()
        (x, y), side = square
        axes.set(xlim=(x, x + side), ylim=(y, y + side))
        title = axes.set_title(
            f"{plain(quantity.title)}, {shown.sum():,} structures", loc="left", fontsize=10
        )
        title.set_parse_math(False)
        if isinstance(quantity, Categories):
            _draw_categories(figure, axes, places, quantity, shown)
        else:
            _draw_numbers(figure, axes, places, quantity, shown)
        for moved in moved_marks(marks, places[shown], square.low, 72.0 * SIDE / side):
            _mark(axes, moved)


class Square(NamedTuple):
    """The part of the plane that is drawn: its lower left corner (2,) and its side."""

    low: Doubles
    side: float

    @classmethod
    def around(cls, places: Doubles) -> Square:
        """Return one with all points (N, 2) in it."""
        low, high = (places.min(axis=0), places.max(axis=0)) if len(places) else (np.zeros(2), np.ones(2))
        side = (1.0 + 2.0 * MARGIN) * max(float((high - low).max()), 1e-6)
        return cls(0.5 * (low + high - side), side)


def _draw_categories(
    figure: Figure, axes: Axes, places: Doubles, quantity: Categories, shown: NDArray[np.bool_]
) -> None:
    colours, dots = quantity.rgb(), _dots(int(shown.sum()))
    named = (quantity.codes >= 0) & (quantity.codes < NAMED)
    rank = (quantity.codes >= 0).astype(np.int64) + named + (named & ~quantity.pale)
    order = _order(shown, rank)
    axes.scatter(places[order, 0], places[order, 1], c=colours[order], **dots)
    from matplotlib.lines import Line2D

    dot: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 5, "markeredgewidth": 0.0}
    names, shades = [*quantity.names], [*quantity.colours]
    if quantity.background:
        names, shades = [*names, quantity.background], [*shades, BACKGROUND]
    legend = figure.legend(
        handles=[Line2D([], [], color=colour, **dot) for colour in shades],
        labels=[f"{number}" for number in range(len(names))],
        loc="upper left",
        bbox_to_anchor=((SIDE + 0.15) / (SIDE + LEGEND), 0.945),
        frameon=False,
        fontsize=8,
        handletextpad=0.3,
        title=quantity.pale_name or None,
        title_fontsize=8,
        alignment="left",
    )
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(plain(name))
        text.set_parse_math(False)


def _draw_numbers(
    figure: Figure, axes: Axes, places: Doubles, quantity: Numbers, shown: NDArray[np.bool_]
) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm, Normalize

    scale = (LogNorm if quantity.logarithmic else Normalize)(quantity.low, quantity.high)
    colours, known = ScalarMappable(scale, COLOUR_MAP), np.isfinite(quantity.values)
    dots = _dots(int(shown.sum()))
    without = shown & ~known
    axes.scatter(places[without, 0], places[without, 1], color=BACKGROUND, **dots)
    order = _order(shown & known, np.zeros(len(places)))
    axes.scatter(places[order, 0], places[order, 1], c=colours.to_rgba(quantity.values[order]), **dots)
    width, height = figure.get_size_inches()
    bar = figure.add_axes(((SIDE + 0.2) / width, 0.25 * SIDE / height, 0.14 / width, 0.5 * SIDE / height))
    label = plain(f"{quantity.title} ({quantity.unit})" if quantity.unit else quantity.title)
    drawn = figure.colorbar(colours, cax=bar, extend=quantity.extends, format="{x:g}")
    drawn.ax.set_ylabel(label).set_parse_math(False)


def plain(text: str) -> str:
    """Return a text in one line, without characters that cannot be seen, cut where it is long."""
    seen = "".join(letter if letter.isprintable() else " " for letter in text)
    return seen if len(seen) <= LONGEST else f"{seen[: LONGEST - 1]}…"


def _dots(count: int) -> dict[str, Any]:
    area = COVERED * (72.0 * SIDE) ** 2 / max(count, 1)
    return {"s": float(np.clip(area, *SIZES)), "linewidths": 0.0, "rasterized": True}


def _order(chosen: NDArray[np.bool_], rank: NDArray[Any]) -> NDArray[np.int64]:
    """Return the chosen points, higher ranks last and at random within one, so that none hides the others."""
    rows = np.flatnonzero(chosen)
    random = np.random.default_rng(0).permutation(len(rows))
    return rows[np.lexsort((random, rank[rows]))]


def _mark(axes: Axes, moved: Moved) -> None:
    """Write a mark, with a line to its place where it stands aside."""
    box: dict[str, Any] = {
        "boxstyle": "round,pad=0.1",
        "facecolor": "white",
        "edgecolor": "none",
        "alpha": 0.7,
    }
    line: dict[str, Any] = {
        "arrowstyle": "-",
        "color": "#404040",
        "linewidth": 0.4,
        "shrinkA": 1.0,
        "shrinkB": 0.0,
    }
    axes.annotate(
        moved.mark.text,
        (moved.mark.x, moved.mark.y),
        (moved.right, moved.up),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=7,
        bbox=box,
        arrowprops=line if moved.right or moved.up else None,
        annotation_clip=False,
    )
