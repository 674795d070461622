import numpy as np
import pytest

from engine.errors import CrysiftError
from engine.landscape import components
from engine.landscape.components import principal_components


def distances(points: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(points[:, None] - points[None], axis=-1))


def test_all_components_keep_all_distances() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 7))
    vectors = np.hstack([vectors, vectors @ np.ones((7, 3))])
    turned = principal_components(vectors, 1.0)
    assert turned.shape == (50, 7), "three columns depend on the others"
    np.testing.assert_allclose(distances(turned), distances(vectors), atol=1e-5)


def test_as_many_components_stay_as_hold_the_variance() -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(4000, 4)) * [10.0, 3.0, 1.0, 0.1]
    assert [principal_components(vectors, share).shape[1] for share in (0.5, 0.95, 0.995, 1.0)] == [
        1,
        2,
        3,
        4,
    ]
    variances = principal_components(vectors, 1.0).var(axis=0)
    np.testing.assert_allclose(variances, [100.0, 9.0, 1.0, 0.01], rtol=0.06)


def test_blocks_and_order_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(1).normal(size=(100, 5)) * [5.0, 4.0, 3.0, 2.0, 1.0]
    whole = principal_components(vectors, 1.0)
    monkeypatch.setattr(components, "_ROWS", 7)
    np.testing.assert_allclose(principal_components(vectors, 1.0), whole, atol=1e-5)
    np.testing.assert_allclose(principal_components(vectors[::-1], 1.0), whole[::-1], atol=1e-5)


def test_a_share_out_of_range_is_refused() -> None:
    for share in (0.0, 1.1):
        with pytest.raises(CrysiftError, match="variance"):
            principal_components(np.zeros((4, 2)), share)


def test_equal_vectors_have_one_component() -> None:
    assert principal_components(np.ones((4, 3)), 0.99).shape == (4, 1)
