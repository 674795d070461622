"""Limits of shares in reliability diagrams, and how the pictures are asked for."""

import numpy as np
import pytest

from jobs.studies.reliability import main, wilson


@pytest.mark.parametrize(
    ("right", "of", "limits"),
    [  # R. G. Newcombe, Stat. Med. 17, 857 (1998), Table I, method 3
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_limits_of_shares_are_the_published_ones(right: int, of: int, limits: tuple[float, float]) -> None:
    low, high = wilson(np.array([right / of]), np.array([of]))
    np.testing.assert_allclose([low[0], high[0]], limits, atol=5e-5)


def test_limits_lie_on_both_sides_of_the_share_and_mirror_each_other() -> None:
    shares, counts = np.linspace(0.0, 1.0, 11), np.full(11, 40)
    low, high = wilson(shares, counts)
    assert (low <= shares).all()
    assert (shares <= high).all()
    np.testing.assert_allclose(low, 1.0 - high[::-1], atol=1e-12)


def test_without_a_picture_the_usage_is_told() -> None:
    with pytest.raises(SystemExit, match=r"usage: python -m jobs\.studies\.reliability PICTURE"):
        main([])
