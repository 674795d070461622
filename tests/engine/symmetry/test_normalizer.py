"""Wyckoff positions, and how normalizers permute them, against the counts in the International Tables."""

import numpy as np
import pytest

from engine.symmetry.normalizer import letter_permutations
from engine.symmetry.permutations import GENERATORS, LETTERS, closure, permutations
from engine.symmetry.protostructure import MIRROR_IMAGES
from engine.symmetry.wyckoff import SPACE_GROUPS, operations, standard_hall_number, wyckoff_classes

POSITIONS = {1: 1, 2: 9, 15: 6, 47: 27, 62: 4, 82: 7, 99: 7, 152: 3, 166: 9, 194: 12}


def positions(number: int) -> int:
    return int(wyckoff_classes(operations(number)).max()) + 1


@pytest.mark.parametrize("number", POSITIONS)
def test_a_space_group_has_as_many_wyckoff_positions_as_the_tables_list(number: int) -> None:
    assert positions(number) == POSITIONS[number]


def test_operations_are_those_of_the_group() -> None:
    group = operations(227)
    assert len(group.rotations) == 192
    assert len(group.centerings) == 4
    assert len(group.representatives.rotations) == 48
    with pytest.raises(ValueError, match="no space group 231"):
        standard_hall_number(231)


@pytest.mark.parametrize("number", [3, 15, 62, 152])
def test_stored_permutations_are_those_computed_from_the_operations(number: int) -> None:
    found = letter_permutations(number)
    size = positions(number)
    stored = {permutation[:size] for permutation in permutations(number)}
    assert closure(found, size) == stored


def test_permutations_are_groups_and_begin_with_the_identity() -> None:
    assert len(permutations(2)) == 1344  # the affine group of the space of three dimensions over two elements
    for number in range(1, SPACE_GROUPS + 1):
        found = permutations(number)
        assert found[0] == tuple(range(len(found[0])))
        assert set(found) == closure(found, len(found[0]))


def test_mirrored_groups_permute_alike() -> None:
    for one, other in MIRROR_IMAGES.items():
        assert GENERATORS.get(one) == GENERATORS.get(other)


@pytest.mark.slow
def test_there_are_1731_positions_in_1128_sets() -> None:
    counts = {number: positions(number) for number in range(1, SPACE_GROUPS + 1)}
    assert sum(counts.values()) == 1731
    sets = {
        (number, frozenset(permutation[k] for permutation in permutations(number)))
        for number in counts.keys() - MIRROR_IMAGES.keys()
        for k in range(counts[number])
    }
    assert len(sets) == 1128
    assert max(counts.values()) == len(LETTERS)


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 24, 47, 82, 99, 116, 123, 191, 198, 216, 225, 227])
def test_stored_permutations_of_large_groups_are_those_computed(number: int) -> None:
    size = positions(number)
    stored = {permutation[:size] for permutation in permutations(number)}
    assert closure(letter_permutations(number), size) == stored


def test_a_positions_points_are_joined_wherever_special_points_divide_them() -> None:
    classes = wyckoff_classes(operations(10))  # P2/m: 2m is the plane y = 0, with four points left out
    plane = classes.reshape(24, 24, 24)[:, 0, :]
    _, counts = np.unique(plane, return_counts=True)
    assert sorted(counts.tolist()) == [1, 1, 1, 1, 24 * 24 - 4]
