"""Maps of strided pattern matching as SVG, PDF or PNG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from engine.spm.grid import Grid
from jobs.picture import picture
from jobs.spm.maps.legends import colour_bar, entries, legend, legend_height, show
from jobs.spm.maps.planes import Plane, middle_planes
from jobs.spm.maps.quantities import Quantity, Scalars

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS_PER_INCH = 200
PANEL = 2.9
"""Longer side of a map, inches; so are all lengths here."""
ALONE = 4.6
"""The same of a map that is alone."""
LEFT = 0.3
TOP = 0.32
TITLE = 0.2
UNDER = 0.42
"""Room under a map for its scale bar."""
GAP = 0.34
BAR = 0.12
BAR_LABELS = 0.5
SHORTEST = 1.7
"""Length of an upright colour scale, so that its label has room."""
ASIDE = 2.1
"""Width of the column with the legend beside planes."""
ONE_COLUMN = 4
"""Lines of a legend under a map, before it gets a second column."""


@dataclass(frozen=True)
class Page:
    """A figure whose axes are placed by their distance from its upper left corner, inches."""

    figure: Figure
    width: float
    height: float

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Add axes."""
        bottom = 1.0 - (top + height) / self.height
        return self.figure.add_axes((left / self.width, bottom, width / self.width, height / self.height))

    def text(self, left: float, text: str, aligned: Literal["left", "center"]) -> None:
        """Write the title of what is below."""
        y = 1.0 - 0.08 / self.height
        self.figure.text(left / self.width, y, text, ha=aligned, va="top", fontsize=10)


def draw_overview(path: Path, grid: Grid, quantities: Sequence[Quantity], frame: int = 0) -> None:
    """Draw quantities side by side: the one plane of a flat grid, else the middle planes of all axes."""
    planes = middle_planes(grid)
    sizes = [_size(plane, PANEL) for plane in planes]
    width = max(size[0] for size in sizes)
    listed = [entries(quantity, planes, frame) for quantity in quantities]
    footer = max(_footer(quantity, len(names)) for quantity, names in zip(quantities, listed, strict=True))
    body = sum(_above(plane) + height + UNDER for plane, (_, height) in zip(planes, sizes, strict=True))
    with _page(path, LEFT + len(quantities) * (width + GAP), TOP + body + footer) as page:
        for column, (quantity, names) in enumerate(zip(quantities, listed, strict=True)):
            left, top = LEFT + column * (width + GAP), TOP
            page.text(left + width / 2, quantity.title, "center")
            for plane, size in zip(planes, sizes, strict=True):
                top += _above(plane)
                _show(page, (left + (width - size[0]) / 2, top, *size), plane, quantity, frame)
                top += size[1] + UNDER
            if isinstance(quantity, Scalars):
                colour_bar(
                    page.axes(left + 0.1 * width, top + 0.04, 0.8 * width, BAR), quantity, "horizontal"
                )
            else:
                legend(
                    page.axes(left, top, width, footer), names, columns=2 if len(names) > ONE_COLUMN else 1
                )


def draw_planes(path: Path, planes: Sequence[Plane], quantity: Quantity, frame: int = 0) -> None:
    """Draw a quantity on one plane, or on several parallel ones in one scale."""
    width, height = _size(planes[0], PANEL if len(planes) > 1 else ALONE)
    row_height = _above(planes[0]) + height + UNDER
    columns = _columns(len(planes), width + GAP, row_height)
    rows = -(-len(planes) // columns)
    names = entries(quantity, planes, frame)
    aside, begin = LEFT + columns * (width + GAP), TOP + _above(planes[0])
    scale = max(min(height, PANEL), SHORTEST) if isinstance(quantity, Scalars) else 0.0
    end = begin + scale + GAP + legend_height(len(names))
    with _page(path, aside + ASIDE, max(TOP + rows * row_height, end)) as page:
        page.text(LEFT, quantity.title, "left")
        for number, plane in enumerate(planes):
            row, column = divmod(number, columns)
            place = (LEFT + column * (width + GAP), begin + row * row_height, width, height)
            _show(page, place, plane, quantity, frame)
        if isinstance(quantity, Scalars):
            colour_bar(page.axes(aside, begin, BAR, scale), quantity, "vertical")
            begin += scale + GAP
        legend(page.axes(aside, begin, ASIDE, page.height - begin), names, columns=1)


def _show(
    page: Page, place: tuple[float, float, float, float], plane: Plane, quantity: Quantity, frame: int
) -> None:
    axes = page.axes(*place)
    show(axes, plane, quantity, frame)
    axes.set_title(plane.title, loc="left", fontsize=8, pad=3)


@contextmanager
def _page(path: Path, width: float, height: float) -> Iterator[Page]:
    placed = {"dots_per_inch": DOTS_PER_INCH, "colours": None}
    with picture(path, (width, height), layout=None, **placed) as figure:  # type: ignore[arg-type]
        yield Page(figure, width, height)


def _size(plane: Plane, longest: float) -> tuple[float, float]:
    """Width and height of a map with sides of at most `longest`."""
    left, right, bottom, top = plane.extent
    scale = longest / max(right - left, top - bottom)
    return scale * (right - left), scale * (top - bottom)


def _above(plane: Plane) -> float:
    """Room over a map for its title."""
    return TITLE if plane.title else 0.0


def _footer(quantity: Quantity, n_entries: int) -> float:
    """Height of what explains a column of an overview."""
    if isinstance(quantity, Scalars):
        return BAR + BAR_LABELS
    return legend_height(-(-n_entries // 2) if n_entries > ONE_COLUMN else n_entries)


def _columns(count: int, width: float, height: float) -> int:
    """How many panels stand side by side: a picture a little wider than high, with few places left empty."""
    best = np.sqrt(1.4 * count * height / width)

    def waste(columns: int) -> float:
        return -(-count // columns) * columns - count + 1.5 * float(abs(columns - best))

    return min(range(1, count + 1), key=waste)
