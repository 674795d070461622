"""What was found along a rod: a structure with boxes along one axis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.spm.field import Field
from jobs.picture import picture
from jobs.spm.maps.drawing import DOTS_PER_INCH
from jobs.spm.maps.legends import PATTERN
from jobs.spm.maps.palette import HATCH, NOT_CLASSIFIED, colour_of
from jobs.spm.maps.planes import AXES, centers_along, limits
from jobs.spm.maps.quantities import ABSENT, title_of

MARKED = 60
"""With more boxes than these lines have no markers."""
LINES = 6
"""Classes whose probabilities are drawn."""
MARKERS = "os^Dv*"


def draw_profile(path: Path, field: Field, frame: int = 0, first: Sequence[str] = ()) -> None:
    """Draw probabilities of classes, and the mutual information, along the one axis.

    The classes are those named `first` and as many of the most frequent ones as have room. Raises ValueError
    for a grid with boxes along several axes.
    """
    strided = [axis for axis in range(3) if field.grid.counts[axis] > 1]
    if len(strided) != 1:
        raise ValueError(f"boxes along {len(strided)} axes have no profile")
    axis = strided[0]
    x = centers_along(field.grid, axis)
    shown = [*dict.fromkeys([*first, *field.labels])][:LINES]
    size = 3.5 if len(x) <= MARKED else 0.0
    with picture(path, (7.0, 5.0), dots_per_inch=DOTS_PER_INCH, colours=None) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        for label, marker in zip(shown, MARKERS, strict=False):
            p = field.probabilities.get(label, 0.0 * field.probability)[frame].ravel()
            above.plot(
                x, p, color=colour_of(label), marker=marker, markersize=size, lw=1.2, label=title_of(label)
            )
        below.plot(
            x, field.mutual_information[frame].ravel(), color="black", marker="o", markersize=size, lw=1.2
        )
        above.set(ylabel="probability", ylim=(-0.03, 1.03))
        below.set(
            ylabel="mutual information (nat)", xlabel=f"{AXES[axis]} (Å)", xlim=limits(field.grid, axis)
        )
        below.set_ylim(bottom=0.0)
        half = 0.5 * field.grid.stride[axis]
        gaps = x[~field.classified[frame].ravel()]
        for axes in (above, below):
            for number, gap in enumerate(gaps):
                patch = axes.axvspan(
                    gap - half, gap + half, facecolor=NOT_CLASSIFIED, edgecolor=HATCH, lw=0.0
                )
                patch.set(hatch=PATTERN, label="_" if number else ABSENT)
        for axes in (above, below):
            axes.grid(visible=True, color="#dddddd")
            axes.set_axisbelow(True)
        above.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
