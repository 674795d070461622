"""SOAP against independent sources: DScribe, scipy's harmonics, and the published vectors of the paper."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from ase import Atoms
from ase.build import bulk, molecule, nanotube
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import sph_harm_y

from engine.descriptors.neighbors import Floats, Ints
from engine.descriptors.scaling import d_nn, nearest_distances
from engine.descriptors.soap import SoapSettings, soap_pairs, soap_vector
from engine.descriptors.soap.kernel import SLOTS, average_spectrum, harmonics
from engine.descriptors.soap.radial import radial_table
from engine.descriptors.soap.vector import by_species

Flags = NDArray[np.bool_]
Sites = tuple[Floats, Ints, Floats, Flags]

GTO = SoapSettings(basis="gto")
DSCRIBE = SoapSettings(basis="gto", backend="dscribe")


def sites(atoms: Atoms) -> Sites:
    return atoms.positions, atoms.numbers.astype(np.int64), atoms.cell.array, atoms.pbc


def random_structure(
    seed: int, species_count: int, periodic: tuple[int, int, int], volume_per_atom: float = 15.0
) -> Sites:
    """A generic structure of 4 to 24 atoms in a skewed cell, without close contacts."""
    generator = np.random.default_rng(seed)
    count = int(generator.integers(4, 25))
    edge = (volume_per_atom * count) ** (1 / 3)
    lattice = np.diag(edge * generator.uniform(0.8, 1.25, 3)) + 0.15 * edge * generator.normal(size=(3, 3))
    fractions = generator.uniform(size=(count, 3))
    species = generator.integers(0, species_count, count)
    return fractions @ lattice, species, lattice, np.array(periodic, np.bool_)


def test_the_harmonics_are_orthonormal_and_those_of_scipy() -> None:
    directions = np.random.default_rng(0).normal(size=(3, 40))
    x, y, z = directions / np.linalg.norm(directions, axis=0)
    out = np.zeros((56, 40))
    harmonics(x, y, z, out)
    for order in range(7):
        for m in range(order + 1):
            reference = sph_harm_y(order, m, np.arccos(z), np.arctan2(y, x)) * (-1) ** m
            scale = np.sqrt(2.0) if m else 1.0
            np.testing.assert_allclose(out[SLOTS[order**2 + order + m]], scale * reference.real, atol=1e-13)
            if m:
                np.testing.assert_allclose(
                    out[SLOTS[order**2 + order - m]], scale * reference.imag, atol=1e-13
                )


@given(
    seed=st.integers(0, 10_000),
    species_count=st.integers(1, 4),
    periodic=st.sampled_from([(1, 1, 1), (1, 1, 0), (0, 1, 0), (0, 0, 0)]),
    scale=st.sampled_from([0.95, 1.0, 1.05]),
)
def test_the_kernel_with_orbitals_is_dscribe_to_a_millionth(
    seed: int, species_count: int, periodic: tuple[int, int, int], scale: float
) -> None:
    structure = random_structure(seed, species_count, periodic)
    ours = soap_vector(*structure, SoapSettings(basis="gto", scale=scale)).vector
    theirs = soap_vector(*structure, SoapSettings(basis="gto", backend="dscribe", scale=scale)).vector
    assert np.abs(ours - theirs).max() <= 1e-6 * np.abs(theirs).max()


@pytest.mark.parametrize(
    "atoms",
    [
        bulk("Cu"),
        bulk("NaCl", "rocksalt", a=5.64),
        bulk("Ti"),
        molecule("C6H6"),
        nanotube(6, 0, length=2),
        bulk("Fe", cubic=True).repeat((5, 5, 5)),
    ],
    ids=lambda atoms: atoms.get_chemical_formula(),
)
def test_real_crystals_molecules_and_tubes_agree_with_dscribe(atoms: Atoms) -> None:
    ours, theirs = soap_vector(*sites(atoms), GTO), soap_vector(*sites(atoms), DSCRIBE)
    assert np.abs(ours.vector - theirs.vector).max() <= 1e-6 * np.abs(theirs.vector).max()
    assert ours.d_nn_min == theirs.d_nn_min


def test_the_vector_is_the_mean_of_unit_vectors_and_closes_with_a_zero() -> None:
    elemental = soap_vector(*sites(bulk("Cu")), SoapSettings())
    assert elemental.vector.shape == (316,)
    assert np.linalg.norm(elemental.vector) == pytest.approx(1.0)
    assert elemental.vector[-1] == 0.0
    assert elemental.d_nn_min == pytest.approx(3.61 / np.sqrt(2))


def test_neighbour_pairs_are_counted_in_both_directions() -> None:
    # fcc within 4 d_NN has 12+6+24+12+24+8+48+6+36+24+24+24+72+48+12 = 380 neighbours, less none on the edge
    counts = [12, 6, 24, 12, 24, 8, 48, 6, 36, 24, 24, 24, 72, 0, 48, 12]
    shells = np.sqrt(np.arange(1, 17))
    expected = sum(count for count, shell in zip(counts, shells, strict=True) if shell <= 4.0)
    result = soap_vector(*sites(bulk("Cu")), SoapSettings(cutoff=4.0 + 1e-6))
    assert result.n_pairs == expected


def test_a_single_atom_without_periodicity_gives_zeros() -> None:
    result = soap_vector(np.zeros((1, 3)), np.array([1]), np.zeros((3, 3)), np.zeros(3, bool), SoapSettings())
    assert not result.vector.any()
    assert np.isnan(result.d_nn_min)


def _replicas(prototype: dict[str, Any]) -> Iterator[tuple[str, Floats, int, bool]]:
    """The pristine structures of one prototype as the paper prepares them: (variant, positions, periodic)."""
    if prototype["family"] == "nanotube":
        cartesian = prototype.get("cartesian_positions") or prototype["positions"]
        yield "cluster-0", np.array(cartesian), 1, False
        return
    lattice = np.array(prototype["lattice_vectors"])
    positions = np.array(prototype["fractional_positions"]) @ lattice
    yield "periodic", positions, 1, True
    axes = 2 if prototype["family"] == "2d" else 3
    first = next(n for n in range(1, 99) if len(positions) * n**axes >= 100)
    for variant in range(3):
        n = first + variant
        shifts = np.array(list(itertools.product(range(n), range(n), range(n if axes == 3 else 1)))) @ lattice
        yield f"cluster-{variant}", (positions[None] + shifts[:, None]).reshape(-1, 3), len(shifts), False


def _distance_to_published(
    positions: Floats, species: Ints, lattice: Floats, periodic: Flags, published: Floats
) -> float:
    """Largest difference, with d_NN or d_NN ± 0.005 Å where all distances of a pair are equal.

    The authors' histogram of equal distances d spans d ± 0.5 Å in 100 bins, so that d lies on the edge of two
    bins and rounding decides between their centres.
    """
    sublattices, bounds, cell = by_species(positions, species, lattice, periodic)
    lengths = d_nn(sublattices, bounds, cell)
    table = radial_table(SoapSettings())
    total, choices = np.zeros(316), list[list[Floats]]()
    for a, b in itertools.product(range(len(lengths)), repeat=2):
        if np.isinf(lengths[a, b]):
            continue

        def spectrum(shift: float, a: int = a, b: int = b) -> Floats:
            alone = np.full_like(lengths, np.inf)
            alone[a, b] = lengths[a, b] + shift
            return np.asarray(average_spectrum(sublattices, bounds, cell, alone, table)[0])

        plain = spectrum(0.0)
        total += plain
        nearest = nearest_distances(
            sublattices[bounds[a] : bounds[a + 1]], sublattices[bounds[b] : bounds[b + 1]], cell, a == b
        )
        if np.ptp(nearest) < 1e-5:  # the positions at hand are rounded to six decimals
            choices.append([spectrum(shift) - plain for shift in (0.0, 0.005, -0.005)])
    for _ in range(4):
        for pair in choices:
            shift = min(pair, key=lambda candidate: np.linalg.norm(total + candidate - published))
            total += shift
            pair[:] = [candidate - shift for candidate in pair]
    return float(np.abs(total - published).max())


def test_the_published_vectors_are_reproduced(shared_data: Path) -> None:
    prototypes = json.loads((shared_data / "prototypes/arise_prototypes.json").read_text())
    table = pq.read_table(shared_data / "soap/published_pristine.parquet").to_pylist()
    published = {(row["label"], row["variant"]): np.array(row["soap"]) for row in table}
    differences = []
    for prototype in prototypes:
        species = np.unique(prototype["species"], return_inverse=True)[1]
        lattice = np.array(prototype.get("lattice_vectors") or np.zeros((3, 3)))
        for variant, positions, copies, periodic in _replicas(prototype):
            flags = np.full(3, periodic)
            reference = published.pop((prototype["label"], variant))
            differences.append(
                _distance_to_published(positions, np.tile(species, copies), lattice, flags, reference)
            )
    assert not published
    assert len(differences) == 396
    assert np.sum(np.array(differences) <= 1e-5) >= 370


@pytest.mark.parametrize(
    "settings", [SoapSettings(), DSCRIBE, SoapSettings(backend="torch"), SoapSettings(scale=1.2)]
)
@pytest.mark.parametrize("periodic", [(1, 1, 1), (1, 1, 0), (0, 0, 0)])
def test_the_vector_is_the_mean_of_its_pairs(settings: SoapSettings, periodic: tuple[int, int, int]) -> None:
    structure = random_structure(4, 3, periodic)
    pairs = soap_pairs(*structure, settings)
    assert pairs.spectra.shape == (3, 3, 316)
    whole = soap_vector(*structure, settings)
    tolerance = 1e-5 if settings.backend == "torch" else 1e-12
    np.testing.assert_allclose(pairs.spectra.mean(axis=(0, 1)), whole.vector, atol=tolerance)
    np.testing.assert_allclose(np.linalg.norm(pairs.spectra, axis=2), 1.0, rtol=1e-9)
    assert pairs.d_nn.min() == pytest.approx(whole.d_nn_min)


def test_a_pair_without_neighbours_has_no_spectrum_and_no_length() -> None:
    water = molecule("H2O")
    pairs = soap_pairs(*sites(water), SoapSettings())  # hydrogen, oxygen
    assert np.isinf(pairs.d_nn[1, 1])
    assert not pairs.spectra[1, 1].any()
    whole = soap_vector(*sites(water), SoapSettings()).vector
    np.testing.assert_allclose(pairs.spectra.mean(axis=(0, 1)), whole, atol=1e-12)
