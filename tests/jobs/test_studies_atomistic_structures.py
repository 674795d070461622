"""The structures of the studies, held against what crystallography says of them."""

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from engine.errors import CrysiftError
from jobs.studies.atomistic.chemical_order import cube_edges, ordering
from jobs.studies.atomistic.defects import nearest_distances, with_defects
from jobs.studies.atomistic.grain_boundaries import CRYSTALS, Kind, bicrystal
from jobs.studies.atomistic.graphene import PIXEL, as_imaged, graphene_boundary, pixels
from jobs.studies.atomistic.local_order import ARRANGEMENTS, arrangements, grains_by_order
from jobs.studies.atomistic.nanotube import TUBES, nanotube_rod
from jobs.studies.atomistic.superalloy import superalloy
from jobs.studies.atomistic.system import System

Floats = NDArray[np.float64]

BOND = 1.42
SHELL = {"fcc": (12, 1.2), "bcc": (8, 1.07), "hcp": (12, 1.2), "dhcp": (12, 1.2)}
"""Nearest neighbours, and the distance up to which they are counted, in units of the nearest one."""


@pytest.fixture(scope="module")
def alloy() -> System:
    return superalloy()


@pytest.fixture(scope="module")
def sheet() -> System:
    return graphene_boundary(edge=80.0)


@cache
def grown(lattice: str, kind: Kind) -> System:
    return bicrystal(lattice, kind, width=38.0 if lattice == "dhcp" else 30.0)


def inner(positions: Floats, margin: float) -> NDArray[np.bool_]:
    """Atoms farther than `margin` from the faces of the bounding box, along axes long enough."""
    low, high = positions.min(axis=0), positions.max(axis=0)
    deep = (positions > low + margin) & (positions < high - margin)
    return np.asarray((deep | (high - low < 2 * margin)).all(axis=1))


def neighbours(positions: Floats, reach: float) -> list[list[int]]:
    """Indices of the atoms within reach of each."""
    found: Any = cKDTree(positions).query_ball_point(positions, reach)
    return [[j for j in near if j != i] for i, near in enumerate(found)]


def nearest(positions: Floats) -> Floats:
    """Distance of every atom to the nearest other one."""
    return np.asarray(cKDTree(positions).query(positions, k=2)[0])[:, 1]


def orientation(positions: Floats, reach: float, axis: int, folds: int) -> float:
    """Angle, degrees, about a Cartesian axis, of the crystal's rotation axis with so many folds."""
    right, up = ((axis + 1) % 3, (axis + 2) % 3)
    pairs = cKDTree(positions).query_pairs(reach, output_type="ndarray")
    vectors = positions[pairs[:, 1]] - positions[pairs[:, 0]]
    return float(np.degrees(np.angle(((vectors[:, right] + 1j * vectors[:, up]) ** folds).sum()) / folds))


def difference(first: float, second: float, folds: int) -> float:
    period = 360.0 / folds
    turned = (second - first) % period
    return min(turned, period - turned)


def test_the_superalloy_has_the_size_of_the_published_model(alloy: System) -> None:
    positions = alloy.frame.positions
    assert len(alloy) == pytest.approx(132_127, rel=0.01)
    assert np.ptp(positions, axis=0) == pytest.approx(120.0, rel=0.02)
    np.testing.assert_allclose(nearest(positions), 3.74 / np.sqrt(2.0))


def test_precipitate_and_matrix_differ_in_nothing_but_order(alloy: System) -> None:
    symbols, inside = np.array(alloy.symbols()), alloy.grain_of == 1
    for part in (inside, ~inside):
        assert (symbols[part] == "Al").mean() == pytest.approx(0.25, abs=1e-4)
    positions = alloy.frame.positions
    deep = np.flatnonzero(inner(positions, 4.0))
    near = np.asarray(cKDTree(positions).query(positions[deep], k=13)[1])[:, 1:]
    aluminium = (symbols[near] == "Al").sum(axis=1)
    of_aluminium, of_nickel = symbols[deep] == "Al", symbols[deep] == "Ni"
    ordered = np.isin(deep, np.flatnonzero(inside)) & inside[near].all(axis=1)
    disordered = ~inside[deep] & ~inside[near].any(axis=1)
    assert (aluminium[ordered & of_aluminium] == 0).all()  # L1₂: Al has Ni around it only
    assert (aluminium[ordered & of_nickel] == 4).all()
    for species in (of_aluminium, of_nickel):  # Warren–Cowley parameter 0
        assert aluminium[disordered & species].mean() == pytest.approx(3.0, abs=0.05)
        assert aluminium[disordered & species].var() == pytest.approx(12 * 0.25 * 0.75, rel=0.05)


def test_a_crystal_of_l12_has_three_equal_waves_l10_one_and_disorder_none() -> None:
    crystal = bulk("Ni", "fcc", a=3.6, cubic=True).repeat(6)
    sites = np.rint(crystal.positions / 1.8).astype(int)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    positions = crystal.positions @ rotation
    edges = cube_edges(positions)
    np.testing.assert_allclose(np.linalg.norm(edges, axis=1), 3.6)
    np.testing.assert_allclose(edges @ edges.T, 3.6**2 * np.eye(3), atol=1e-9)
    along = np.argmax(np.abs(rotation[2] @ edges.T))  # the edge that the third axis became
    everything = positions.mean(axis=0)[None], 100.0, positions

    ordered = (sites % 2 == 0).all(axis=1)
    np.testing.assert_allclose(ordering(*everything, ordered, edges)[0], [1 / 3, 1 / 3, 1 / 3])
    layered = sites[:, 2] % 2 == 0
    np.testing.assert_allclose(ordering(*everything, layered, edges)[0], np.eye(3)[along], atol=1e-12)
    random = np.random.default_rng(2).random(len(sites)) < 0.25
    assert ordering(*everything, random, edges)[0].max() < 10.0 / len(sites)
    assert not ordering(*everything, np.ones(len(sites), np.bool_), edges).any()


@pytest.mark.parametrize("kind", ["twist", "tilt"])
@pytest.mark.parametrize("lattice", CRYSTALS)
def test_grains_have_the_misorientation_of_their_coincidence_lattice(lattice: str, kind: Kind) -> None:
    crystal, hexagonal = grown(lattice, kind), lattice in {"hcp", "dhcp"}
    folds, axis = 6 if hexagonal else 4, 2 if kind == "twist" else 0
    [d_nn] = set(nearest_distances(crystal).round(2))
    angles = []
    for grain in (0, 1):
        positions = crystal.positions_of(grain)
        away = np.abs(positions[:, 2]) > 5.0  # from the boundary at z = 0
        angles.append(orientation(positions[away], 1.03 * d_nn, axis, folds))
    angle = np.radians(difference(angles[0], angles[1], folds))
    if hexagonal:
        assert np.cos(angle) == pytest.approx(13 / 14, abs=1e-6)  # Σ7
    else:
        np.testing.assert_allclose([5 * np.cos(angle), 5 * np.sin(angle)], [4, 3], atol=1e-5)  # Σ5


@pytest.mark.parametrize("kind", ["twist", "tilt"])
@pytest.mark.parametrize("lattice", CRYSTALS)
def test_bicrystals_are_whole_up_to_their_boundary(lattice: str, kind: Kind) -> None:
    crystal = grown(lattice, kind)
    positions = crystal.frame.positions
    assert ((positions[:, 2] > 0.0) == (crystal.grain_of == 1)).mean() > 0.98  # shared sites at z = 0
    d_nn = nearest_distances(crystal)[0]
    coordination, reach = SHELL[lattice]
    away = inner(positions, 1.3 * d_nn) & (np.abs(positions[:, 2]) > 2.0 * d_nn)
    counts = np.array([len(near) for near in neighbours(positions, reach * d_nn)])
    assert away.sum() > 300
    assert (counts[away] == coordination).all()
    assert nearest(positions).min() > 0.69 * d_nn
    density = np.histogram(positions[:, 2], bins=3, range=(-27.0, 27.0))[0] / len(positions)
    assert density.min() > 0.8 * density.max()  # no gap between the grains


def test_dhcp_has_every_other_layer_like_fcc() -> None:
    crystal = grown("dhcp", "twist")
    order = arrangements(crystal.frame.positions)[inner(crystal.frame.positions, 6.0)]
    counts = Counter(order.tolist())
    fcc, hcp = (counts[list(ARRANGEMENTS).index(name)] for name in ("fcc", "hcp"))
    assert fcc / hcp == pytest.approx(1.0, abs=0.3)
    assert fcc + hcp > 0.8 * len(order)


def test_the_tubes_have_their_diameters_and_three_bonds_per_atom() -> None:
    rod = nanotube_rod()
    for grain, tube in enumerate(TUBES):
        positions = rod.positions_of(grain)
        radius = np.linalg.norm(positions[:, :2] - positions[:, :2].mean(axis=0), axis=1)
        sheet_width = BOND * np.sqrt(3.0 * (tube.n**2 + tube.n * tube.m + tube.m**2))
        np.testing.assert_allclose(2 * radius * np.pi, sheet_width, rtol=1e-6)
        length = np.ptp(positions[:, 2])
        area_per_atom = sheet_width * length / len(positions)
        assert area_per_atom == pytest.approx(BOND**2 * 3**1.5 / 4, rel=0.03)
        away = np.abs(positions[:, 2] - positions[:, 2].mean()) < 0.5 * length - 3.0
        counts = np.array([len(near) for near in neighbours(positions, 1.2 * BOND)])
        assert (counts[away] == 3).all()
    ends = [rod.positions_of(grain)[:, 2] for grain in (0, 1)]
    assert ends[1].min() - ends[0].max() == pytest.approx(BOND)


def rings(positions: Floats) -> Counter[int]:
    """Numbers of polygons by their corners, in a flat sheet with bonds below 1.9 Å; its outside is one."""
    near = neighbours(positions, 1.9)
    turn = {}
    for i, found in enumerate(near):
        vectors = positions[found] - positions[i]
        around = [found[k] for k in np.argsort(np.arctan2(vectors[:, 1], vectors[:, 0]))]
        for k, j in enumerate(around):
            turn[j, i] = (i, around[k - 1])  # coming from j, the next bond to the right
    counts: Counter[int] = Counter()
    while turn:
        start, step = turn.popitem()
        corners = 1
        while step != start:
            step = turn.pop(step)
            corners += 1
        counts[corners] += 1
    return counts


def test_the_boundary_in_graphene_is_a_row_of_pentagons_and_heptagons(sheet: System) -> None:
    flat = sheet.frame.positions
    assert not flat[:, 2].any()
    counts = np.array([len(near) for near in neighbours(flat, 1.9)])
    assert (counts[inner(flat, 3.0)] == 3).all()
    found = rings(flat[counts > 1])
    normal = 2.46 * np.cos(np.radians(30.0))  # of a Burgers vector
    spacing = normal / (2.0 * np.sin(np.arccos(13 / 14) / 2))  # Frank's equation
    pairs = np.ptp(flat[:, 1]) / spacing
    assert found[5] == pytest.approx(pairs, abs=1)
    assert found[7] == pytest.approx(pairs, abs=1)
    assert found[6] > 0.95 * (found.total() - 1)
    assert sum(found[n] for n in (3, 4, 8, 9, 10)) <= 2


def test_the_two_halves_of_graphene_are_turned_by_the_angle_asked_for(sheet: System) -> None:
    angles = [
        orientation(half[np.abs(half[:, 0]) > 23.0], 1.05 * BOND, 2, 6)
        for half in (sheet.positions_of(0), sheet.positions_of(1))
    ]
    assert difference(angles[0], angles[1], 6) == pytest.approx(21.787, abs=0.05)
    assert angles[0] + angles[1] == pytest.approx(0.0, abs=0.1)  # the boundary halves the angle


def test_an_image_misses_atoms_and_shifts_the_others_by_its_precision(sheet: System) -> None:
    image = as_imaged(sheet, seed=3)
    assert len(image) == len(sheet) - round(0.01 * len(sheet))
    distances, sites = map(np.asarray, cKDTree(sheet.frame.positions).query(image.frame.positions))
    assert len(np.unique(sites)) == len(image)
    assert np.sqrt(np.mean(distances**2) / 2.0) / PIXEL == pytest.approx(0.3, rel=0.05)
    assert not image.frame.positions[:, 2].any()
    np.testing.assert_allclose(
        np.ptp(pixels(image), axis=0) * 0.1, np.ptp(image.frame.positions[:, :2], axis=0)
    )


def test_defects_take_their_share_and_move_the_rest_within_the_grains_distance(alloy: System) -> None:
    damaged = with_defects(alloy, 0.2, 0.05, seed=1)
    assert len(damaged) == len(alloy) - round(0.2 * len(alloy))
    sites = np.asarray(cKDTree(alloy.frame.positions).query(damaged.frame.positions)[1])
    moves = damaged.frame.positions - alloy.frame.positions[sites]
    limit = 0.05 * 3.74 / np.sqrt(2.0)
    assert np.abs(moves).max() == pytest.approx(limit, rel=1e-3)
    assert moves.std() == pytest.approx(limit / np.sqrt(3.0), rel=0.01)
    assert (np.array(damaged.symbols()) == np.array(alloy.symbols())[sites]).all()
    assert (damaged.grain_of == alloy.grain_of[sites]).all()
    again, other = with_defects(alloy, 0.2, 0.05, seed=1), with_defects(alloy, 0.2, 0.05, seed=2)
    np.testing.assert_array_equal(again.frame.positions, damaged.frame.positions)
    assert not np.array_equal(other.frame.positions, damaged.frame.positions)


@pytest.mark.parametrize("name", ARRANGEMENTS)
def test_the_order_in_a_crystal_is_known_from_its_neighbours(name: str) -> None:
    symbol = {"fcc": "Cu", "hcp": "Mg", "bcc": "Fe", "diamond": "Si"}[name]
    positions = bulk(symbol, orthorhombic=True).repeat(8).positions
    order = arrangements(positions)[inner(positions, 6.5)]
    assert len(order) > 30
    assert (order == list(ARRANGEMENTS).index(name)).all()


def test_a_structure_without_known_order_is_refused() -> None:
    gas = np.random.default_rng(0).uniform(0.0, 30.0, (200, 3))
    with pytest.raises(CrysiftError, match=r"of 200 atoms \d are surrounded as in fcc, hcp, bcc, diamond"):
        grains_by_order(gas)


def test_grains_of_the_published_polycrystal_agree_with_polyhedral_template_matching(
    shared_data: Path,
) -> None:
    pytest.importorskip("ovito", reason="pip install ovito compares with its template matching")
    from ovito.io import import_file
    from ovito.modifiers import PolyhedralTemplateMatchingModifier as TemplateMatching

    pipeline = import_file(str(shared_data / "atomistic" / "four_grains.xyz"))
    modifier = TemplateMatching(rmsd_cutoff=0.1)
    modifier.structures[TemplateMatching.Type.CUBIC_DIAMOND].enabled = True
    pipeline.modifiers.append(modifier)
    data = pipeline.compute()
    positions, types = np.array(data.particles.positions), np.array(data.particles["Structure Type"])
    theirs = {
        "fcc": TemplateMatching.Type.FCC,
        "hcp": TemplateMatching.Type.HCP,
        "bcc": TemplateMatching.Type.BCC,
        "diamond": TemplateMatching.Type.CUBIC_DIAMOND,
    }
    grains = grains_by_order(positions)
    for index, name in enumerate(ARRANGEMENTS):
        matched = types == int(theirs[name])
        assert matched.sum() > 700
        assert (grains[matched] == index).mean() > 0.98
