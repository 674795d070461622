import numpy as np

from engine.landscape.similarity import cosine_similarities, group_means


def test_means_are_those_of_the_members_and_negative_groups_are_left_out() -> None:
    vectors = np.array([[1.0, 0.0], [3.0, 2.0], [9.0, 9.0], [0.0, 4.0]], np.float32)
    means = group_means(vectors, np.array([0, 0, -1, 2]), 3)
    np.testing.assert_allclose(means[[0, 2]], [[2.0, 1.0], [0.0, 4.0]])
    assert np.isnan(means[1]).all()


def test_cosines_are_those_of_the_angles() -> None:
    angles = np.deg2rad([0.0, 60.0, 90.0, 180.0])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1) * [[1.0], [5.0], [0.1], [2.0]]
    expected = np.cos(angles[:, None] - angles[None])
    np.testing.assert_allclose(cosine_similarities(vectors), expected, atol=1e-12)
    assert np.isnan(cosine_similarities(np.zeros((1, 3)))).all()
