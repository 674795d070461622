"""Approximants of icosahedral quasicrystals: periodic, with the local order of a tiling that is not."""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from engine.structure import Structure

Floats = NDArray[np.float64]

GOLDEN = (1 + np.sqrt(5)) / 2
APPROXIMANTS = ((1, 1), (2, 1))
"""Fibonacci ratios that stand for the golden mean."""
REACH = 4
"""Largest coordinate, in six dimensions, of a vertex in the cell around the origin."""
EDGE = 3.2
"""Å, of the rhombohedra."""
CORE = 0.55
"""Vertices whose perpendicular coordinate is within this share of the window are of another element."""


def approximant(name: str, random: np.random.Generator) -> Structure:
    """Vertices of an Ammann–Kramer–Penrose tiling, periodic by a linear phason strain.

    Integer points of six dimensions whose perpendicular projection falls into that of the unit cube, at a
    random place, are projected (Elser and Henley, Phys. Rev. Lett. 55, 2883 (1985)).
    """
    upper, lower = APPROXIMANTS[random.integers(len(APPROXIMANTS))]
    parallel = _projection(GOLDEN, 1.0)
    perpendicular = _projection(-float(lower), float(upper))
    points = _lattice_points()
    centers, normals = _window(upper, lower)
    shift = random.uniform(-0.5, 0.5, 6) @ perpendicular
    depth = ((points @ perpendicular - shift) @ normals.T / centers).max(axis=1)
    period = 2 * (lower + upper * GOLDEN)
    places = points @ parallel
    inside = (
        (depth < 1.0) & (places >= -period / 2 - 1e-9).all(axis=1) & (places < period / 2 - 1e-9).all(axis=1)
    )
    two = random.random() < 0.5
    species = np.where(depth[inside] < CORE, "Yb", "Cd") if two else np.full(inside.sum(), "Cd")
    scale = EDGE / np.hypot(1.0, GOLDEN)
    return Structure(
        "ood", name, tuple(map(str, species)), places[inside] * scale, period * scale * np.eye(3), (1, 1, 1)
    )


def _projection(a: float, b: float) -> Floats:
    """Projections (6, 3) of the six axes: ±a and b along two of three, by turns."""
    rows = [(b, a, 0.0), (-b, a, 0.0), (0.0, b, a), (0.0, -b, a), (a, 0.0, b), (a, 0.0, -b)]
    return np.array(rows)


@lru_cache(maxsize=1)
def _lattice_points() -> NDArray[np.int64]:
    axis = range(-REACH, REACH + 1)
    return np.array(list(itertools.product(axis, repeat=6)), np.int64)


@lru_cache(maxsize=len(APPROXIMANTS))
def _window(upper: int, lower: int) -> tuple[Floats, Floats]:
    """Distances (f,) and unit normals (f, 3) of the faces of the projected unit cube around its center."""
    from scipy.spatial import ConvexHull

    corners = np.array(list(itertools.product((-0.5, 0.5), repeat=6)))
    faces = ConvexHull(corners @ _projection(-float(lower), float(upper))).equations
    return -faces[:, 3], faces[:, :3]
