"""The competitors of the accuracy benchmark, each on crystals with a known answer."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from engine.descriptors.soap import SoapStage
from engine.execution import execute, plan_stage
from engine.execution.events import ignore
from engine.store import Store, Table
from engine.structure import Structure, structures_table
from jobs.bench.accuracy.local_order import METHODS, TEMPLATES, LocalOrderStage
from jobs.bench.accuracy.naive_bayes import NaiveBayesStage, training_vectors
from jobs.bench.accuracy.sets import PRISTINE, BenchmarkSet
from jobs.bench.accuracy.symmetry import SpaceGroupStage, right_groups, space_group
from models.batches import vectors_of
from models.training.defects import Defect, defective
from models.training.grid import GridSettings, GridStage
from models.training.replicas import defect_hosts, label_of, pristine_structures
from models.training.symmetry import TOLERANCES

FCC, HCP, BCC = "fcc_Cu_A_cF4_225_a", "hcp_Mg_A_hP2_194_c", "bcc_W_A_cI2_229_a"


def _pristine(*variants: str) -> list[Structure]:
    return [s for s in pristine_structures() if s.source_id.split("/")[1] in variants]


def _found(stage: SpaceGroupStage | LocalOrderStage, structures: Iterable[Structure]) -> list[dict[str, int]]:
    table = stage.open()(structures_table(structures).select(stage.reads.names))
    assert table.schema.equals(stage.writes)
    rows: list[dict[str, int]] = table.to_pylist()
    return rows


def _cell_without(label: str, variant: str, sites: set[int]) -> Structure:
    host = next(h for h in defect_hosts() if h.source_id == f"{label}/{variant}")
    kept = [site for site in range(len(host.positions)) if site not in sites]
    species = tuple(host.species_at_sites[site] for site in kept)
    return Structure(
        host.source, host.source_id, species, host.positions[kept], host.lattice, host.dimension_types
    )


def test_spglib_reads_periodic_structures_and_no_others() -> None:
    by_label = {FCC: 225, HCP: 194, BCC: 229, "L12_Cu3Au": 221, "RockSalt_NaCl": 225, "C": 191, "BN": 187}
    structures = [s for s in _pristine("periodic", "cluster-0") if label_of(s.structure_id) in by_label]
    for structure, row in zip(structures, _found(SpaceGroupStage(), structures), strict=True):
        right = by_label[label_of(structure.structure_id)] if any(structure.dimension_types) else None
        assert (row["loose"], row["tight"]) == (right, right)


def test_a_space_group_is_right_where_it_is_that_of_the_crystal() -> None:
    labels, kinds = ["a", "a", "a", "b", "b", "a"], [0, 3, 3, 0, 3, 3]
    groups = [225, 225, 1, 12, 0, None]
    assert right_groups(labels, kinds, groups) == [True, True, False, True, False, None]
    assert right_groups(["b", "b"], [0, 3], [0, 0]) == [False, False]


def test_narrow_tolerances_are_asked_wherever_wide_ones_find_a_symmetry() -> None:
    cells = [h for h in defect_hosts() if h.source_id.split("/")[0] in (FCC, "CsCl", "GaS", "TiCl3")]
    drawn = [
        structure
        for kind in (Defect(0.001), Defect(0.01), Defect(0.04), Defect(vacancies=0.05), Defect(0.04, 0.2))
        for structure in defective((c for c in cells if c.source_id.endswith("supercell-0")), kind, 1, 5)
    ]
    numbers = structures_table(drawn)["atomic_numbers"].to_pylist()
    for structure, of_sites, row in zip(drawn, numbers, _found(SpaceGroupStage(), drawn), strict=True):
        apart = {
            name: space_group(structure.positions, np.array(of_sites), structure.cell, *within)
            for name, within in TOLERANCES.items()
        }
        assert {name: row[name] for name in apart} == apart
    assert len({row["loose"] for row in _found(SpaceGroupStage(), drawn)}) > 3


def test_ovito_gives_every_atom_of_a_pristine_crystal_the_type_in_the_tables() -> None:
    pytest.importorskip("ovito")
    structures = _pristine("periodic")
    for structure, row in zip(structures, _found(LocalOrderStage(), structures), strict=True):
        for method, known in METHODS.items():
            treated = label_of(structure.structure_id) in known
            assert row[method] == (len(structure.positions) if treated else None)
        assert row["n_atoms"] == len(structure.positions)
    assert len(TEMPLATES) == 13


def test_ovito_is_not_asked_about_clusters() -> None:
    pytest.importorskip("ovito")
    clusters = [s for s in _pristine("cluster-0") if label_of(s.structure_id) in METHODS["ptm"]]
    for row in _found(LocalOrderStage(), clusters):
        assert [row[method] for method in METHODS] == [None] * 4


@pytest.mark.parametrize(("label", "neighbours"), [(FCC, 12), (HCP, 12), (BCC, 8 + 6)])
def test_a_vacancy_costs_common_neighbour_analysis_its_shell(label: str, neighbours: int) -> None:
    pytest.importorskip("ovito")
    cell = _cell_without(label, "supercell-2", {171})
    (row,) = _found(LocalOrderStage(), [cell])
    assert row["cna"] == row["adaptive_cna"] == len(cell.positions) - neighbours
    assert row["ptm"] < len(cell.positions)


def test_species_on_wrong_sites_are_no_match_for_a_template() -> None:
    pytest.importorskip("ovito")
    salt = next(s for s in _pristine("periodic") if label_of(s.structure_id) == "CsCl")
    (right,) = _found(LocalOrderStage(), [salt])
    of_one_kind = Structure(
        salt.source, salt.source_id, ("Cs", "Cs"), salt.positions, salt.lattice, salt.dimension_types
    )
    (wrong,) = _found(LocalOrderStage(), [of_one_kind])
    assert (right["ptm"], wrong["ptm"]) == (2, 0)


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """Vectors of three prototypes at three cutoffs."""
    store = Store.open(tmp_path_factory.mktemp("training") / "store", create=True)
    few = BenchmarkSet(draws=1, kinds=(PRISTINE,), labels=(FCC, HCP, BCC))
    few.write(store, ignore, 1)
    plan = plan_stage(store, GridStage(GridSettings((3.8, 4.0, 4.2), (0.1,), (1.0,))), "inline")
    execute(plan)
    return plan.target


def test_naive_bayes_is_that_of_its_definition(training: Table) -> None:
    stage = NaiveBayesStage(training=training)
    hosts = [h for h in defect_hosts() if label_of(h.structure_id) in (FCC, HCP, BCC)]
    rows = structures_table(defective(hosts, Defect(0.1), 1, 5))
    features = SoapStage().open()(rows)
    found = stage.open()(features.select(stage.reads.names))
    assert found.schema.equals(stage.writes)
    vectors, labels = training_vectors(training)
    assert vectors.shape == (12 * 3, 316)
    asked = vectors_of(features).astype(float)
    classes = sorted(set(labels))
    smoothing = 1e-9 * vectors.var(axis=0).max()
    gaussian, bernoulli = [], []
    for label in classes:
        own = vectors[labels == label]
        mean, variance = own.mean(axis=0), own.var(axis=0) + smoothing
        gaussian.append(-0.5 * (np.log(2 * np.pi * variance) + (asked - mean) ** 2 / variance).sum(axis=1))
        positive = ((own > 0).sum(axis=0) + 1) / (len(own) + 2)
        bernoulli.append(np.where(asked > 0, np.log(positive), np.log(1 - positive)).sum(axis=1))
    for name, likelihoods in (("gaussian", gaussian), ("bernoulli", bernoulli)):
        expected = [classes[k] for k in np.argmax(likelihoods, axis=0)]
        assert found[name].to_pylist() == expected


def test_naive_bayes_passes_failed_rows_on(training: Table) -> None:
    stage = NaiveBayesStage(training=training)
    failed = dict.fromkeys(stage.reads.names) | {
        "structure_id": "prototype:x/y",
        "status": "failed",
        "error_message": "no vector",
    }
    found = stage.open()(pa.Table.from_pylist([failed], schema=stage.reads)).to_pylist()
    assert [(row["status"], row["error_message"], row["gaussian"]) for row in found] == [
        ("failed", "no vector", None)
    ]


def test_stages_reach_other_processes_unchanged(training: Table) -> None:
    pytest.importorskip("ovito")
    for stage in (SpaceGroupStage(), LocalOrderStage(), NaiveBayesStage(training=training)):
        there = pickle.loads(pickle.dumps(stage))  # noqa: S301 -- made here
        assert there == stage
        assert there.settings() == stage.settings()


def test_other_training_vectors_are_another_table(training: Table, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    BenchmarkSet(draws=1, kinds=(PRISTINE,), labels=(FCC,)).write(store, ignore, 1)
    plan = plan_stage(store, GridStage(GridSettings((3.8, 4.0, 4.2), (0.1,), (1.0,))), "inline")
    execute(plan)
    one, other = (NaiveBayesStage(training=table).settings() for table in (training, plan.target))
    assert one["training"] == other["training"]
    assert one["training_sha256"] != other["training_sha256"]
