"""Maps over a and c of the Bain path, and profiles along c/a."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from jobs.picture import GRID_COLOUR, picture
from jobs.spm.maps.palette import colour_of
from jobs.spm.maps.quantities import OTHER, title_of
from jobs.studies.arise.bain import BCC, FCC, INDIUM, PROTACTINIUM, lines

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

SIZE = (11.0, 8.8)
HEIGHTS = (2.7, 1.0, 0.7, 0.7)
DOUBTS = {
    "mutual_information": "mutual\ninformation (nat)",
    "ood_score": "out-of-distri-\nbution score",
}
RARE = 0.005
"""Classes with a smaller share of the cells have one colour."""
SHORT = {PROTACTINIUM: "α-Pa", BCC: "bcc", FCC: "fcc", INDIUM: "In"}


def draw(path: Path, rows: pa.Table) -> None:
    """Draw class and mutual information over a and c, and both over c/a."""
    shown = _frequent(rows)
    with picture(path, SIZE, colours=None) as figure:
        cells = figure.add_gridspec(4, 3, width_ratios=(1.0, 0.36, 1.0), height_ratios=HEIGHTS)
        classes, legend, doubt = (figure.add_subplot(cells[0, column]) for column in range(3))
        _draw_classes(classes, rows, shown)
        _draw_legend(legend, shown)
        image = _draw_map(doubt, rows, rows["mutual_information"].to_numpy(), cmap="magma", vmin=0.0)
        bar = doubt.inset_axes((1.24, 0.0, 0.045, 1.0))
        figure.colorbar(image, cax=bar, label="mutual information (nat)")
        for axes, colour in ((classes, "black"), (doubt, "white")):
            _draw_lines(axes, colour)
        probability = figure.add_subplot(cells[1, :])
        _draw_probabilities(probability, rows, shown)
        for row, (name, label) in enumerate(DOUBTS.items(), start=2):
            _draw_doubt(figure.add_subplot(cells[row, :], sharex=probability), rows, name, label)
        figure.axes[-1].tick_params(labelbottom=True)
        figure.axes[-1].set_xlabel("c/a")


def _frequent(rows: pa.Table) -> list[str]:
    labels, counts = np.unique(rows["prototype"].to_pylist(), return_counts=True)
    often = [(-count, str(label)) for label, count in zip(labels, counts, strict=True)]
    return [label for count, label in sorted(often) if -count >= RARE * len(rows)]


def _draw_classes(axes: Axes, rows: pa.Table, shown: list[str]) -> None:
    from matplotlib.colors import ListedColormap

    codes = np.array(
        [shown.index(label) if label in shown else len(shown) for label in rows["prototype"].to_pylist()]
    )
    colours = ListedColormap([*map(colour_of, shown), OTHER])
    _draw_map(axes, rows, codes, cmap=colours, vmin=-0.5, vmax=len(shown) + 0.5)


def _draw_map(axes: Axes, rows: pa.Table, values: Any, **style: Any) -> Any:
    """Show values (N,) at their a and c."""
    a, c = np.unique(rows["a"].to_numpy()), np.unique(rows["c"].to_numpy())
    image = axes.pcolormesh(a, c, values.reshape(len(a), len(c)).T, shading="nearest", **style)
    axes.set(xlabel="a (Å)", ylabel="c (Å)", aspect="equal")
    return image


def _draw_lines(axes: Axes, colour: str) -> None:
    """Lines of constant c/a; their names stand where they leave the map."""
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    for label, ratio in lines().items():
        ends = np.array([max(left, bottom / ratio), min(right, top / ratio)])
        axes.plot(ends, ratio * ends, color=colour, linewidth=0.9, linestyle="--")
        text = f"{SHORT[label]} {ratio:.2f}"
        if top / ratio < right * 0.999:
            axes.text(top / ratio, top + 0.03, text, rotation=40, fontsize=7, ha="left", va="bottom")
        else:
            axes.text(right + 0.03, min(ratio * right, top), text, fontsize=7, ha="left", va="center")
    axes.set(xlim=(left, right), ylim=(bottom, top))


def _draw_legend(axes: Axes, shown: list[str]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=colour_of(label), label=title_of(label)) for label in shown]
    handles.append(Patch(color=OTHER, label="others"))
    axes.legend(
        handles=handles,
        title="prototype",
        loc="center left",
        bbox_to_anchor=(-0.05, 0.5),
        frameon=False,
        fontsize=8,
        alignment="left",
    )
    axes.axis("off")


def _draw_probabilities(axes: Axes, rows: pa.Table, shown: list[str]) -> None:
    order = np.argsort(rows["c_over_a"].to_numpy(), kind="stable")
    ratios = rows["c_over_a"].to_numpy()[order]
    candidates = rows["top"].to_pylist()
    for label in shown:
        values = [_probability(candidates[row], label) for row in order]
        axes.plot(ratios, values, color=colour_of(label), linewidth=1.2)
    axes.set(ylabel="probability", ylim=(-0.03, 1.03), xlim=(ratios[0], ratios[-1]))
    axes.tick_params(labelbottom=False)
    _mark(axes, names=True)


def _draw_doubt(axes: Axes, rows: pa.Table, name: str, label: str) -> None:
    order = np.argsort(rows["c_over_a"].to_numpy(), kind="stable")
    ratios, values = rows["c_over_a"].to_numpy()[order], rows[name].to_numpy()[order]
    axes.plot(ratios, values, color="black", linewidth=1.0)
    axes.set(ylabel=label)
    axes.set_ylim(bottom=0.0)
    axes.tick_params(labelbottom=False)
    _mark(axes, names=False)


def _mark(axes: Axes, *, names: bool) -> None:
    for label, ratio in lines().items():
        axes.axvline(ratio, color="black", linewidth=0.8, linestyle="--")
        if names:
            axes.annotate(
                SHORT[label], (ratio, 1.0), (0, 2), xycoords=("data", "axes fraction"),
                textcoords="offset points", ha="center", va="bottom", fontsize=8,
            )  # fmt: skip
    axes.grid(visible=True, color=GRID_COLOUR)
    axes.set_axisbelow(True)


def _probability(candidates: list[dict[str, Any]], label: str) -> float:
    """Probability of a class, NaN where it is not among the most probable ones."""
    return next((float(each["probability"]) for each in candidates if each["prototype"] == label), math.nan)
