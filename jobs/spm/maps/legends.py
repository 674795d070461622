"""One map, and what explains it: scale bar, legend and colour bar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from jobs.spm.maps.palette import HATCH, NOT_CLASSIFIED, rgb
from jobs.spm.maps.planes import AXES, Plane, bar_length
from jobs.spm.maps.quantities import ABSENT, Categories, Quantity, Scalars

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch

PATTERN = "//////"
LINE = 0.185
"""Height of a line of a legend, inches."""


def show(axes: Axes, plane: Plane, quantity: Quantity, frame: int) -> None:
    """Show a quantity on a plane, with a scale bar; boxes without a value are hatched."""
    from matplotlib.patches import Rectangle

    left, right, bottom, top = plane.extent
    absent = Rectangle((left, bottom), right - left, top - bottom, facecolor=NOT_CLASSIFIED, zorder=-1)
    absent.set(edgecolor=HATCH, linewidth=0.0, hatch=PATTERN)
    axes.add_patch(absent)
    shown: dict[str, Any] = {"origin": "lower", "extent": plane.extent, "interpolation": "nearest"}
    if isinstance(quantity, Categories):
        opaque = np.ones((len(quantity.colours), 1))
        colours = np.append(np.hstack([rgb(quantity.colours), opaque]), np.zeros((1, 4)), axis=0)
        axes.imshow(colours[plane.image(quantity.codes[frame])], **shown)
    else:
        values = np.ma.masked_invalid(plane.image(quantity.values[frame]).astype(float))
        axes.imshow(values, cmap=quantity.colour_map, vmin=quantity.low, vmax=quantity.high, **shown)
    axes.set(xticks=[], yticks=[], xlim=(left, right), ylim=(bottom, top))
    right_axis, up_axis = plane.axes
    axes.set_xlabel(AXES[right_axis], labelpad=2)
    axes.set_ylabel(AXES[up_axis], labelpad=2)
    _scale_bar(axes, bar_length(right - left))


def entries(quantity: Quantity, planes: Sequence[Plane], frame: int) -> list[Patch]:
    """Entries of the legend: categories seen on the planes, the most frequent first, and what is hatched."""
    from matplotlib.patches import Patch

    patches: list[Patch] = []
    if isinstance(quantity, Categories):
        seen = np.concatenate([plane.image(quantity.codes[frame]).ravel() for plane in planes])
        counts = np.bincount(seen[seen >= 0], minlength=len(quantity.names))
        kinds = len(counts) - quantity.special
        ranked = [*range(len(counts))]
        if quantity.by_frequency:
            ranked[:kinds] = np.argsort(-counts[:kinds], kind="stable")
        order = [code for code in ranked if counts[code]]
        patches += [Patch(color=quantity.colours[code], label=quantity.names[code]) for code in order]
        gaps, absent = bool((seen < 0).any()), quantity.absent
    else:
        gaps = any(bool(np.isnan(plane.image(quantity.values[frame])).any()) for plane in planes)
        absent = ABSENT
    if gaps:
        patches.append(Patch(facecolor=NOT_CLASSIFIED, edgecolor=HATCH, hatch=PATTERN, label=absent))
    return patches


def legend_height(lines: int) -> float:
    """Height of a legend, inches."""
    return LINE * lines + 0.1


def legend(axes: Axes, patches: Sequence[Patch], columns: int) -> None:
    """Put a legend into axes of its own."""
    axes.set_axis_off()
    if patches:
        axes.legend(
            handles=patches,
            loc="upper left",
            ncols=columns,
            frameon=False,
            borderpad=0.0,
            borderaxespad=0.0,
            fontsize=8,
            handlelength=1.4,
            columnspacing=1.2,
        )


def colour_bar(axes: Axes, quantity: Scalars, orientation: Literal["horizontal", "vertical"]) -> None:
    """Fill axes with the colour scale of a quantity."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    colours = ScalarMappable(Normalize(quantity.low, quantity.high), quantity.colour_map)
    label = f"{quantity.title} ({quantity.unit})" if quantity.unit else quantity.title
    axes.figure.colorbar(colours, cax=axes, label=label, orientation=orientation)


def _scale_bar(axes: Axes, length: float) -> None:
    """Put a bar with its length in Å under a map."""
    from matplotlib.transforms import ScaledTranslation, blended_transform_factory

    left = axes.get_xlim()[0]
    down = ScaledTranslation(0.0, -0.11, axes.figure.dpi_scale_trans)
    place = blended_transform_factory(axes.transData, axes.transAxes) + down
    line: dict[str, Any] = {"color": "black", "linewidth": 2.5, "solid_capstyle": "butt", "clip_on": False}
    axes.plot([left, left + length], [0.0, 0.0], transform=place, **line)
    below = place + ScaledTranslation(0.0, -0.06, axes.figure.dpi_scale_trans)
    axes.text(left + 0.5 * length, 0.0, f"{length:g} Å", transform=below, ha="center", va="top", fontsize=8)
