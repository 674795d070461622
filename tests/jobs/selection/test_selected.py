"""Selection at a false discovery rate."""

import numpy as np
import pytest

from jobs.selection.selected import q_values
from models.ood import conformal_p_values


def test_q_values_are_those_of_benjamini_and_hochberg() -> None:
    p = np.array([0.9, 0.001, 0.04, 0.02, 0.04])
    ascending = np.sort(p)
    by_rank = np.minimum.accumulate((ascending * 5 / np.arange(1, 6))[::-1])[::-1]
    np.testing.assert_allclose(q_values(p), by_rank[np.searchsorted(ascending, p)])


def test_what_failed_counts_for_nothing() -> None:
    p = np.array([0.01, np.nan, 0.02, np.nan])
    q = q_values(p)
    np.testing.assert_array_equal(np.isnan(q), np.isnan(p))
    np.testing.assert_allclose(q[[0, 2]], q_values(p[[0, 2]]))
    assert np.isnan(q_values(np.array([np.nan]))).all()
    assert len(q_values(np.empty(0))) == 0


@pytest.mark.parametrize(("fdr", "share"), [(0.05, 0.1), (0.1, 0.02), (0.2, 0.5)])
def test_the_share_of_false_discoveries_stays_below_the_rate_asked(fdr: float, share: float) -> None:
    """Known structures as far as those of the calibration, unknown ones farther: mean of 200 screenings."""
    random = np.random.default_rng(5)
    proportions, found = [], []
    for _ in range(200):
        calibration = np.sort(random.gamma(2.0, size=2000)).astype(np.float32)
        known, unknown = random.gamma(2.0, size=1000), 8.0 + random.gamma(2.0, size=int(1000 * share))
        distances = np.append(known, unknown).astype(np.float32)
        selected = q_values(conformal_p_values(distances, calibration)) <= fdr
        proportions.append(selected[:1000].sum() / max(1, selected.sum()))
        found.append(selected[1000:].mean())
    assert np.mean(proportions) <= fdr
    assert np.mean(found) > 0.5
