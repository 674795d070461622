"""What a map shows: classes, or numbers with a colour scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from engine.errors import CrysiftError
from engine.spm.field import Field
from jobs.spm.maps.palette import cluster_colour, colour_of

LISTED = 10
RARE = 0.005
"""Prototypes with a smaller share of the boxes, and those beyond the first `LISTED`, have one colour."""
OTHER = "#5f5f5f"
ABSENT = "not classified"
FAILED = ("failed", "#000000")
OUTLIER = ("in no cluster", "#6f6f6f")
LEVELS = ("#b9cde4", "#7ba3cf", "#e69f00", "#d55e00", "#882255")
"""Colours of the passes of a refinement, the coarse one first; the last one serves all further passes."""
NEAREST = ("as the nearest box", "#dddddd")
NAT = "nat"


@dataclass(frozen=True, eq=False)
class Categories:
    """Kinds of boxes: `codes` (F, nx, ny, nz) index `names` and `colours`, -1 for none.

    The last `special` ones are no kinds of their own, and stand at the end of a legend; the others stand
    there in their order, or `by_frequency`.
    """

    name: str
    title: str
    codes: NDArray[np.integer]
    names: tuple[str, ...]
    colours: tuple[str, ...]
    special: int = 0
    by_frequency: bool = False
    absent: str = ABSENT


@dataclass(frozen=True, eq=False)
class Scalars:
    """Numbers (F, nx, ny, nz), NaN for none, and the ends and the colour map of their scale."""

    name: str
    title: str
    values: NDArray[np.floating]
    unit: str
    colour_map: str
    low: float
    high: float


Quantity = Categories | Scalars


def classes(field: Field) -> Categories:
    """The most probable prototypes; rare ones are shown as one, and so are boxes with an error."""
    shown = [label for label, share in field.shares.items() if share >= RARE][:LISTED]
    rare = len(field.labels) - len(shown)
    codes = np.minimum(field.prototype, len(shown))
    codes = np.where(field.failed, len(shown) + 1, codes)
    names = (
        *map(title_of, shown),
        f"{rare} other prototypes" if rare > 1 else "another prototype",
        FAILED[0],
    )
    colours = (*map(colour_of, shown), OTHER, FAILED[1])
    return Categories("class", "prototype", codes, names, colours, special=2, by_frequency=True)


def clusters(values: NDArray[np.floating]) -> Categories:
    """Numbers of clusters (F, nx, ny, nz): NaN for boxes without, negative for those in no cluster."""
    present = np.unique(values[values >= 0]).astype(int)
    codes = np.full(values.shape, -1)
    for place, number in enumerate(present):
        codes[values == number] = place
    codes[values < 0] = len(present)
    colours = (*(cluster_colour(int(number)) for number in present), OUTLIER[1])
    names = (*(f"cluster {number}" for number in present), OUTLIER[0])
    return Categories("cluster", "cluster", codes, names, colours, special=1, absent="not clustered")


def levels(field: Field) -> Categories:
    """Which boxes were described in which pass of a refinement, and which have the values of the nearest."""
    passes = range(int(field.level.max(initial=0)) + 1)
    names = (*(f"refined, pass {k}" if k else "coarse pass" for k in passes), NEAREST[0])
    colours = (*(LEVELS[min(k, len(LEVELS) - 1)] for k in passes), NEAREST[1])
    codes = np.where(field.level < 0, len(passes), field.level)
    return Categories("level", "refinement", codes, names, colours, special=1)


def probability(field: Field) -> Scalars:
    """The probability of every box's own class."""
    return Scalars("probability", "probability of the prototype", field.probability, "", "viridis", 0.0, 1.0)


def probability_of(label: str, field: Field) -> Scalars:
    """The probability of one class everywhere; raises CrysiftError for one that no box lists."""
    if label not in field.probabilities:
        frequent = ", ".join(field.labels[:LISTED])
        raise CrysiftError(
            f"there is neither a quantity {label!r} nor a box with a prototype of this name: show "
            f"{', '.join(QUANTITIES)}, cluster or one of the prototypes ({frequent}, …); a prototype that is "
            "improbable everywhere has probabilities if `crysift spm --classes` asked for it"
        )
    values = field.probabilities[label]
    return Scalars(
        f"probability-{label}", f"probability of {title_of(label)}", values, "", "viridis", 0.0, 1.0
    )


def mutual_information(field: Field) -> Scalars:
    """The uncertainty of the network, nat."""
    return _from_zero("mutual-information", "mutual information", field.mutual_information, NAT, "magma")


def entropy(field: Field) -> Scalars:
    """The predictive entropy, nat."""
    return _from_zero("entropy", "predictive entropy", field.predictive_entropy, NAT, "magma")


def ood_score(field: Field) -> Scalars:
    """How far a box is from what the network knows: above 1 are the farthest 5 % of known structures."""
    return _from_zero("ood-score", "out-of-distribution score", field.ood_score, "", "cividis")


def n_atoms(field: Field) -> Scalars:
    """Atoms per box."""
    return _from_zero("n-atoms", "atoms in the box", field.n_atoms.astype(np.float64), "", "cividis")


QUANTITIES: dict[str, Callable[[Field], Quantity]] = {
    "class": classes,
    "probability": probability,
    "mutual-information": mutual_information,
    "entropy": entropy,
    "ood-score": ood_score,
    "n-atoms": n_atoms,
    "level": levels,
}
"""By the name on the command line; a class's own label stands for its probability."""


def quantity(name: str) -> Callable[[Field], Quantity]:
    """Return what makes a quantity of a field, by its name or by a prototype's label or title."""
    if name in QUANTITIES:
        return QUANTITIES[name]
    return partial(probability_of, label_of(name))


def title_of(label: str) -> str:
    """Readable name of a class."""
    from models.prototypes import titles

    return titles().get(label, label)


def label_of(name: str) -> str:
    """The label of a class by its label, its title or the title's first word, such as `fcc`; else `name`."""
    from models.prototypes import titles

    for label, title in titles().items():
        if name in (label, title, title.split(" ")[0]):
            return label
    return name


def _from_zero(name: str, title: str, values: NDArray[np.floating], unit: str, colour_map: str) -> Scalars:
    known = values[np.isfinite(values)]
    high = float(known.max(initial=0.0))
    return Scalars(name, title, values, unit, colour_map, 0.0, high if high > 0.0 else 1.0)
