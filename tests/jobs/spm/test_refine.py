"""Coarse to fine: what is left out is as its neighbours are, and what is not is evaluated once."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from engine.errors import CrysiftError
from jobs.spm.refine import Found, Refine, Refinement, boxes_in_blocks

Counts = tuple[int, int, int]
Classes = Callable[[NDArray[np.int64]], NDArray[np.int64]]


def refined(
    refine: Refine, counts: Counts, classes: Classes, information: float = 0.0
) -> list[NDArray[np.int32]]:
    """Boxes of each level, where `classes` tells what every box (n, 3) turns out to be."""
    refinement = Refinement(refine, counts)
    levels = [refinement.coarsest()]
    for _ in range(refine.levels):
        known = np.concatenate(levels).astype(np.int64)
        ones = np.ones(len(known))
        levels.append(refinement.finer(Found(known, classes(known), ones, information * ones)))
    return levels


def filled(counts: Counts, evaluated: NDArray[np.int32], classes: Classes) -> NDArray[np.int64]:
    """The map in which every box that was left out has the class of the nearest that was not."""
    dense = np.full(counts, -2)
    dense[tuple(evaluated.T)] = classes(evaluated.astype(np.int64))
    nearest = distance_transform_edt(dense == -2, return_distances=False, return_indices=True)
    return np.asarray(dense[tuple(nearest)])


def everywhere(counts: Counts) -> NDArray[np.int64]:
    return np.stack(np.unravel_index(np.arange(np.prod(counts)), counts), axis=1)


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 23), st.integers(1, 9)),
    st.sampled_from([2, 4, 8]),
    st.tuples(st.integers(-3, 3), st.integers(-3, 3), st.integers(-3, 3)),
    st.integers(-60, 60),
)
def test_across_a_plane_boundary_the_refined_map_is_the_full_one(
    counts: Counts, step: int, normal: tuple[int, int, int], offset: int
) -> None:
    def classes(boxes: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.asarray(boxes @ np.array(normal) > offset, np.int64)

    levels = refined(Refine(step=step), counts, classes)
    evaluated = np.concatenate(levels)
    assert len(np.unique(evaluated, axis=0)) == len(evaluated)
    assert (evaluated >= 0).all()
    assert (evaluated < counts).all()
    map_of_all = classes(everywhere(counts)).reshape(counts)
    differing = filled(counts, evaluated, classes) != map_of_all
    # Halfway between an evaluated box of either class a tie decides: never farther than that from the plane.
    distance = np.abs(everywhere(counts) @ np.array(normal) - offset).reshape(counts)
    assert (distance[differing] <= np.abs(normal).sum()).all()


def test_a_uniform_structure_needs_the_coarse_grid_alone() -> None:
    levels = refined(Refine(step=4), (41, 41, 41), lambda boxes: np.zeros(len(boxes), np.int64))
    assert [len(level) for level in levels] == [11**3, 0, 0]


def test_where_everything_is_uncertain_every_box_is_evaluated_once() -> None:
    counts = (19, 6, 1)
    levels = refined(Refine(step=8), counts, lambda boxes: np.zeros(len(boxes), np.int64), information=0.5)
    evaluated = np.concatenate(levels)
    assert len(evaluated) == np.prod(counts)
    assert np.array_equal(np.unique(evaluated, axis=0), everywhere(counts))


def test_a_grain_is_found_from_its_boundary() -> None:
    counts, center = (61, 61, 61), np.array([30, 30, 30])

    def classes(boxes: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.asarray(((boxes - center) ** 2).sum(axis=1) < 18**2, np.int64)

    evaluated = np.concatenate(refined(Refine(step=4), counts, classes))
    agreement = (filled(counts, evaluated, classes).reshape(-1) == classes(everywhere(counts))).mean()
    assert agreement > 0.998
    assert len(evaluated) < 0.3 * np.prod(counts)


@given(st.integers(1, 300), st.integers(1, 40), st.floats(0.5, 50.0))
def test_every_box_is_in_one_block_within_the_limits(count: int, most: int, limit: float) -> None:
    random = np.random.default_rng(count)
    costs = random.random((8, 9, 10)).astype(np.float32)
    chosen = np.argwhere(np.ones_like(costs))[random.permutation(costs.size)[:count]].astype(np.int32)
    blocks = boxes_in_blocks(chosen, costs, most, limit)
    together = np.concatenate(blocks)
    assert np.array_equal(np.unique(together, axis=0), np.unique(chosen, axis=0))
    assert len(together) == count
    for block in blocks:
        assert len(block) <= most
        assert len(block) == 1 or costs[tuple(block.T)].sum(dtype=np.float64) <= limit + 1e-6
    assert boxes_in_blocks(chosen[:0], costs, most, limit) == []


@pytest.mark.parametrize("step", [0, 1, 3, 6, 128])
def test_steps_that_cannot_be_halved_down_to_one_are_refused(step: int) -> None:
    with pytest.raises(CrysiftError, match="choose 2, 4, 8"):
        Refine(step=step)


def test_thresholds_below_zero_are_refused() -> None:
    with pytest.raises(CrysiftError, match=r"contrast .* is -1: give 0 or more"):
        Refine(contrast=-1.0)
    with pytest.raises(CrysiftError, match=r"uncertainty .* is nan"):
        Refine(uncertainty=float("nan"))
