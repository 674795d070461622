"""Defects have the size that they are named after, and are the same however they are drawn."""

import numpy as np
import pytest

from engine.errors import CrysiftError
from engine.structure import Structure
from models.training.defects import Defect, defective, nearest_neighbor_distances, remaining_sites
from models.training.replicas import defect_hosts


@pytest.fixture(scope="module")
def host() -> list[Structure]:
    return [h for h in defect_hosts() if h.source_id in ("CsCl/cluster-0", "CsCl/supercell-0")]


def test_nearest_neighbor_distance_is_that_of_any_species() -> None:
    lengths = nearest_neighbor_distances()
    assert lengths["fcc_Cu_A_cF4_225_a"] == pytest.approx(1.807455 * np.sqrt(2), abs=1e-6)
    assert lengths["CsCl"] == pytest.approx(4.07925 * np.sqrt(3) / 2, abs=0.05)
    assert len(lengths) == 108


def test_displacements_fill_the_range_and_stay_within_it(host: list[Structure]) -> None:
    reach = 0.04 * nearest_neighbor_distances()["CsCl"]
    for structure in defective(host[:1], Defect(displacement=0.04), draws=3):
        moved = structure.positions - host[0].positions
        assert np.abs(moved).max() <= reach
        assert np.abs(moved).max() > 0.95 * reach
        assert moved.std() == pytest.approx(reach / np.sqrt(3), rel=0.15)


def test_vacancies_remove_the_asked_share_and_move_nothing(host: list[Structure]) -> None:
    sites = len(host[0].positions)
    for structure in defective(host, Defect(vacancies=0.1), draws=2):
        assert len(structure.positions) == sites - round(0.1 * sites) == len(structure.species_at_sites)
        original = {tuple(position) for position in host[0].positions}
        assert {tuple(position) for position in structure.positions} < original


def test_a_draw_does_not_depend_on_what_else_is_drawn(host: list[Structure]) -> None:
    alone = next(defective(host[1:], Defect(0.02, 0.05), draws=1, seed=3))
    among = list(defective(host, Defect(0.02, 0.05), draws=4, seed=3))[4]
    assert alone.structure_id == among.structure_id
    np.testing.assert_array_equal(alone.positions, among.positions)
    other = next(defective(host[1:], Defect(0.02, 0.05), draws=1, seed=4))
    assert not np.array_equal(alone.positions, other.positions)


def test_a_small_share_removes_one_atom_and_a_large_one_leaves_two() -> None:
    random = np.random.default_rng(0)
    assert len(remaining_sites(20, 0.01, random)) == 19
    assert len(remaining_sites(3, 0.9, random)) == 2
    assert len(remaining_sites(20, 0.0, random)) == 20


def test_defects_say_what_they_are_and_refuse_shares_out_of_range() -> None:
    assert str(Defect(0.02, 0.1)) == "η 10 %, δ 2 %"
    assert str(Defect()) == "pristine"
    with pytest.raises(CrysiftError, match="vacancies = 1, is outside"):
        Defect(vacancies=1.0)
