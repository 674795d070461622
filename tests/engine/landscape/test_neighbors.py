import numpy as np
import pytest

from engine.errors import CrysiftError
from engine.landscape.neighbors import nearest, neighbor_graph, with_self


def brute(queries: np.ndarray, points: np.ndarray, count: int) -> np.ndarray:
    distances = np.linalg.norm(queries[:, None].astype(float) - points[None].astype(float), axis=-1)
    return np.sort(distances, axis=1)[:, :count]


def test_neighbours_are_exact_also_among_nearly_equal_points() -> None:
    random = np.random.default_rng(0)
    crowd = 50.0 + 1e-4 * random.normal(size=(200, 12))
    points = np.vstack([10.0 * random.normal(size=(300, 12)), crowd]).astype(np.float32)
    found = nearest(points, points, 10)
    np.testing.assert_allclose(found.distances, brute(points, points, 10), rtol=1e-5, atol=1e-7)
    own = np.linalg.norm(points[found.indices].astype(float) - points[:, None].astype(float), axis=-1)
    np.testing.assert_allclose(own, found.distances, rtol=1e-5, atol=1e-7)


def test_a_point_is_not_its_own_neighbour_even_among_equal_ones() -> None:
    points = np.vstack([np.zeros((30, 3)), np.arange(30)[:, None] * np.ones(3)]).astype(np.float32)
    graph = neighbor_graph(points, 5, "torch")
    assert graph.indices.shape == (60, 5)
    assert (graph.indices != np.arange(60)[:, None]).all()
    assert (graph.distances[:30] == 0.0).all()
    whole = with_self(graph)
    assert whole.indices[:, 0].tolist() == list(range(60))
    assert (np.diff(whole.distances, axis=1) >= 0.0).all()


@pytest.mark.slow
def test_approximate_neighbours_agree_with_exact_ones() -> None:
    points = np.random.default_rng(1).normal(size=(2000, 8)).astype(np.float32)
    exact, approximate = neighbor_graph(points, 15, "torch"), neighbor_graph(points, 15, "cpu", seed=3)
    shared = [len(np.intersect1d(a, b)) for a, b in zip(exact.indices, approximate.indices, strict=True)]
    assert np.mean(shared) / 15 > 0.95


def test_more_neighbours_than_points_are_refused() -> None:
    with pytest.raises(CrysiftError, match="5 neighbours are asked for among 5 points"):
        neighbor_graph(np.zeros((5, 2), np.float32), 5, "torch")
    with pytest.raises(CrysiftError, match="6 neighbours are asked for among 5 points"):
        nearest(np.zeros((1, 2)), np.zeros((5, 2)), 6)
