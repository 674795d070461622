"""Pictures of time series: profiles from the centre or the surface, and maps of the differences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.picture import GRID_COLOUR, picture
from jobs.spm.maps.palette import colour_of
from jobs.spm.maps.quantities import NAT, Scalars, title_of
from jobs.spm.profiles import Origin, Shell, change, reference_frames

if TYPE_CHECKING:
    from typing import Literal

    from matplotlib.axes import Axes

    from engine.spm.field import Field

AXIS = {"center": "distance from the centre of mass (Å)", "surface": "depth under the surface (Å)"}
EXTREME = 99.0
"""Percentile of the differences at the ends of the colour scale."""


def draw_profiles(path: Path, origin: Origin, profiles: Sequence[Sequence[Shell]]) -> None:
    """Draw the mutual information of all frames: in shells, and its cumulative mean and share."""
    from matplotlib import colormaps

    colours = colormaps["viridis"](np.linspace(0.0, 0.9, len(profiles)))
    with picture(path, (13.0, 3.9), colours=None) as figure:
        radial, mean, share = figure.subplots(1, 3)
        for frame, (shells, colour) in enumerate(zip(profiles, colours, strict=True)):
            middles = [0.5 * (shell.lower + shell.upper) for shell in shells]
            ends = [shell.upper for shell in shells]
            values, spread = (np.array([getattr(s, name) for s in shells]) for name in ("mean", "std"))
            line: dict[str, Any] = {"color": colour, "label": f"frame {frame}"}
            radial.plot(middles, values, marker="o", markersize=3, **line)
            radial.fill_between(
                middles, values - spread, values + spread, color=colour, alpha=0.12, linewidth=0
            )
            mean.plot(ends, [shell.cumulative_mean for shell in shells], **line)
            share.plot(ends, [shell.cumulative_share for shell in shells], **line)
        for axes, title in (
            (radial, "mutual information (nat)"),
            (mean, "cumulative mean (nat)"),
            (share, "cumulative share"),
        ):
            axes.set(xlabel=AXIS[origin], ylabel=title)
            _finish(axes)
        if len(profiles) > 1:
            radial.legend(fontsize=7)


def draw_shares(path: Path, origin: Origin, profiles: Sequence[Sequence[Shell]]) -> None:
    """Draw the shares of the most frequent prototypes in the shells, a panel per frame."""
    columns = min(len(profiles), 4)
    rows = -(-len(profiles) // columns)
    with picture(path, (2.8 + 3.3 * columns, 0.9 + 2.6 * rows), colours=None) as figure:
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[len(profiles) :]:
            axes.set_axis_off()
        for frame, (shells, axes) in enumerate(zip(profiles, grid.flat, strict=False)):
            middles = [0.5 * (shell.lower + shell.upper) for shell in shells]
            for label in shells[0].shares if shells else ():
                axes.plot(
                    middles,
                    [shell.shares[label] for shell in shells],
                    color=colour_of(label),
                    label=title_of(label),
                )
            axes.set(title=f"frame {frame}" if len(profiles) > 1 else "")
            _finish(axes)
        figure.supxlabel(AXIS[origin], fontsize=9)
        figure.supylabel("share of boxes", fontsize=9)
        handles, names = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside right upper", fontsize=7, frameon=False)


def draw_changes(folder: Path, field: Field, reference: Literal["first", "previous"]) -> Iterator[Path]:
    """Draw the differences of mutual information on planes through the middle, a picture per frame."""
    from jobs.spm.maps.drawing import draw_overview

    pairs = reference_frames(field.frames, reference)
    values = np.stack([change(field, *pair) for pair in pairs])
    known = np.abs(values[np.isfinite(values)])
    end = max(float(np.percentile(known, EXTREME)), 1e-3) if len(known) else 1.0
    for place, (frame, before) in enumerate(pairs):
        title = f"frame {frame} − frame {before}"
        scale = Scalars("change", f"mutual information, {title}", values, NAT, "RdBu_r", -end, end)
        path = folder / f"change-{frame:05d}.png"
        draw_overview(path, field.grid, [scale], place)
        yield path


def _finish(axes: Axes) -> None:
    axes.grid(visible=True, color=GRID_COLOUR)
    axes.set_axisbelow(True)
    axes.set_ylim(bottom=0.0)
