"""One structure stands for those that are near it."""

import numpy as np
import torch

from jobs.selection.equivalents import leaders


def directions(count: int, width: int = 8, seed: int = 0) -> torch.Tensor:
    points = torch.randn((count, width), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(points, dim=1)


def one_by_one(points: torch.Tensor, within: float) -> list[int]:
    """The definition, without blocks."""
    chosen: list[int] = []
    for row, point in enumerate(points):
        standing = sorted({leader for leader in chosen if chosen[leader] == leader})
        distances = torch.linalg.vector_norm(points[standing] - point, dim=1)
        near = len(standing) and float(distances.min()) <= within
        chosen.append(standing[int(distances.argmin())] if near else row)
    return chosen


def test_every_point_has_the_nearest_leader_before_it_whatever_the_blocks() -> None:
    points = directions(3000)
    expected = one_by_one(points, 0.6)
    assert 10 < len(set(expected)) < 1500
    for size in (3000, 1000, 77):
        assert list(leaders(points.split(size), 0.6)) == expected


def test_no_member_is_farther_than_the_distance_from_its_leader() -> None:
    points = directions(500)
    chosen = np.array(list(leaders([points], 0.5)))
    apart = torch.linalg.vector_norm(points - points[chosen], dim=1)
    assert float(apart.max()) <= 0.5
    own = np.unique(chosen)
    np.testing.assert_array_equal(chosen[own], own)


def test_equal_points_have_one_leader_and_no_points_none() -> None:
    assert list(leaders([directions(1).repeat(2000, 1)], 1e-3)) == [0] * 2000
    assert list(leaders([], 1.0)) == []
