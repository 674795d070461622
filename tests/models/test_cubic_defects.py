"""Defects of cubic crystals are of the size and share that they are named after."""

from collections import Counter

import numpy as np
import pytest

from engine.errors import CrysiftError
from engine.structure import Structure
from models.training.cubic import cubic_structure
from models.training.cubic_defects import (
    PUBLISHED_DEFECTS,
    STRONGER_DEFECTS,
    CubicDefect,
    defect_host,
    defective_cubic,
)


@pytest.fixture(scope="module")
def hosts() -> list[Structure]:
    return [
        defect_host(cubic_structure(label, symbol, setting, 1.0))
        for label, symbol, setting in (
            ("fcc", "Cu", "sheared"),
            ("diamond", "Si", "primitive"),
            ("bcc", "W", "supercell"),
            ("sc", "Po", "conventional"),
        )
    ]


def only(hosts: list[Structure], kind: CubicDefect, seed: int = 0) -> list[Structure]:
    return list(defective_cubic(hosts, kind, seed))


def test_hosts_hold_about_128_atoms_at_the_pristine_density(hosts: list[Structure]) -> None:
    assert [len(host.positions) for host in hosts] == [144, 144, 128, 125]
    for host in hosts:
        label, symbol, setting, _ = host.source_id.split("/")
        pristine = cubic_structure(label, symbol, setting, 1.0)
        densities = [len(s.positions) / abs(np.linalg.det(s.cell)) for s in (host, pristine)]
        assert densities[0] == pytest.approx(densities[1])


def test_thirteen_kinds_are_published_and_names_tell_all_apart() -> None:
    kinds = (*PUBLISHED_DEFECTS, *STRONGER_DEFECTS)
    assert len(PUBLISHED_DEFECTS) == 13
    assert len({kind.name for kind in kinds}) == len({str(kind) for kind in kinds}) == len(kinds)
    assert CubicDefect(vacancies=0.1).name == "vacancies-0.1"
    assert str(CubicDefect(substituted=0.75, species=2)) == "75 % substituted by 2 elements"


def test_vacancies_remove_the_share_and_move_nothing(hosts: list[Structure]) -> None:
    for host, structure in zip(hosts, only(hosts, CubicDefect(vacancies=0.5)), strict=True):
        assert len(structure.positions) == len(host.positions) - round(0.5 * len(host.positions))
        assert set(map(tuple, structure.positions)) < set(map(tuple, host.positions))


def test_displacements_are_gaussian_of_the_asked_width(hosts: list[Structure]) -> None:
    moved = np.concatenate(
        [
            structure.positions - host.positions
            for seed in range(10)
            for host, structure in zip(hosts, only(hosts, CubicDefect(displacement=0.15), seed), strict=True)
        ]
    )
    n = moved.size
    assert moved.std() == pytest.approx(0.15, rel=4 / np.sqrt(2 * n))
    assert abs(moved.mean()) < 4 * 0.15 / np.sqrt(n)
    assert (moved**4).mean() / moved.var() ** 2 == pytest.approx(3.0, abs=4 * np.sqrt(96 / n))


@pytest.mark.parametrize(("share", "species"), [(0.25, 1), (0.5, 1), (0.25, 2), (0.75, 2)])
def test_substitution_leaves_the_sites_and_shares_them_evenly(
    hosts: list[Structure], share: float, species: int
) -> None:
    kind = CubicDefect(substituted=share, species=species)
    for host, structure in zip(hosts, only(hosts, kind), strict=True):
        np.testing.assert_array_equal(structure.positions, host.positions)
        counts = Counter(structure.species_at_sites)
        sites, element = len(host.positions), host.species_at_sites[0]
        assert counts.pop(element) == sites - round(share * sites)
        assert len(counts) == species
        assert max(counts.values()) - min(counts.values()) <= 1


def test_other_seeds_and_structures_get_other_elements(hosts: list[Structure]) -> None:
    kind = CubicDefect(substituted=0.5)
    drawn = {
        tuple(sorted(set(structure.species_at_sites)))
        for seed in range(6)
        for structure in only(hosts, kind, seed)
    }
    assert len(drawn) > 20


def test_a_draw_does_not_depend_on_what_else_is_drawn(hosts: list[Structure]) -> None:
    kind = CubicDefect(displacement=0.1, vacancies=0.2)
    (alone,) = only(hosts[2:3], kind, seed=3)
    among = only(hosts, kind, seed=3)[2]
    assert alone.structure_id == among.structure_id
    np.testing.assert_array_equal(alone.positions, among.positions)
    (other,) = only(hosts[2:3], kind, seed=4)
    assert not np.array_equal(alone.positions, other.positions)


@pytest.mark.parametrize("values", [{"vacancies": 1.0}, {"displacement": -0.1}, {"species": 0}])
def test_impossible_defects_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(CrysiftError):
        CubicDefect(**values)  # type: ignore[arg-type]
