"""A sheet of graphene with a tilt grain boundary, as atom positions found in a microscope's image."""

from __future__ import annotations

import math

import numpy as np

from jobs.studies.atomistic.system import Floats, Grain, System, system, with_atoms

LATTICE_PARAMETER = 2.46
"""Å."""
EDGE = 120.0
MISORIENTATION = math.degrees(math.acos(13.0 / 14.0))
"""Degrees: Σ7."""
PROTOTYPE = "C"
PIXEL = 0.1
"""Å."""
PRECISION = 0.3
"""Standard deviation of a position in an image, pixels."""
MISSED = 0.01
"""Share of the atoms that are not found in an image."""

_ROUNDING = 1e-6
_TOO_CLOSE = 0.7
_SOFT = 20.0
"""Half width of the strip that is relaxed, Å."""
_STEPS = 60
_STIFFNESS = 0.15


def graphene_boundary(edge: float = EDGE, misorientation: float = MISORIENTATION) -> System:
    """A flat square sheet, `edge` Å, of two grains that are turned against each other and meet at x = 0.

    The centres of the rings, a triangular lattice in each grain, are relaxed as if joined by springs; atoms
    are where three rings meet. So every atom has three neighbours, and the boundary is the row of pentagons
    and heptagons known from microscopy (Huang et al., Nature 469, 389 (2011)). Their Burgers vectors, of
    length a, are 30° off the boundary's normal: by Frank's equation there is one pair per
    a cos 30° / (2 sin(misorientation / 2)).
    """
    rings = _relaxed(_ring_centres(0.5 * edge + 6.0 * LATTICE_PARAMETER, math.radians(misorientation)))
    atoms = _where_three_meet(rings)
    atoms = atoms[(np.abs(atoms) < 0.5 * edge).all(axis=1)]
    positions = np.column_stack([atoms, np.zeros(len(atoms))])
    grains = (Grain("left", PROTOTYPE), Grain("right", PROTOTYPE))
    return system(positions, ["C"] * len(atoms), (atoms[:, 0] > 0.0).astype(np.int8), grains)


def as_imaged(sheet: System, seed: int = 0) -> System:
    """The sheet as an image shows it: a few atoms missed, the others found within the precision; in Å."""
    random = np.random.default_rng(seed)
    kept = np.sort(random.permutation(len(sheet))[round(MISSED * len(sheet)) :])
    moved = sheet.frame.positions[kept].copy()
    moved[:, :2] += PIXEL * PRECISION * random.standard_normal((len(kept), 2))
    return with_atoms(sheet, kept, moved)


def pixels(sheet: System) -> Floats:
    """Positions (N, 2) in pixels, from the corner of the image."""
    flat = sheet.frame.positions[:, :2]
    return np.asarray((flat - flat.min(axis=0)) / PIXEL, np.float64)


def _ring_centres(reach: float, misorientation: float) -> Floats:
    """Two triangular lattices (n, 2), Å, turned by half the misorientation to either side."""
    count = math.ceil(2.0 * reach / LATTICE_PARAMETER)
    steps = np.arange(-count, count + 1)
    i, j = (grid.ravel() for grid in np.meshgrid(steps, steps))
    # turned by 30°, a row of the lattice lies along y: the boundary halves the angle between such rows
    lattice = LATTICE_PARAMETER * np.column_stack([math.sqrt(0.75) * j, i + 0.5 * j])
    halves = []
    for side in (-1.0, 1.0):
        cosine, sine = math.cos(0.5 * misorientation), side * math.sin(0.5 * misorientation)
        turned = lattice @ np.array([[cosine, sine], [-sine, cosine]])
        halves.append(turned[(side * turned[:, 0] > -_ROUNDING) & (np.abs(turned) < reach).all(axis=1)])
    return _apart(np.concatenate(halves))


def _apart(points: Floats) -> Floats:
    """Replace points closer than `_TOO_CLOSE` lattice parameters by the middle between them."""
    from scipy.spatial import cKDTree

    pairs = cKDTree(points).query_pairs(_TOO_CLOSE * LATTICE_PARAMETER, output_type="ndarray")
    joined = points.copy()
    joined[pairs[:, 0]] = 0.5 * (points[pairs[:, 0]] + points[pairs[:, 1]])
    return np.delete(joined, pairs[:, 1], axis=0)


def _relaxed(points: Floats) -> Floats:
    """Relax points (n, 2) near the boundary, each joined to its neighbours by springs."""
    from scipy.spatial import Delaunay

    near = np.flatnonzero(np.abs(points[:, 0]) < _SOFT + 3.0 * LATTICE_PARAMETER)
    strip = points[near]
    edge = np.abs(strip[:, 1]).max() - 2.0 * LATTICE_PARAMETER
    free = (np.abs(strip[:, 0]) < _SOFT) & (np.abs(strip[:, 1]) < edge)
    for _ in range(_STEPS):
        corners = Delaunay(strip).simplices
        edges = np.unique(np.sort(corners[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
        vectors = strip[edges[:, 1]] - strip[edges[:, 0]]
        lengths = np.linalg.norm(vectors, axis=1)
        pulls = np.where(lengths < 1.5 * LATTICE_PARAMETER, 1.0 - LATTICE_PARAMETER / lengths, 0.0)
        forces = np.zeros_like(strip)
        np.add.at(forces, edges[:, 0], pulls[:, None] * vectors)
        np.subtract.at(forces, edges[:, 1], pulls[:, None] * vectors)
        strip[free] += _STIFFNESS * forces[free]
    relaxed = points.copy()
    relaxed[near] = strip
    return relaxed


def _where_three_meet(rings: Floats) -> Floats:
    """The middles (n, 2) of the triangles that neighbouring rings form."""
    from scipy.spatial import Delaunay

    triangles = rings[Delaunay(rings).simplices]
    sides = np.linalg.norm(triangles - np.roll(triangles, 1, axis=1), axis=2)
    whole = triangles[(sides < 1.5 * LATTICE_PARAMETER).all(axis=1)]
    return np.asarray(whole.mean(axis=1), np.float64)
