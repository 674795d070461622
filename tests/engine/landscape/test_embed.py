import numpy as np
import pytest

from engine.errors import CrysiftError
from engine.landscape.backend import backend_of
from engine.landscape.embed import EmbedSettings, embed


@pytest.mark.slow
def test_groups_stay_apart_and_a_seed_gives_one_embedding() -> None:
    random = np.random.default_rng(0)
    truth = np.repeat(np.arange(3), 60)
    vectors = np.eye(3, 24)[truth] * 10 + 0.5 * random.normal(size=(180, 24))
    first, again = (embed(vectors, EmbedSettings(neighbors=15, seed=5), "cpu") for _ in range(2))
    assert first.shape == (180, 2)
    assert np.array_equal(first, again)
    distances = np.linalg.norm(first[:, None] - first[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert (truth[distances.argmin(axis=1)] == truth).all()
    other = embed(vectors, EmbedSettings(neighbors=15, seed=6), "cpu")
    assert not np.array_equal(first, other)


def test_too_few_vectors_and_bad_settings_are_explained() -> None:
    with pytest.raises(CrysiftError, match="51 are needed; ask for fewer neighbours"):
        embed(np.zeros((50, 3)), EmbedSettings(neighbors=50))
    with pytest.raises(CrysiftError, match="least distance"):
        EmbedSettings(min_dist=-0.1)
    with pytest.raises(CrysiftError, match="at least 2"):
        EmbedSettings(neighbors=1)


def test_a_gpu_is_used_only_where_there_is_one() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert backend_of("auto") == backend_of("cpu") == "cpu"
    with pytest.raises(CrysiftError, match="cuML and an NVIDIA GPU"):
        backend_of("cuda")
