"""Judging embeddings, searches for neighbours and clusterings, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.manifold import trustworthiness

from engine.errors import CrysiftError
from engine.landscape import quality
from engine.landscape.quality import (
    adjusted_rand_index,
    drawn_rows,
    embedding_quality,
    neighbor_recall,
)

Doubles = NDArray[np.float64]


def _vectors_and_places(count: int = 300) -> tuple[Doubles, Doubles]:
    vectors = np.random.default_rng(1).normal(size=(count, 8)) * np.linspace(2.0, 0.2, 8)
    return vectors + 50.0, vectors[:, :2]


def test_trustworthiness_and_continuity_are_those_of_scikit_learn() -> None:
    vectors, places = _vectors_and_places()
    judged = embedding_quality(vectors, places, 12, np.arange(300))
    assert judged.trustworthiness == pytest.approx(
        trustworthiness(vectors, places, n_neighbors=12), abs=1e-12
    )
    assert judged.continuity == pytest.approx(trustworthiness(places, vectors, n_neighbors=12), abs=1e-12)
    assert 0.6 < judged.trustworthiness < judged.continuity < 1.0


def test_judging_in_blocks_and_by_drawn_rows_changes_little(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, places = _vectors_and_places(800)
    everywhere = embedding_quality(vectors, places, 10, np.arange(800))
    monkeypatch.setattr(quality, "_DISTANCES", 7 * 800)
    assert embedding_quality(vectors, places, 10, np.arange(800)) == pytest.approx(everywhere, abs=1e-12)
    drawn = embedding_quality(vectors, places, 10, drawn_rows(800, 400))
    assert drawn.rows == 400
    assert drawn.trustworthiness == pytest.approx(everywhere.trustworthiness, abs=0.02)


def test_a_turned_and_stretched_copy_is_a_perfect_embedding_also_of_equal_points() -> None:
    points = np.repeat(np.random.default_rng(2).normal(size=(60, 2)), 5, axis=0)
    turned = 3.0 * points @ np.array([[0.6, -0.8], [0.8, 0.6]]) + 100.0
    judged = embedding_quality(points, turned, 7, np.arange(300))
    assert judged.trustworthiness == judged.continuity == 1.0


def test_an_unrelated_embedding_is_worth_nothing() -> None:
    vectors, places = _vectors_and_places(600)
    shuffled = np.random.default_rng(3).permutation(places)
    judged = embedding_quality(vectors, shuffled, 10, np.arange(600))
    assert judged.trustworthiness == pytest.approx(0.5, abs=0.03)
    assert judged.continuity == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("neighbors", [0, 200])
def test_neighbourhoods_too_large_to_judge_are_refused(neighbors: int) -> None:
    vectors, places = _vectors_and_places(300)
    with pytest.raises(CrysiftError, match=f"neighbourhoods of {neighbors} .* 300 points"):
        embedding_quality(vectors, places, neighbors, np.arange(300))


def test_recall_counts_what_is_among_the_nearest() -> None:
    points = np.random.default_rng(4).normal(size=(200, 5))
    distances = cdist(points, points)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1)
    rows = np.array([3, 50, 199])
    assert neighbor_recall(points, rows, nearest[rows, :10]) == 1.0
    shifted = nearest[rows, 4:14]
    assert neighbor_recall(points, rows, shifted) == pytest.approx(0.6)


def test_recall_takes_equal_points_for_one_another_but_neither_itself_nor_one_twice() -> None:
    points = np.array([[0.0], [1.0], [1.0], [1.0], [5.0]])
    assert neighbor_recall(points, np.array([1]), np.array([[3, 2]])) == 1.0
    assert neighbor_recall(points, np.array([0]), np.array([[3, 1]])) == 1.0
    assert neighbor_recall(points, np.array([1]), np.array([[1, 2]])) == 0.5
    assert neighbor_recall(points, np.array([1]), np.array([[2, 2]])) == 0.5


def test_labellings_are_alike_whatever_the_numbers_of_the_clusters() -> None:
    first = np.repeat([0, 1, -1, 2], 25)
    assert adjusted_rand_index(first, np.array([5, 3, 0, 7])[first]) == 1.0
    shuffled = np.random.default_rng(5).permutation(np.tile(first, 20))
    assert adjusted_rand_index(np.tile(first, 20), shuffled) == pytest.approx(0.0, abs=0.01)


def test_rows_are_drawn_without_repetition_and_by_the_seed() -> None:
    rows = drawn_rows(1000, 100, seed=7)
    assert len(np.unique(rows)) == 100
    assert np.all(np.diff(rows) > 0)
    np.testing.assert_array_equal(rows, drawn_rows(1000, 100, seed=7))
    assert not np.array_equal(rows, drawn_rows(1000, 100, seed=8))
    np.testing.assert_array_equal(drawn_rows(5, 100), np.arange(5))
