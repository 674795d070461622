"""Pictures of the studies: maps of the boxes, or profiles along a rod."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jobs.spm.maps.palette import colour_of
from jobs.spm.maps.quantities import title_of

if TYPE_CHECKING:
    from pathlib import Path

    from engine.spm.field import Field
    from jobs.studies.atomistic.system import System

SHOWN = 6
"""Classes with the largest mean probability that a profile shows."""
SIZE = (8.0, 4.6)


def draw(path: Path, known: System, field: Field) -> None:
    """Draw what was found: profiles where boxes are lined up along one axis, else maps."""
    if sum(field.grid.strided) == 1:
        draw_profile(path, known, field)
    else:
        draw_maps(path, field)


def draw_maps(path: Path, field: Field) -> None:
    """Draw class, probability and mutual information."""
    from jobs.spm.maps.drawing import draw_overview
    from jobs.spm.maps.quantities import classes, mutual_information, probability

    draw_overview(path, field.grid, [classes(field), probability(field), mutual_information(field)])


def draw_profile(path: Path, known: System, field: Field) -> None:
    """Draw the probabilities of the most probable classes and the mutual information along a rod."""
    from jobs.picture import GRID_COLOUR, picture

    axis = field.grid.strided.index(True)
    along = field.grid.centers(field.grid.indices())[:, axis]
    profiles = {label: values[0].ravel() for label, values in field.probabilities.items()}
    named = dict.fromkeys(grain.prototype for grain in known.grains)
    others = sorted(profiles.keys() - named.keys(), key=lambda label: -float(np.nanmean(profiles[label])))
    with picture(path, SIZE) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        for label in [*named, *others][:SHOWN]:
            above.plot(
                along,
                profiles.get(label, np.zeros_like(along)),
                label=title_of(label),
                color=colour_of(label),
            )
        above.set(ylabel="probability", ylim=(-0.03, 1.03))
        above.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
        below.plot(along, field.mutual_information[0].ravel(), color="black")
        below.set(xlabel=f"{'xyz'[axis]} (Å)", ylabel="mutual\ninformation (nat)")
        below.set_ylim(bottom=0.0)
        for axes in (above, below):
            axes.grid(visible=True, color=GRID_COLOUR)
            axes.set_axisbelow(True)
