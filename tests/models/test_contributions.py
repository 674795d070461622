"""What is left of a score when pairs of species are left out of the mean."""

import numpy as np
import pytest
import torch

from models.contributions import contributions
from models.ood import OutOfDistribution
from models.weights_file import Model


@pytest.fixture
def ood(model: Model) -> OutOfDistribution:
    return OutOfDistribution(model.network.head, model.reference)


def test_each_part_is_scored_as_the_mean_over_the_other_pairs(ood: OutOfDistribution) -> None:
    spectra = np.random.default_rng(0).normal(size=(3, 3, 316))
    found = contributions(spectra, ood)
    left: dict[tuple[int, ...], list[tuple[int, int]]] = {
        (1,): [(0, 0), (0, 2), (2, 0), (2, 2)],
        (0, 2): [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 1), (2, 2)],
        (1, 1): [pair for pair in np.ndindex(3, 3) if pair != (1, 1)],
    }
    parts = {part.species: part.without for part in (*found.species, *found.pairs)}
    assert list(parts) == [(0,), (1,), (2,), (0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    for species, pairs in left.items():
        mean = np.mean([spectra[pair] for pair in pairs], axis=0)
        expected = ood(torch.from_numpy(mean[None].astype(np.float32)))
        without = parts[species]
        assert without is not None
        assert without.score == pytest.approx(expected.score[0], rel=1e-5)
        assert (without.p_value, without.nearest) == (expected.p_value[0], expected.nearest[0])
    whole = ood(torch.from_numpy(spectra.mean(axis=(0, 1))[None].astype(np.float32)))
    assert found.whole.score == pytest.approx(whole.score[0], rel=1e-5)


def test_nothing_is_said_of_what_has_no_pair_or_no_neighbours(ood: OutOfDistribution) -> None:
    one = contributions(np.ones((1, 1, 316)), ood)
    assert (one.species[0].without, one.pairs[0].without) == (None, None)
    assert one.sublattices == (one.whole,)
    spectra = np.random.default_rng(1).normal(size=(2, 2, 316))
    spectra[1, 1] = 0.0
    found = contributions(spectra, ood)
    assert found.species[0].without is None
    assert found.sublattices[1] is None
    assert found.pairs[2].without is not None
    with pytest.raises(ValueError, match="no atom has a neighbour"):
        contributions(np.zeros((2, 2, 316)), ood)


def test_the_nearest_classes_are_those_of_all_distances(model: Model, ood: OutOfDistribution) -> None:
    vector = torch.randn(316, generator=torch.Generator().manual_seed(8))
    found = ood.nearest_classes(vector, 5)
    scores = ood(vector[None])
    assert (found.row[0], found.classes[0]) == (scores.row[0], scores.nearest[0])
    assert found.score[0] == pytest.approx(scores.score[0], rel=1e-6)
    everything = ood.nearest_classes(vector, 1000)
    assert len(everything.row) == 37  # of which each has its own class
    assert (np.diff(everything.score) >= 0.0).all()
    np.testing.assert_array_equal(everything.row[:5], found.row)
    np.testing.assert_array_equal(model.reference.classes[found.row], found.classes)
