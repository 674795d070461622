"""Picture files of matplotlib figures; equal data give equal files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 120
FEW = 256
"""Colours of a PNG where these suffice."""
GRID_COLOUR = "#dddddd"
"""Of the lines behind what is drawn."""


@contextmanager
def picture(
    path: Path,
    size: tuple[float, float],
    *,
    dots_per_inch: int = DOTS_PER_INCH,
    colours: int | None = FEW,
    layout: Literal["constrained"] | None = "constrained",
) -> Iterator[Figure]:
    """Make a figure of this size in inches, and write it at the end: SVG, PDF or PNG, by the path's suffix.

    A PNG has so many `colours` at most, which makes it small, or all of them with None. `dots_per_inch` also
    holds for what is an image in an SVG or PDF.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {"font.family": "sans-serif", "font.size": 9, "axes.titlesize": 10}
    with mpl.rc_context({**style, "svg.fonttype": "none", "svg.hashsalt": "crysift", "hatch.linewidth": 0.6}):
        figure = Figure(figsize=size, layout=layout)
        yield figure
        if path.suffix == ".svg":
            figure.savefig(path, dpi=dots_per_inch, metadata={"Date": None, "Creator": None})
        elif path.suffix == ".pdf":
            nameless = {"CreationDate": None, "Creator": None, "Producer": None}
            figure.savefig(path, dpi=dots_per_inch, metadata=nameless)
        else:
            _save_png(figure, path, dots_per_inch, colours)


def _save_png(figure: Figure, path: Path, dots_per_inch: int, colours: int | None) -> None:
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dots_per_inch)
    drawn = Image.open(buffer).convert("RGB")
    if colours is not None:
        drawn = drawn.quantize(colours, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    drawn.save(path, optimize=True)
