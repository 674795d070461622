"""What was measured of maps, and what it means for a hundred million structures: a section of docs/scale.md.

`python -m jobs.bench.map_report docs/scale.md build/map.json` fills the block `figures:map` from
the report of `crysift bench map --json`. The same report gives the same text.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jobs.bench.map_agreement import AGREEMENT, FITTED, PLACED, REFERENCE, SAME, SCALED
from jobs.bench.map_fit import STEPS
from jobs.bench.readme import fill, report_table
from jobs.bench.scale_report import duration, table
from jobs.landscape.settings import DEFAULT_SAMPLE

STRUCTURES = (10**6, 10**7, 10**8)
WORKERS = (2, 100, 1_000)
LARGEST = 10**6
"""Structures up to which fitting to all of them is worth a line."""

ABOUT = """## The map

`crysift map` fits HDBSCAN and UMAP to at most so many structures as `--sample` says and places all others in
that map, part by part: a stage like any other, on as many workers as there are, resumable. Written by
`python -m jobs.bench.map_report` from `crysift bench map`."""

PLAN = """### A hundred million structures

From the processor times above; nothing in this table was measured at its size. The work of each step of a fit
follows the power with which it grew between the two largest maps, between 1 and 2: no step compares more than
all pairs. Placing is a search through all fitted structures, whose work is proportional to their number:
{place:.3g} ms per structure at {sample:,}. It is divided by the workers; what a part costs besides its
structures stands above, under SOAP."""

CONCLUSION = """* **Fit a sample.** Fitting to all needs all vectors on one machine, and time that grows
  more than their number. A sample has every prototype in it: `jobs/landscape/sample.py`
  takes of each stratum (prototype; recognised or not) 50 at least. Trustworthiness is
  {together:.3f} where all are fitted; in a map of a third of them it is {fitted:.3f} for
  this third and {placed:.3f} for those placed in it. A much smaller share was not measured.
* **Clusters depend on the sample more than the embedding does.** Those of the third agree with those of
  all by an adjusted Rand index of {same:.2f} with the same settings, and of {scaled:.2f} with a third of
  the smallest size and of the neighbours: a sample is less dense. `crysift map --sweep` shows which sizes
  are stable.
* **Placing is what costs**: {hours} for {most:,}; half the sample halves it. It shares nothing between
  structures, so that it takes workers as SOAP does, each with the fitted map in its memory: {worker:.2g}
  GiB, and 0.5 GiB for a block of distances.
* **The driver** holds the sample while it fits, about {fit_gib:.2g} GiB, and 28 bytes per structure while
  the sample is drawn, with as much twice more to sort them: {draw_gib:.2g} GiB for {most:,}.
* **On a GPU** cuML fits more. Its adapter is written and has not been run: there is no number to give."""


class Costs(NamedTuple):
    """What a report says of fitting and placing, in seconds of one core."""

    rows: int
    seconds: tuple[float, ...]
    """Of each step with so many rows."""
    powers: tuple[float, ...]
    """With which it grows."""
    place: float
    """Per placed structure and fitted one."""
    memory: float
    """GiB at ``rows``."""

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> Costs:
        """Read them from the curves and figures of a report of two sizes at least."""
        curves = {curve["name"]: curve["points"] for curve in report["curves"]}
        points = [curves[f"{step}, processor time"] for step in STEPS]
        before, after = points[0][-2:]
        growth = math.log(after[0] / before[0])
        powers = [math.log(line[-1][1] / line[-2][1]) / growth for line in points]
        fitted, place = curves["placing one more"][-1]
        values = {figure["name"]: figure["value"] for figure in report["figures"]}
        return cls(
            int(after[0]),
            tuple(line[-1][1] for line in points),
            tuple(min(max(power, 1.0), 2.0) for power in powers),
            place / fitted,
            values["most memory"],
        )

    def fit(self, structures: int) -> float:
        """Return the seconds that fitting to so many structures takes."""
        ratio = structures / self.rows
        return math.fsum(s * ratio**power for s, power in zip(self.seconds, self.powers, strict=True))


def section(report: Mapping[str, Any]) -> str:
    """Lay out the section."""
    costs, sample = Costs.of(report), DEFAULT_SAMPLE
    blocks = [
        ABOUT,
        report_table(report),
        "### Time by the number of structures",
        _measured(report),
        PLAN.format(place=1e3 * costs.place * sample, sample=sample),
        _plan(costs, sample),
        _conclusion(report, costs, sample),
    ]
    return "\n\n".join(blocks)


def _measured(report: Mapping[str, Any]) -> str:
    curves = {curve["name"]: curve["points"] for curve in report["curves"]}
    rows = []
    for number, (fitted, place) in enumerate(curves["placing one more"]):
        for clock in ("time", "processor time"):
            steps = [curves[f"{step}, {clock}"][number][1] for step in STEPS]
            of_place = duration(place) if clock == "processor time" else ""
            rows.append((f"{fitted:,.0f}", clock, *map(duration, steps), duration(sum(steps)), of_place))
    return table(("structures", "", *STEPS, "in sum", "placing one more"), rows)


def _plan(costs: Costs, sample: int) -> str:
    rows = []
    for structures in STRUCTURES:
        place = (structures - sample) * costs.place * sample
        on_workers = (duration(place / workers) for workers in WORKERS)
        everything = duration(costs.fit(structures)) if structures <= LARGEST else "–"
        rows.append((f"{structures:,}", duration(costs.fit(sample)), _hours(place), *on_workers, everything))
    heading = (
        "structures",
        f"fit {sample:,}",
        "place the rest",
        *(f"on {workers:,} workers" for workers in WORKERS),
        "fit all instead",
    )
    return table(heading, rows)


def _conclusion(report: Mapping[str, Any], costs: Costs, sample: int) -> str:
    values = {figure["name"]: figure["value"] for figure in report["figures"]}
    most = STRUCTURES[-1]
    return CONCLUSION.format(
        sample=sample,
        placed=values[f"{PLACED}: trustworthiness"],
        fitted=values[f"{FITTED}: trustworthiness"],
        same=values[f"{FITTED}, {SAME}: {AGREEMENT}"],
        scaled=values[f"{FITTED}, {SCALED}: {AGREEMENT}"],
        together=values[f"{REFERENCE}: trustworthiness"],
        hours=_hours((most - sample) * costs.place * sample),
        most=most,
        worker=sample * _BYTES_PER_FITTED / 2**30,
        fit_gib=costs.memory * sample / costs.rows,
        draw_gib=most * 3 * 28 / 2**30,
    )


_BYTES_PER_FITTED = 4 * 32 + 64
"""Points in single precision, the hierarchy and the plane."""


def _hours(seconds: float) -> str:
    hours = seconds / 3600.0
    return f"{hours:,.0f} core-hours" if hours >= 10 else f"{hours:.2g} core-hours"


def main(target: str, report: str) -> None:
    """Fill the section of the document ``target``."""
    path = Path(target)
    text = section(json.loads(Path(report).read_text(encoding="utf-8")))
    path.write_text(fill(path.read_text(encoding="utf-8"), {"map": text}), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
