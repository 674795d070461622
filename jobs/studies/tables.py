"""The figures of the studies as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from engine.markdown import markdown_table
from jobs.studies.templates import WITHIN, OnPeaks, by_chance, on_peaks, template

if TYPE_CHECKING:
    from jobs.studies.sweeps import Disorder, Removal, Sweep
    from jobs.studies.templates import ClassResponse

SHOWN_SHARES = (0.0, 0.0625, 0.25, 0.5, 0.75, 0.8125, 0.875, 0.90625, 0.9375, 1.0)
SHOWN_LINDEMANN = (0.0, 0.1, 0.2, 0.3, 0.4)
SHRUNK = 0.2
"""Lindemann parameter at which the unit of length is given."""
COMPARED = WITHIN.index(1.5)
"""Of the distances between maxima and Bragg peaks, the one at which networks are compared."""


def transition_table(removal: Removal, labels: Sequence[str]) -> str:
    """Class probabilities over the share of body centres removed, and where simple cubic takes over."""
    sweep = removal.upright
    heading = ("body centres removed", *labels, "mutual information", "turned cells, taken for")
    rows = []
    for row in _rows(sweep, SHOWN_SHARES):
        dropout = sweep.deviations[row].mean(axis=0)
        cells = [
            f"{mean:.3f} ± {spread:.3f} ± {own:.3f}"
            for mean, spread, own in zip(sweep.mean[row], sweep.spread[row], dropout, strict=True)
        ]
        information = f"{sweep.mutual_information[row].mean():.3f}"
        counts = zip(labels, removal.turned[row], strict=True)
        turned = ", ".join(f"{label} {count}" for label, count in counts if count) or "–"
        rows.append((f"{100 * sweep.values[row]:.4g} %", *cells, information, turned))
    fall = sweep.falls_below(labels.index("bcc"))
    where = "nowhere" if fall is None else f"at {100 * fall:.0f} %"
    return (
        f"{markdown_table(heading, rows)}\n\n"
        f"Means over {sweep.draws} draws ± standard deviation over the draws "
        "± mean standard deviation over the networks that dropout samples; mutual information in nats. The "
        f"mean probability of bcc falls below 0.5 {where}."
    )


def lindemann_table(disorder: Mapping[str, Disorder]) -> str:
    """Probability of the right class over the Lindemann parameter, and where it falls below one half."""
    labels = list(disorder)
    heading = (
        "class",
        *(f"p at {value:g}" for value in SHOWN_LINDEMANN),
        "p falls below 0.5 at",
        "with d_NN at rest",
        "taken at 0.4 for",
        f"d_NN at {SHRUNK:g}",
    )
    rows = []
    for column, (label, (sweep, at_rest, shrinkage)) in enumerate(disorder.items()):
        shown = _rows(sweep, SHOWN_LINDEMANN)
        means, spreads = sweep.mean[shown, column], sweep.spread[shown, column]
        rows.append(
            (
                label,
                *(f"{mean:.3f} ± {spread:.3f}" for mean, spread in zip(means, spreads, strict=True)),
                *(_fall(kind.falls_below(column)) for kind in (sweep, at_rest)),
                labels[int(sweep.mean[-1].argmax())],
                f"{shrinkage[_rows(sweep, [SHRUNK])[0]]:.2f}",
            )
        )
    draws = next(iter(disorder.values())).measured.draws
    return (
        f"{markdown_table(heading, rows)}\n\n"
        f"Means over {draws} draws ± standard deviation over the draws; last "
        "column: mean distance to the nearest neighbour in units of that at rest."
    )


def bragg_table(
    responses: Sequence[ClassResponse], controls: Mapping[str, Sequence[Sequence[ClassResponse]]]
) -> str:
    """Shares of maxima on Bragg peaks, by image and class.

    ``controls`` are other networks' responses to the same classes, by what they are: they are compared at
    one distance, as mean and standard deviation.
    """
    layers = range(len(responses[0].layers))
    rows = [
        ("Bragg peaks inside the mask", *(str(len(r.peaks.places)) for r in responses)),
        ("by chance", *(_shares(by_chance(r.peaks)) for r in responses)),
        ("fingerprint itself", *(_counted(on_peaks(r.pattern, r.peaks), r) for r in responses)),
        *((f"template of layer {n + 1}", *(_counted(_on_peaks(r, n), r) for r in responses)) for n in layers),
    ]
    for name, networks in controls.items():
        for n in layers:
            found = [[_on_peaks(r, n).shares[COMPARED] for r in network] for network in networks]
            mean, spread = np.mean(found, axis=0), np.std(found, axis=0)
            cells = (f"{m:.2f} ± {s:.2f}" for m, s in zip(mean, spread, strict=True))
            rows.append((f"{name}, layer {n + 1}", *cells))
    distances = ", ".join(f"{distance:g}" for distance in WITHIN)
    heading = (f"within {distances} pixels", *(r.label for r in responses))
    others = "; ".join(f"{name}: {len(networks)} networks" for name, networks in controls.items())
    return (
        f"{markdown_table(heading, rows)}\n\n"
        f"By chance: share of the mask's area. {others.capitalize()}, mean ± "
        f"standard deviation of the share within {WITHIN[COMPARED]:g} pixels."
    )


def _fall(value: float | None) -> str:
    return "never" if value is None else f"{value:.3f}"


def _on_peaks(response: ClassResponse, layer: int) -> OnPeaks:
    return on_peaks(template(response.layers[layer]), response.peaks)


def _counted(found: OnPeaks, response: ClassResponse) -> str:
    few = f" of {found.maxima}" if found.maxima < len(response.peaks.places) else ""
    return _shares(found.shares) + few


def _shares(shares: Iterable[float]) -> str:
    return ", ".join(f"{share:.2f}" for share in shares)


def _rows(sweep: Sweep, values: Sequence[float]) -> list[int]:
    return [int(np.abs(sweep.values - value).argmin()) for value in values]
