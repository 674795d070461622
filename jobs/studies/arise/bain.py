"""Body-centred tetragonal crystals between fcc and bcc: the Bain path and its surroundings.

Reference: E. C. Bain, Trans. AIME 70, 25 (1924); the study is that of Leitherer et al., Nat. Commun. 12, 6234
(2021).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.structure import Structure
from jobs.studies.arise.study import with_columns
from jobs.studies.checks import Check, separation

if TYPE_CHECKING:
    from jobs.studies.arise.classify import Classified

SOURCE = "bain-path"
SMALLEST, LARGEST = 300, 600
"""Of a and c, hundredths of an Å."""
STEP, QUICK_STEP = 5, 20
ON_LINE, OFF_LINE = 0.01, 0.1
"""A cell is on a line of constant c/a up to the first relative difference, and off it from the second on.

Between them lie crystals of the same type at other lattice parameters, which `arise-robust` knows, too.
"""
FCC, BCC = "fcc_Cu_A_cF4_225_a", "bcc_W_A_cI2_229_a"
INDIUM, PROTACTINIUM = "bctIn_In_A_tI2_139_a", "bctAlphaPa_Pa_A_tI2_139_a"


class Interval(NamedTuple):
    """Neighbouring values of c/a with one class."""

    low: float
    high: float
    label: str
    probability: float
    """Mean of its cells."""
    mutual_information: float
    """Mean of its cells, nat."""
    flagged: float
    """Share of its cells that are out of distribution."""


@cache
def lines() -> dict[str, float]:
    """Axial ratio c/a of the body-centred tetragonal cell of each of the four training structures."""
    from models.prototypes import prototypes

    cells = {each.label: each.lattice for each in prototypes()}
    ratios = {label: _axial_ratio(cells[label]) for label in (PROTACTINIUM, BCC, INDIUM)}
    return dict(sorted({**ratios, FCC: math.sqrt(2.0)}.items(), key=lambda item: item[1]))


def structures(quick: bool) -> list[Structure]:
    """One cell for every a and c from 3 to 6 Å in steps of 0.05 Å, a quick study's of 0.2 Å; c fastest."""
    lengths = range(SMALLEST, LARGEST + 1, QUICK_STEP if quick else STEP)
    return [tetragonal(a, c) for a in lengths for c in lengths]


def tetragonal(a: int, c: int) -> Structure:
    """The primitive cell of a body-centred tetragonal crystal; a and c in hundredths of an Å.

    The element plays no part: distances are scaled by that of nearest neighbours.
    """
    signs = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
    lattice = 0.5 * signs * np.array([a, a, c]) / 100.0
    return Structure(SOURCE, f"a{a}-c{c}", ("Fe",), np.zeros((1, 3)), lattice, (1, 1, 1))


def tabulate(series: Sequence[Structure], classified: Classified) -> pa.Table:
    """Lattice parameters beside the predictions; geometrically similar cells share `similar_to`."""
    hundredths = [_lengths(structure) for structure in series]
    return with_columns(
        classified.said,
        a=([a / 100.0 for a, _ in hundredths], "angstrom"),
        c=([c / 100.0 for _, c in hundredths], "angstrom"),
        c_over_a=([c / a for a, c in hundredths], None),
        similar_to=(["{1}/{0}".format(*_reduced(a, c)) for a, c in hundredths], None),
    )


def checks(rows: pa.Table) -> list[Check]:
    """The four training structures on their lines, doubt between them, and equal cells told equal."""
    from jobs.spm.maps.quantities import title_of

    ratios, labels = rows["c_over_a"].to_numpy(), np.array(rows["prototype"].to_pylist())
    doubt = rows["mutual_information"].to_numpy()
    found = []
    for label, ratio in lines().items():
        right = labels[on_line(ratios, ratio)] == label
        finding = f"share of {title_of(label)} in the {len(right):,} cells with c/a = {ratio:.3f} ± 1 %"
        found.append(Check(finding, float(right.mean()), 1.0))
    near = np.any([on_line(ratios, ratio) for ratio in lines().values()], axis=0)
    far = np.all([np.abs(ratios / ratio - 1.0) >= OFF_LINE for ratio in lines().values()], axis=0)
    words = (
        f"separation of {int(far.sum()):,} cells at least 10 % off all four lines from {int(near.sum()):,}"
    )
    area = separation(doubt[far], doubt[near])  # without a limit: a network may know strained crystals, too
    found.append(Check(f"mutual information: {words} on them", area))
    scores = rows["ood_score"].to_numpy()
    found.append(
        Check(f"out-of-distribution score: {words} on them", separation(scores[far], scores[near]), 0.9)
    )
    return [*found, *_similar_cells(rows)]


def on_line(ratios: NDArray[np.float64], ratio: float) -> NDArray[np.bool_]:
    """Mark the cells whose c/a is that of a training structure."""
    return np.asarray(np.abs(ratios / ratio - 1.0) <= ON_LINE)


def intervals(rows: pa.Table) -> list[Interval]:
    """Classes in the order of c/a, one interval for neighbours of one class."""
    names = ("c_over_a", "prototype", "probability", "mutual_information", "is_ood")
    cells = sorted(zip(*(rows[name].to_pylist() for name in names), strict=True))
    found = []
    for label, group in groupby(cells, key=lambda cell: str(cell[1])):
        ratios, _, *measures = zip(*group, strict=True)
        probability, doubt, flagged = (float(np.mean(values)) for values in measures)
        found.append(Interval(ratios[0], ratios[-1], label, probability, doubt, flagged))
    return found


def _similar_cells(rows: pa.Table) -> list[Check]:
    """Cells of one shape and different sizes are one structure to a descriptor that knows no length."""
    first: dict[str, int] = {}
    shapes = rows["similar_to"].to_pylist()
    like = np.array([first.setdefault(shape, row) for row, shape in enumerate(shapes)])
    repeated = like != np.arange(len(like))
    labels = np.array(rows["prototype"].to_pylist())
    doubt = rows["mutual_information"].to_numpy()
    differences = np.abs(doubt - doubt[like])[repeated]
    words = f"{int(repeated.sum()):,} cells that repeat a smaller one's shape"
    return [
        Check(f"share with its class, of {words}", float((labels == labels[like])[repeated].mean()), 1.0),
        Check(f"largest difference of the mutual information (nat) of {words}", float(differences.max())),
    ]


def _axial_ratio(primitive: NDArray[np.float64]) -> float:
    """Return c/a of a body-centred tetragonal lattice with c along z; sums of two vectors are its axes."""
    first, second, third = primitive
    return float(np.linalg.norm(first + second) / np.linalg.norm(second + third))


def _lengths(structure: Structure) -> tuple[int, int]:
    a, c = structure.source_id.removeprefix("a").split("-c")
    return int(a), int(c)


def _reduced(a: int, c: int) -> tuple[int, int]:
    divisor = math.gcd(a, c)
    return a // divisor, c // divisor
