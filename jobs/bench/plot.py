"""Drawings of what benchmarks followed, as SVG.

`python -m jobs.bench.plot docs/ingest-memory.svg ingest.json` draws the first curve of a report that
`crysift bench ingest --json` has written.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs.picture import picture


def draw(curve: Mapping[str, Any], path: Path) -> None:
    """Draw a curve of a JSON report, both axes from zero; the same curve gives the same file."""
    from matplotlib.ticker import StrMethodFormatter

    x, y = zip(*curve["points"], strict=True)
    with picture(path, (7, 3)) as figure:
        axes = figure.subplots()
        axes.plot(x, y, marker="o", markersize=3, color="#2f6db5")
        axes.set(title=curve["name"], xlabel=curve["x"], ylabel=curve["y"])
        axes.set_xlim(0, max(x))
        axes.set_ylim(0, 1.25 * max(y))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.grid(visible=True, color="#dddddd")


def main(target: str, report: str) -> None:
    """Draw the first curve of the report into the file ``target``."""
    curves = json.loads(Path(report).read_text(encoding="utf-8"))["curves"]
    draw(curves[0], Path(target))


if __name__ == "__main__":
    main(*sys.argv[1:])
