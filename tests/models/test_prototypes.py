"""The prototype table holds the published facts."""

import json
from collections import Counter
from pathlib import Path

import numpy as np

from models.prototypes import prototypes, titles
from models.training.import_prototypes import table_text
from models.training.replicas import (
    cluster_replications,
    defect_hosts,
    label_of,
    pristine_structures,
    replicate,
)


def test_there_are_108_prototypes_in_the_published_families() -> None:
    table = prototypes()
    families = Counter(prototype.family for prototype in table)
    assert families == {
        "elemental": 27,
        "binary": 11,
        "ternary": 6,
        "quaternary": 6,
        "2d": 46,
        "nanotube": 12,
    }
    assert len({prototype.label for prototype in table}) == len(set(titles().values())) == 108


def test_table_is_what_the_importer_makes_of_its_source(shared_data: Path) -> None:
    source = json.loads((shared_data / "prototypes" / "arise_prototypes.json").read_text(encoding="utf-8"))
    stored = Path("models/data/prototypes.json")
    table = Path(__file__).parents[2] / stored
    assert table_text(source) == table.read_text(encoding="utf-8")


def test_titles_are_readable() -> None:
    assert titles()["fcc_Cu_A_cF4_225_a"] == "fcc (Cu)"
    assert titles()["chiral_cnt_nm_5_2_16.1_4.89"] == "chiral carbon nanotube (5,2)"


def test_pristine_structures_are_96_periodic_ones_with_three_clusters_each_and_12_nanotubes() -> None:
    structures = pristine_structures()
    variants = Counter(structure.source_id.split("/")[1] for structure in structures)
    assert variants == {"periodic": 96, "cluster-0": 108, "cluster-1": 96, "cluster-2": 96}
    assert len({structure.structure_id for structure in structures}) == 396
    assert {label_of(structure.structure_id) for structure in structures} == set(titles())


def test_clusters_are_the_smallest_replicas_of_at_least_100_atoms_and_the_next_two() -> None:
    for prototype in (p for p in prototypes() if p.is_periodic):
        cells = [int(np.prod(counts)) for counts in cluster_replications(prototype)]
        atoms = [cell * len(prototype.species) for cell in cells]
        axes = sum(prototype.periodic)
        below = (round(cells[0] ** (1 / axes)) - 1) ** axes * len(prototype.species)
        assert below < 100 <= atoms[0] < atoms[1] < atoms[2]


def test_a_replica_repeats_the_unit_cell_along_its_lattice() -> None:
    copper = next(p for p in prototypes() if p.label == "fcc_Cu_A_cF4_225_a")
    species, positions = replicate(copper, (2, 1, 3))
    assert species == ("Cu",) * 6
    fractions = positions @ np.linalg.inv(copper.lattice)
    np.testing.assert_allclose(
        sorted(map(tuple, fractions.round(9))), [(i, 0, k) for i in (0, 1) for k in (0, 1, 2)]
    )


def test_layers_are_replicated_in_their_plane_only() -> None:
    for prototype in (p for p in prototypes() if p.family == "2d"):
        assert all(counts[2] == 1 for counts in cluster_replications(prototype))


def test_defects_have_588_hosts_of_which_the_periodic_prototypes_are_half_periodic() -> None:
    hosts = defect_hosts()
    assert len(hosts) == 588
    assert sum(any(host.dimension_types) for host in hosts) == 288
    assert min(len(host.positions) for host in hosts) >= 100
