"""Chemical order on an fcc lattice from concentration waves: a second opinion that knows no network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import CrysiftError
from jobs.spm.maps.quantities import title_of
from jobs.studies.atomistic.checks import is_class
from jobs.studies.atomistic.truth import box_truth
from jobs.studies.checks import Check, separation

if TYPE_CHECKING:
    from engine.spm.field import Field
    from jobs.studies.atomistic.system import System

Floats = NDArray[np.float64]

SECOND_SHELL = (1.25, 1.6)
"""Where the second neighbours are, in units of the nearest-neighbour distance; √2 in fcc."""
PARALLEL = 0.97
"""Cosine of the angle within which two second-neighbour vectors are of one axis."""
PERPENDICULAR = 0.2
_SEEDS = 200
_NO_WAVE = 1e-12
FCC, L12, L10 = "fcc_Cu_A_cF4_225_a", "L12_Cu3Au", "L10_CuAu"
SURE = 0.7
"""Probability of a class above which its boxes are compared."""
PRESENT = 0.01
ORDERED, ONE_AXIS = 0.75, 0.75


def order_of_classes(known: System, field: Field) -> list[Check]:
    """Compare the classes fcc, L1₂ and L1₀ in boxes within a particle with the waves in these boxes.

    Raises CrysiftError for a frame that has not two species, which are on one fcc lattice.
    """
    if len(known.frame.labels) != 2:
        raise CrysiftError(
            f"the structure has the species {', '.join(known.frame.labels)}: the order of two is compared"
        )
    positions = known.frame.positions
    centers = field.grid.centers(field.grid.indices())
    half = 0.5 * field.grid.size[0]
    waves = ordering(centers, half, positions, known.frame.species == 0, cube_edges(positions))
    filled = box_truth(known, field.grid).filled.ravel() & field.classified[0].ravel()
    sure = filled & (field.probability[0].ravel() > SURE)
    boxes = {label: is_class(field, label).ravel() for label in (FCC, L12, L10)}
    shares = {label: float(found[filled].mean()) for label, found in boxes.items()}
    total = waves.sum(axis=1)
    anisotropy = waves.max(axis=1) / np.maximum(total, _NO_WAVE)
    fcc, l12, l10 = (boxes[label] & sure for label in (FCC, L12, L10))
    ordered = f"strength of concentration waves: separation of {_sure(l12, 'L1₂')} from {_sure(fcc, 'fcc')}"
    along_one = f"waves along one axis only: separation of {_sure(l10, 'L1₀')} from {_sure(l12, 'L1₂')}"
    return [
        *(
            Check(f"share of {title_of(label)} in the {int(filled.sum()):,} boxes inside", share, PRESENT)
            for label, share in shares.items()
        ),
        Check(ordered, separation(total[l12], total[fcc]), ORDERED),
        Check(along_one, separation(anisotropy[l10], anisotropy[l12]), ONE_AXIS),
    ]


def cube_edges(positions: Floats) -> Floats:
    """The cube edges (3, 3), Å, as rows, of an fcc lattice that all atoms (N, 3), Å, are on.

    They are the mean vectors between second neighbours.
    """
    from scipy.spatial import cKDTree

    from engine.descriptors.scaling import typical_distance

    tree = cKDTree(positions)
    d_nn = typical_distance(np.asarray(tree.query(positions, k=2)[0])[:, 1])
    near, far = (factor * d_nn for factor in SECOND_SHELL)
    pairs = tree.query_pairs(far, output_type="ndarray")
    vectors = positions[pairs[:, 1]] - positions[pairs[:, 0]]
    vectors = vectors[np.linalg.norm(vectors, axis=1) > near]
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    edges: list[Floats] = []
    for _ in range(3):
        free = np.ones(len(units), np.bool_)
        for edge in edges:
            free &= np.abs(units @ edge) / np.linalg.norm(edge) < PERPENDICULAR
        edges.append(_mean_edge(vectors[free], units[free]))
    return np.array(edges)


def ordering(
    centers: Floats, half: float, positions: Floats, of_one: NDArray[np.bool_], edges: Floats
) -> Floats:
    """Strength of the three ⟨100⟩ concentration waves (n, 3) in boxes, per atom.

    With the deviation δ of an atom's occupation (`of_one`, (N,): whether it is of a given species) from the
    box's mean c, it is |Σ δ exp(2πi b·r)|² / (N² c (1 − c)) for the reciprocal vector b of each cube edge:
    1/3 each for L1₂, 1 and twice 0 for L1₀, and of the order of 1/N without order. Boxes are cubes around
    `centers` (n, 3), `half` an edge each way; those with one species only have zeros. (Khachaturyan, Prog.
    Mater. Sci. 22, 1 (1978).)
    """
    from scipy.spatial import cKDTree

    waves = np.exp(2j * np.pi * positions @ np.linalg.inv(edges))
    strengths = np.zeros((len(centers), 3))
    members: Any = cKDTree(positions).query_ball_point(centers, half, p=np.inf)
    for box, rows in enumerate(members):
        if not rows:
            continue
        occupied = of_one[rows].astype(np.float64)
        mean = occupied.mean()
        if 0.0 < mean < 1.0:
            amplitudes = np.abs((occupied - mean) @ waves[rows]) ** 2
            strengths[box] = amplitudes / (len(rows) ** 2 * mean * (1.0 - mean))
    return strengths


def _sure(boxes: NDArray[np.bool_], name: str) -> str:
    return f"{int(boxes.sum()):,} sure boxes of {name}"


def _mean_edge(vectors: Floats, units: Floats) -> Floats:
    """Mean (3,) of the vectors (n, 3) along the direction that most of them have, either way."""
    step = max(len(units) // _SEEDS, 1)
    cosines = units[::step] @ units.T
    best = cosines[np.argmax((np.abs(cosines) > PARALLEL).sum(axis=1))]
    along = np.abs(best) > PARALLEL
    return np.asarray((np.sign(best[along])[:, None] * vectors[along]).mean(axis=0), np.float64)
