"""The grid of boxes: the paper's rule, and what makes no grid."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import CrysiftError
from engine.spm import Grid, GridSettings

LENGTHS = st.floats(1.0, 300.0)


def over(*extent: float, **settings: object) -> Grid:
    """A grid over a structure of this extent, Å, that begins at (1, 2, 3)."""
    low = np.array([1.0, 2.0, 3.0])
    return Grid.over(low, low + np.array(extent), GridSettings(**settings))  # type: ignore[arg-type]


def test_a_slab_gets_one_box_over_its_thickness() -> None:
    grid = over(104.34, 102.51, 15.0, stride=(1.0, 1.0, 1.0), box=16.0)
    assert grid.counts == (105, 103, 1)
    assert grid.strided == (True, True, False)
    assert grid.origin[2] < 3.0
    assert grid.origin[2] + grid.size[2] > 18.0


def test_bulk_gets_three_axes_and_a_rod_one() -> None:
    assert over(120.0, 120.0, 120.0, stride=(3.0, 3.0, 3.0)).counts == (41, 41, 41)
    assert over(9.0, 9.0, 80.0, stride=(2.0, 2.0, 2.0)).counts == (1, 1, 41)


@given(length=LENGTHS, stride=st.floats(0.5, 40.0), box=st.floats(2.0, 50.0))
def test_boxes_cover_the_structure_and_the_overhang_is_divided(
    length: float, stride: float, box: float
) -> None:
    grid = over(length, 0.5, 0.5, stride=(stride,) * 3, box=box, axes="1")
    count = grid.counts[0]
    steps = math.floor(length / stride + 1e-9) + 1
    before, after = 1.0 - grid.origin[0], grid.origin[0] + (count - 1) * stride + box - (1.0 + length)
    assert count >= steps
    assert before == pytest.approx(after, abs=1e-6)
    assert before >= -1e-6
    if count > steps:
        assert (count - 2) * stride + box < length + 1e-6


def test_padding_widens_the_strided_axes_by_boxes() -> None:
    plain, padded = over(50.0, 50.0, 5.0), over(50.0, 50.0, 5.0, padding=0.5)
    assert padded.counts[0] == plain.counts[0] + 16
    assert padded.origin[0] == pytest.approx(plain.origin[0] - 8.0)
    assert padded.counts[2] == 1


def test_axes_can_be_chosen() -> None:
    assert over(50.0, 40.0, 30.0, axes="2", stride=(10.0,) * 3).counts == (6, 5, 1)
    assert over(50.0, 40.0, 30.0, axes="1", stride=(10.0,) * 3).strided == (True, False, False)


def test_a_grid_survives_json() -> None:
    grid = over(50.0, 40.0, 30.0, shape="sphere")
    assert Grid.from_json(json.loads(json.dumps(grid.to_json()))) == grid


def test_indices_run_over_all_boxes_and_centers_are_in_the_middle() -> None:
    grid = over(30.0, 24.0, 3.0, stride=(5.0, 6.0, 1.0), box=8.0)
    indices = grid.indices()
    assert len(np.unique(indices, axis=0)) == grid.n_boxes == len(indices)
    np.testing.assert_allclose(
        grid.centers(indices) - grid.lows(indices), np.array([grid.size]) / 2 + 0 * indices
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"stride": (1.0, 0.0, 1.0)}, "stride along y is 0 Å"),
        ({"stride": (1.0, 1.0, -2.0)}, "stride along z is -2 Å"),
        ({"box": 0.0}, "box is 0 Å"),
        ({"box": math.nan}, "box is nan Å"),
        ({"padding": -1.0}, "padding is -1"),
        ({"min_atoms": 0}, "number of atoms in a box is 0"),
        ({"shape": "cube"}, "shape is 'cube': choose box, sphere"),
        ({"axes": "4"}, "axes is '4'"),
    ],
)
def test_what_makes_no_grid_is_refused_by_name(settings: dict[str, object], words: str) -> None:
    with pytest.raises(CrysiftError, match=words):
        GridSettings(**settings)  # type: ignore[arg-type]


def test_a_box_larger_than_the_structure_is_refused() -> None:
    with pytest.raises(CrysiftError, match="16 Å is larger than the structure, which measures 5"):
        over(5.0, 6.0, 7.0)


def test_too_many_boxes_are_refused() -> None:
    with pytest.raises(CrysiftError, match="take a stride larger than"):
        over(500.0, 500.0, 500.0, stride=(0.001,) * 3)
