"""The first candidates of the crystals out of sample, with the network's doubts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from jobs.picture import GRID_COLOUR, picture
from jobs.spm.maps.quantities import title_of

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from matplotlib.axes import Axes

SIZE = (10.5, 8.2)
SHOWN = 3
"""Candidates of each crystal."""
BAR = 0.26
KIN, OTHER, RANGE = "#2f6db5", "#b8b8b8", "#e6ddc4"
LONGEST = 34
"""Letters of a title."""


def draw(path: Path, rows: pa.Table) -> None:
    """Draw the probabilities of the first candidates, mutual information and out-of-distribution score."""
    from matplotlib.patches import Patch

    crystals = rows.filter(pc.invert(rows["is_known"])).to_pylist()[::-1]
    known = rows.filter(rows["is_known"])
    with picture(path, SIZE) as figure:
        candidates, doubt, score = figure.subplots(1, 3, sharey=True, width_ratios=(3.4, 1.0, 1.0))
        for place, crystal in enumerate(crystals):
            _draw_candidates(candidates, place, crystal)
        candidates.set(xlabel="probability", xlim=(0.0, 1.45), ylim=(-0.6, len(crystals) - 0.4))
        candidates.set_xticks((0.0, 0.25, 0.5, 0.75, 1.0))
        candidates.set_yticks(range(len(crystals)), [crystal["title"] for crystal in crystals])
        handles = [
            Patch(color=KIN, label="candidate that is kin"),
            Patch(color=OTHER, label="other candidate"),
            Patch(color=RANGE, label="range of the prototypes themselves"),
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False)
        _draw_measure(doubt, crystals, known, "mutual_information", "mutual information (nat)")
        _draw_measure(score, crystals, known, "ood_score", "out-of-distribution\nscore")
        score.axvline(1.0, color="black", linestyle=":", linewidth=0.9)
        for axes in (candidates, doubt, score):
            axes.grid(visible=True, axis="x", color=GRID_COLOUR)
            axes.set_axisbelow(True)


def _draw_candidates(axes: Axes, place: int, crystal: dict[str, Any]) -> None:
    for rank, candidate in enumerate(crystal["top"][:SHOWN]):
        height = place + BAR * ((SHOWN - 1) / 2 - rank)
        label, probability = candidate["prototype"], candidate["probability"]
        colour = KIN if label in crystal["kin"] else OTHER
        axes.barh(height, probability, 0.85 * BAR, color=colour)
        text = f"{probability:.3f}  {_short(title_of(label))}"
        axes.text(probability + 0.01, height, text, fontsize=7, va="center")


def _draw_measure(axes: Axes, crystals: list[dict[str, Any]], known: pa.Table, name: str, label: str) -> None:
    """Draw a measure of doubt, and how far it reaches among the prototypes themselves."""
    reach = float(pc.max(known[name]).as_py())
    axes.axvspan(0.0, reach, color=RANGE)
    axes.plot([crystal[name] for crystal in crystals], range(len(crystals)), "o", color="black", markersize=5)
    axes.set(xlabel=label)
    axes.set_xlim(left=0.0)


def _short(title: str) -> str:
    return title if len(title) <= LONGEST else f"{title[: LONGEST - 1]}…"
