"""SOAP by PyTorch against the compiled kernel; on a GPU, too, where there is one."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111, graphene, molecule, nanotube
from numpy.typing import NDArray

from connectors.examples import ExamplesConnector
from engine.columns import StructureColumns
from engine.descriptors.neighbors import Floats, Ints
from engine.descriptors.soap import SoapResult, SoapSettings, SoapStage, soap_vector
from engine.descriptors.soap.device_search import chunks
from engine.descriptors.soap.stage import soap_features
from engine.descriptors.soap.torch_backend import Batch, soap_batch
from engine.structure import Structure, structures_table
from engine.validation import StructureLimits, validate

Sites = tuple[Floats, Ints, Floats, NDArray[np.bool_]]

QUIP, GTO = SoapSettings(), SoapSettings(basis="gto")
BY_TORCH = SoapSettings(backend="torch")
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-6}
"""Largest distance to the kernel's vector; the contract is 1e-5 of its length."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def sites(atoms: Atoms) -> Sites:
    return atoms.positions, atoms.numbers.astype(np.int64), atoms.cell.array, atoms.pbc


def random_structures(count: int) -> list[Sites]:
    """Crystals, slabs, rods and clusters of 1 to 40 atoms and up to five species, in skewed cells."""
    random = np.random.default_rng(7)
    structures = []
    for index in range(count):
        atoms = int(random.integers(1, 41))
        edge = (15.0 * atoms) ** (1 / 3)
        lattice = np.diag(edge * random.uniform(0.7, 1.4, 3)) + 0.3 * edge * random.normal(size=(3, 3))
        species = random.integers(0, 1 + index % 5, atoms)
        periodic = np.array([(1, 1, 1), (1, 1, 0), (0, 1, 0), (0, 0, 0)][index % 4], np.bool_)
        structures.append((random.uniform(size=(atoms, 3)) @ lattice, species, lattice, periodic))
    return structures


def packed(structures: Sequence[Sites]) -> Batch:
    positions, species, lattices, periodic = zip(*structures, strict=True)
    offsets = np.cumsum([0, *map(len, positions)])
    return Batch(
        np.concatenate(positions), np.concatenate(species), offsets, np.stack(lattices), np.stack(periodic)
    )


def assert_agree(
    structures: Sequence[Sites], results: Sequence[SoapResult], soap: SoapSettings, tolerance: float
) -> None:
    """The vectors agree, and d_NN and the number of pairs are equal to the last bit."""
    assert len(results) == len(structures)
    for structure, result in zip(structures, results, strict=True):
        expected = soap_vector(*structure, soap)
        length = float(np.linalg.norm(expected.vector))
        assert np.linalg.norm(result.vector - expected.vector) <= tolerance * length
        np.testing.assert_equal(result.d_nn_min, expected.d_nn_min)
        assert result.n_pairs == expected.n_pairs


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("soap", [QUIP, GTO, SoapSettings(cutoff=3.0, sigma=0.12, scale=1.05)])
def test_random_crystals_slabs_rods_and_clusters_agree_with_the_kernel(
    soap: SoapSettings, dtype: torch.dtype, device: str
) -> None:
    structures = random_structures(24)
    assert_agree(structures, soap_batch(packed(structures), soap, device, dtype), soap, TOLERANCE[dtype])


def test_structures_of_all_sizes_share_small_chunks_and_large_ones_are_split() -> None:
    structures = [
        sites(atoms)
        for atoms in [
            bulk("Cu"),
            bulk("Fe", cubic=True).repeat((6, 6, 6)),
            Atoms("H"),
            bulk("NaCl", "rocksalt", a=5.64),
            fcc111("Al", (2, 2, 3), vacuum=9.0),
            graphene(size=(3, 3, 1), vacuum=None),
            nanotube(6, 0, length=2),
            molecule("C6H6"),
            Atoms("H2", [[0, 0, 0], [0, 0, 0.74]]),
        ]
    ]
    split = soap_batch(packed(structures), QUIP, "cpu", chunk_bytes=2**24)
    assert_agree(structures, split, QUIP, TOLERANCE[torch.float32])
    assert not split[2].vector.any()


def test_chunks_cover_everything_once_within_the_limit() -> None:
    counts = np.array([3, 0, 9, 1, 1, 1, 7, 2])
    slices = list(chunks(counts, 5))
    assert np.array_equal(np.concatenate([np.arange(8)[part] for part in slices]), np.arange(8))
    assert all(counts[part].sum() <= 5 or part.stop - part.start == 1 for part in slices)


def test_a_batch_gives_one_row_per_structure_in_order_with_its_reason_where_it_failed() -> None:
    elongated = Atoms("HHHe", [[0, 0, 0], [1, 0, 0], [0.5, 0.5, 5e11]], cell=[3, 3, 1e12], pbc=True)
    coincident = Atoms("Cu3", [[0, 0, 0], [0, 0, 0], [1, 1, 1]], cell=[4, 4, 4], pbc=True)
    crystals = [bulk("Cu"), bulk("Ti"), elongated, molecule("C6H6"), Atoms("H"), coincident, bulk("Fe")]
    table = structures_table([Structure.from_ase(a, "test", str(i)) for i, a in enumerate(crystals)])
    ordered = pa.array([True, False, True, True, True, True, True])
    table = table.set_column(table.schema.get_field_index("is_ordered"), "is_ordered", ordered)
    stage = SoapStage(BY_TORCH, device="cpu")
    features, expected = stage.open()(table), soap_features(table, QUIP)
    assert features.schema.equals(stage.writes)
    for column in ("structure_id", "status", "error_stage", "error_class", "d_nn_min", "n_pairs"):
        assert features[column].equals(expected[column]), column
    assert features["error_class"].to_pylist()[1:3] == ["DisorderedStructure", "SearchTooLargeError"]
    ours, theirs = features["vector"].to_pylist(), expected["vector"].to_pylist()
    for row in (0, 3, 6):
        np.testing.assert_allclose(ours[row], theirs[row], atol=TOLERANCE[torch.float32])


def test_the_backend_is_in_the_fingerprint_and_the_device_is_not() -> None:
    assert SoapStage(BY_TORCH).settings() != SoapStage(QUIP).settings()
    assert SoapStage(BY_TORCH, device="cpu").settings() == SoapStage(BY_TORCH).settings()


def test_a_gpu_is_asked_for_where_it_will_be_used() -> None:
    assert SoapStage(BY_TORCH, device="cuda").resources.gpus == 1.0
    assert SoapStage(BY_TORCH, device="cpu").resources.gpus == 0.0
    assert SoapStage(QUIP, device="cuda").resources.gpus == 0.0


def assert_columns_agree(columns: StructureColumns, rows: Sequence[int]) -> None:
    structures = [columns.row(row) for row in rows]
    assert_agree(structures, soap_batch(packed(structures), QUIP), QUIP, TOLERANCE[torch.float32])


@pytest.mark.slow
def test_the_embedded_examples_agree_with_the_kernel() -> None:
    connector = ExamplesConnector()
    for page in connector.pages(None):
        accepted, _ = validate(connector.read(page).candidates, StructureLimits())
        columns = StructureColumns.from_table(accepted)
        assert_columns_agree(columns, range(0, len(columns), 4))


@pytest.mark.slow
def test_materials_project_structures_agree_with_the_kernel(shared_data: Path) -> None:
    table = pq.read_table(shared_data / "mp/part-001.parquet")
    table = table.append_column("structure_id", table["source_id"])
    columns = StructureColumns.from_table(table.take(np.arange(0, len(table), 40)))
    assert_columns_agree(columns, range(len(columns)))
