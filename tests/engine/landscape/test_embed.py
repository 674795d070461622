import numpy as np
import pytest

from engine.errors import CrysiftError
from engine.landscape.backend import backend_of
from engine.landscape.embed import EmbedSettings, cuml_arguments, embed, place
from engine.landscape.neighbors import Neighbors, nearest


@pytest.mark.slow
def test_groups_stay_apart_and_a_seed_gives_one_embedding() -> None:
    random = np.random.default_rng(0)
    truth = np.repeat(np.arange(3), 60)
    vectors = np.eye(3, 24)[truth] * 10 + 0.5 * random.normal(size=(180, 24))
    first, again = (embed(vectors, EmbedSettings(neighbors=15, seed=5), "torch") for _ in range(2))
    assert first.shape == (180, 2)
    assert np.array_equal(first, again)
    distances = np.linalg.norm(first[:, None] - first[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert (truth[distances.argmin(axis=1)] == truth).all()
    other = embed(vectors, EmbedSettings(neighbors=15, seed=6), "torch")
    assert not np.array_equal(first, other)


def test_too_few_vectors_and_bad_settings_are_explained() -> None:
    with pytest.raises(CrysiftError, match="51 are needed; ask for fewer neighbours"):
        embed(np.zeros((50, 3)), EmbedSettings(neighbors=50))
    with pytest.raises(CrysiftError, match="least distance"):
        EmbedSettings(min_dist=-0.1)
    with pytest.raises(CrysiftError, match="at least 2"):
        EmbedSettings(neighbors=1)


def test_cuml_is_taken_only_where_it_is_and_named_backends_always() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert backend_of("auto", 1000) == "torch"
    assert backend_of("auto", 10**7) == "cpu"
    assert backend_of("cpu", 1000) == "cpu"
    with pytest.raises(CrysiftError, match="cuML and an NVIDIA GPU"):
        backend_of("cuml", 1000)


def test_cuml_is_called_as_its_documentation_says() -> None:
    documented = {  # https://docs.nvidia.com/cuml/26.08/api/generated/cuml.manifold.UMAP/
        "n_neighbors", "n_components", "metric", "metric_kwds", "n_epochs", "learning_rate", "min_dist",
        "spread", "set_op_mix_ratio", "local_connectivity", "repulsion_strength", "negative_sample_rate",
        "transform_queue_size", "init", "a", "b", "target_n_neighbors", "target_weight", "target_metric",
        "hash_input", "random_state", "force_serial_epochs", "precomputed_knn", "callback", "build_algo",
        "build_kwds", "device_ids", "verbose", "output_type",
    }  # fmt: skip
    assert cuml_arguments(EmbedSettings(), 1000).keys() <= documented
    many = cuml_arguments(EmbedSettings(), 2_500_000)
    assert many.keys() <= documented
    assert (many["build_algo"], many["build_kwds"]) == ("nn_descent", {"knn_n_clusters": 3})


def test_a_further_point_comes_between_its_neighbours_nearer_to_the_nearest() -> None:
    plane = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]], np.float32)
    near = Neighbors(
        np.array([[0, 1, 2], [0, 1, 2]], np.int32), np.array([[1, 1, 1], [0.1, 1, 3]], np.float32)
    )
    even, uneven = place(near, plane)
    np.testing.assert_allclose(even, plane.mean(axis=0), rtol=1e-5)
    assert np.linalg.norm(uneven) < np.linalg.norm(even)
    assert uneven[0] > uneven[1] > 0.0
    weights = np.array([1 - uneven.sum() / 10, uneven[0] / 10, uneven[1] / 10])
    assert np.isclose((weights / weights[0]).sum(), np.log2(3), rtol=1e-4), "UMAP's width of neighbourhoods"


def test_places_of_embedded_points_are_near_their_own() -> None:
    random = np.random.default_rng(2)
    points = random.normal(size=(300, 3)).astype(np.float32)
    plane = points[:, :2]
    placed = place(nearest(points[:50], points, 5), plane)
    assert np.linalg.norm(placed - plane[:50], axis=1).max() < 0.5
