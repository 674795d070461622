"""How the network's verdict changes as a crystal loses or displaces its atoms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jobs.studies.crystals import (
    diffracting,
    displaced,
    fingerprints,
    in_units_of,
    is_turned,
    nearest_distance,
    spread_elements,
    without_centres,
)

if TYPE_CHECKING:
    from engine.descriptors.diffraction import DiffractionSettings
    from engine.descriptors.diffraction.crystal import Crystal
    from engine.structure import Structure
    from jobs.studies.classifier import Classifier

Floats = NDArray[np.float64]

SHARES = (*(n / 16 for n in range(12)), *(n / 32 for n in range(24, 31)), 1.0)
"""Of the body centres that are removed, of which there are 64; closer together where the class changes."""
LINDEMANN = tuple(n / 50 for n in range(21))


class Sweep(NamedTuple):
    """Verdicts along V values of a quantity, for so many random draws at each."""

    values: Floats
    """(V,)"""
    probabilities: Floats
    """(V, draws, classes)"""
    deviations: Floats
    """(V, draws, classes), over the networks that dropout samples."""
    mutual_information: Floats
    """(V, draws), nats."""
    ood_score: Floats
    """(V, draws)"""

    @property
    def draws(self) -> int:
        """Draws at every value."""
        return len(self.probabilities[0])

    @property
    def mean(self) -> Floats:
        """Probabilities (V, classes), mean over the draws."""
        return np.asarray(self.probabilities.mean(axis=1))

    @property
    def spread(self) -> Floats:
        """Standard deviations (V, classes) over the draws."""
        return np.asarray(self.probabilities.std(axis=1))

    def falls_below(self, column: int, level: float = 0.5) -> float | None:
        """The first value at which the mean probability of a class is at most the level, interpolated."""
        above = self.mean[:, column] - level
        if above[0] <= 0.0:
            return float(self.values[0])
        for i in range(len(above) - 1):
            if above[i + 1] <= 0.0:
                step = above[i] / (above[i] - above[i + 1])
                return float(self.values[i] + step * (self.values[i + 1] - self.values[i]))
        return None


class Disorder(NamedTuple):
    """Displaced crystals, in either unit of length."""

    measured: Sweep
    """In units of the mean nearest-neighbour distance of the displaced crystal, as the descriptor has it."""
    at_rest: Sweep
    """In units of the nearest-neighbour distance of the crystal at rest."""
    shrinkage: Floats
    """(V,), mean nearest-neighbour distance of the displaced crystals in units of that at rest."""


class Removal(NamedTuple):
    """Crystals without a share of their body centres."""

    upright: Sweep
    """Those whose standard cell stands along the cubes."""
    turned: NDArray[np.int64]
    """(V, classes), how many others were drawn, by the class that they are taken for."""


def bcc_to_sc(classifier: Classifier, settings: DiffractionSettings, draws: int) -> Removal:
    """Remove ever more body centres; each draw is another element.

    A draw is repeated until the standard cell stands along the cubes.
    """
    drawn = [_upright_and_turned(*case, draws) for case in _cases(SHARES, draws)]
    upright = _sweep(SHARES, [diffracting(structure) for structure, _ in drawn], classifier, settings)
    turned = np.zeros((len(SHARES), len(classifier.labels)), np.int64)
    for number, (_, others) in enumerate(drawn):
        if others:
            verdicts = classifier(fingerprints([diffracting(other) for other in others], settings))
            np.add.at(turned[number // draws], verdicts.probabilities.argmax(axis=1), 1)
    return Removal(upright, turned)


def _upright_and_turned(symbol: str, share: float, seed: int, step: int) -> tuple[Structure, list[Structure]]:
    """The first draw of the seeds `seed`, `seed` + `step`, … whose cell is upright, and those before it."""
    from models.training.cubic import lattice_parameter

    turned = []
    while is_turned(structure := without_centres(symbol, share, seed), lattice_parameter("bcc", symbol)):
        turned.append(structure)
        seed += step
    return structure, turned


def lindemann(classifier: Classifier, settings: DiffractionSettings, label: str, draws: int) -> Disorder:
    """Displace the atoms of a crystal of the class `label` ever more; each draw is another element."""
    cases = _cases(LINDEMANN, draws)
    lengths = [nearest_distance(label, symbol) for symbol, _, _ in cases]
    measured = [diffracting(displaced(label, *case)) for case in cases]
    at_rest = [in_units_of(crystal, length) for crystal, length in zip(measured, lengths, strict=True)]
    ratios = np.array([crystal.d_nn for crystal in measured]) / np.array(lengths)
    return Disorder(
        _sweep(LINDEMANN, measured, classifier, settings),
        _sweep(LINDEMANN, at_rest, classifier, settings),
        ratios.reshape(-1, draws).mean(axis=1),
    )


def _cases(values: Sequence[float], draws: int) -> list[tuple[str, float, int]]:
    """Element, value and seed of every draw, value by value."""
    elements = spread_elements(draws)
    return [(symbol, value, seed) for value in values for seed, symbol in enumerate(elements)]


def _sweep(
    values: Sequence[float], crystals: list[Crystal], classifier: Classifier, settings: DiffractionSettings
) -> Sweep:
    verdicts = classifier(fingerprints(crystals, settings))
    shape = (len(values), len(crystals) // len(values), -1)
    return Sweep(
        np.array(values),
        verdicts.probabilities.reshape(shape),
        verdicts.deviations.reshape(shape),
        verdicts.mutual_information.reshape(shape[:2]),
        verdicts.ood_score.reshape(shape[:2]),
    )
