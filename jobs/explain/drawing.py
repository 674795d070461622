"""The picture of an explanation: the structure, and what its score comes from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import CrysiftError
from jobs.explain.crystals import draw_crystal
from jobs.explain.report import headline, signed, symmetry_lines
from jobs.picture import GRID_COLOUR, picture
from jobs.spm.maps.quantities import title_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from jobs.explain.explanation import Explanation

FORMATS = (".png", ".svg", ".pdf")
MOST_BARS = 8
MORE, LESS, PLAIN = "#c8553d", "#2f6db5", "#7d8597"
"""What takes a structure away from the training data, what brings it near, and what does neither."""


def check_format(file: Path) -> None:
    """Raise CrysiftError for a picture that is none of `FORMATS`."""
    if file.suffix not in FORMATS:
        raise CrysiftError(
            f"the picture {file} is none of {', '.join(FORMATS)}: name a file that ends in one of them"
        )


def draw_explanation(found: Explanation, file: Path) -> None:
    """Draw the structure beside its contributions, nearest classes and candidates.

    The file is PNG, SVG or PDF, by its suffix, in a folder that is made where there is none; raises
    CrysiftError for another suffix.
    """
    check_format(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    with picture(file, (11.5, 6.4)) as figure:
        figure.suptitle(f"{found.structure.structure_id}\n{headline(found)}", fontsize=10)
        halves: Any = figure.subfigures(1, 2, width_ratios=[1.0, 1.35])
        left, right = halves
        _draw_structure(left.subplots(), found)
        contributions, nearest, candidates = right.subplots(3, 1)
        _draw_contributions(contributions, found)
        _draw_nearest(nearest, found)
        _draw_candidates(candidates, found)


def _draw_structure(axes: Axes, found: Explanation) -> None:
    """Draw the atoms above what symmetry says of them."""
    axes.set_title("\n".join(symmetry_lines(found)), fontsize=8, y=-0.1, wrap=True)
    draw_crystal(axes, found.structure)


def _draw_contributions(axes: Axes, found: Explanation) -> None:
    """Draw what species add to the score, then pairs; of one species there is nothing to draw."""
    axes.set_title("Contributions of species (dark) and pairs (light)")
    if len(found.species) < 2:
        axes.text(0.5, 0.5, "one species: no part can be left out", ha="center", va="center")
        axes.set(xticks=[], yticks=[])
        return
    species = [(each.species, each.contribution or 0.0, 1.0) for each in found.species[: MOST_BARS // 2]]
    room = MOST_BARS - len(species)
    pairs = [(each.name, each.contribution or 0.0, 0.5) for each in found.pairs[:room]]
    names, values, alphas = zip(*species, *pairs, strict=True)
    bars = _bars(axes, names, values, [signed(value) or "" for value in values])
    for bar, value, alpha in zip(bars, values, alphas, strict=True):
        bar.set(color=MORE if value > 0.0 else LESS, alpha=alpha)
    axes.axvline(0.0, color="black", linewidth=0.8)
    axes.set_xlabel("fall of the ood score when it is left out")


def _draw_nearest(axes: Axes, found: Explanation) -> None:
    axes.set_title("Nearest training structure of each class")
    shown = found.nearest[:MOST_BARS]
    values = [each.ood_score for each in shown]
    _bars(axes, [each.title for each in shown], values, [f"{value:.2f}" for value in values])
    axes.axvline(1.0, color="black", linewidth=1.0, linestyle=":")
    axes.set(xlabel="distance (1: 95 % of in-distribution structures are nearer)")
    axes.set_xlim(0.0, max(1.15, *(1.15 * value for value in values)))


def _draw_candidates(axes: Axes, found: Explanation) -> None:
    axes.set_title("Most probable classes")
    top = found.prediction["top"][:MOST_BARS]
    values = [each["probability"] for each in top]
    _bars(axes, [title_of(each["prototype"]) for each in top], values, [f"{value:.3f}" for value in values])
    axes.set(xlim=(0.0, 1.12), xlabel="probability")


def _bars(axes: Axes, names: Sequence[str], values: Sequence[float], texts: Sequence[str]) -> Any:
    """Draw horizontal bars with their values, the first on top."""
    places = np.arange(len(names))
    bars = axes.barh(places, values, color=PLAIN, height=0.7)
    behind = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
    axes.bar_label(bars, texts, padding=3, fontsize=8, bbox=behind)
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.grid(visible=True, axis="x", color=GRID_COLOUR)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return bars
