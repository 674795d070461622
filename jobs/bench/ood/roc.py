"""The figure of the benchmark: `python -m jobs.bench.ood.roc docs/ood-roc.svg ood.json`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jobs.bench.ood.curves import BETWEEN
from jobs.bench.ood.scoring import DEFAULT
from jobs.picture import GRID_COLOUR, picture

COLOURS = ("#111111", "#d1495b", "#2f6db5", "#3a9d6e", "#e09f3e", "#8d8d8d", "#7d5ba6")
COLUMNS = 3
"""Of the legend."""


def draw(curves: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw one panel for every stratum; rates of false positives are logarithmic."""
    strata = list(dict.fromkeys(curve["name"].split(BETWEEN)[0] for curve in curves))
    scores = list(dict.fromkeys(curve["name"].split(BETWEEN)[1] for curve in curves))
    with picture(path, (9, 3.8)) as figure:
        panels = figure.subplots(1, len(strata), sharey=True, squeeze=False)[0]
        for stratum, axes in zip(strata, panels, strict=True):
            for curve in curves:
                of, score = curve["name"].split(BETWEEN)
                if of == stratum:
                    x, y = zip(*curve["points"], strict=True)
                    width = 2.2 if score == DEFAULT else 1.1
                    colour = COLOURS[scores.index(score) % len(COLOURS)]
                    axes.plot(x, y, label=score, color=colour, linewidth=width)
            axes.set(title=stratum, xlabel=curves[0]["x"], xscale="log")
            axes.grid(visible=True, color=GRID_COLOUR)
            axes.axhline(0.95, color=GRID_COLOUR, linestyle="--")
        panels[0].set_ylabel(curves[0]["y"])
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=COLUMNS, frameon=False)


def main(target: str, report: str) -> None:
    """Draw the curves of the report into the file ``target``."""
    draw(json.loads(Path(report).read_text(encoding="utf-8"))["curves"], Path(target))


if __name__ == "__main__":
    main(*sys.argv[1:])
