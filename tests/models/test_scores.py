"""Scores of unknown structures, against independent implementations and plain formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax
from scipy.stats import entropy

from models.dropout import Uncertainty
from models.network import Perceptron, PerceptronShape
from models.scores import SCORES, Fitted, Seen, seen
from models.scores.distances import SHRINKAGE, Mahalanobis, NearestNeighbors, RelativeMahalanobis
from models.scores.logits import Energy, VirtualLogit
from models.scores.uncertainties import ensemble_disagreement

Floats = NDArray[np.float64]

CLASSES, TRAINING, TESTED = 4, 300, 40


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    """An untrained network of four classes, and what it sees of training structures around four centres."""
    random = np.random.default_rng(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Perceptron(PerceptronShape(12, (16, 10), CLASSES)).requires_grad_(False).eval()
    classes = np.arange(TRAINING) % CLASSES
    centers = random.normal(size=(CLASSES, 12))
    vectors = centers[classes] + 0.3 * random.normal(size=(TRAINING, 12))
    return Fitted(network, seen(network, torch.tensor(vectors, dtype=torch.float32)), classes)


@pytest.fixture(scope="module")
def tested(fitted: Fitted) -> Seen:
    """Structures anywhere, with an uncertainty."""
    random = np.random.default_rng(1)
    vectors = torch.tensor(2 * random.normal(size=(TESTED, 12)), dtype=torch.float32)
    information, total, variation = random.random((3, TESTED))
    p = random.dirichlet(np.ones(CLASSES), TESTED)
    passes = np.full(TESTED, 7, np.int32)
    return seen(fitted.network, vectors, Uncertainty(p, information, total, variation, passes))


def test_what_is_seen_are_the_activations_and_the_logits_without_dropout(fitted: Fitted) -> None:
    network, training = fitted.network, fitted.training
    first, second, last = network.linear_layers
    hidden = torch.relu(first(network.standardise(training.vectors)))
    torch.testing.assert_close(training.hidden[0], hidden)
    torch.testing.assert_close(training.hidden[1], torch.relu(second(hidden)))
    torch.testing.assert_close(training.logits, last(training.hidden[1]))


@pytest.mark.parametrize("neighbors", [1, 5])
def test_nearest_neighbours_are_those_of_scikit_learn(fitted: Fitted, tested: Seen, neighbors: int) -> None:
    sklearn = pytest.importorskip("sklearn.neighbors")
    score = NearestNeighbors(fitted, lambda of: of.hidden[0], neighbors)
    theirs = sklearn.NearestNeighbors(n_neighbors=neighbors).fit(_directions(fitted.training.hidden[0]))
    distances, _ = theirs.kneighbors(_directions(tested.hidden[0]))
    np.testing.assert_allclose(score(tested), distances[:, -1], atol=1e-3)


def test_mahalanobis_distances_are_those_of_scikit_learn(fitted: Fitted, tested: Seen) -> None:
    pytest.importorskip("sklearn")
    expected, _ = _mahalanobis_by_sklearn(fitted, tested)
    np.testing.assert_allclose(Mahalanobis(fitted)(tested), expected, rtol=1e-6)


def test_the_relative_distance_is_the_one_less_that_to_all_at_once(fitted: Fitted, tested: Seen) -> None:
    pytest.importorskip("sklearn")
    of_classes, of_all = _mahalanobis_by_sklearn(fitted, tested)
    np.testing.assert_allclose(RelativeMahalanobis(fitted)(tested), of_classes - of_all, rtol=1e-6)


def test_the_energy_is_minus_the_logarithm_of_the_summed_exponentials(tested: Seen) -> None:
    logits = tested.logits.double().numpy()
    np.testing.assert_allclose(Energy()(tested), -np.log(np.exp(logits).sum(axis=1)), rtol=1e-12)


def test_vim_is_the_published_formula(fitted: Fitted, tested: Seen) -> None:
    last = fitted.network.linear_layers[-1]
    origin = -np.linalg.pinv(last.weight.double().numpy()) @ last.bias.double().numpy()
    training, features = (each.hidden[-1].double().numpy() - origin for each in (fitted.training, tested))
    values, vectors = np.linalg.eigh(training.T @ training / len(training))
    residual = vectors[:, np.argsort(values)[: len(origin) // 2]]
    of_training, of_tested = (np.linalg.norm(each @ residual, axis=1) for each in (training, features))
    alpha = fitted.training.logits.double().numpy().max(axis=1).sum() / of_training.sum()
    expected = alpha * of_tested - logsumexp(tested.logits.double().numpy(), axis=1)
    np.testing.assert_allclose(VirtualLogit(fitted)(tested), expected, rtol=1e-9)


def test_equal_members_do_not_disagree_and_others_do_by_their_mutual_information() -> None:
    random = np.random.default_rng(2)
    logits = [torch.tensor(random.normal(size=(8, CLASSES))) for _ in range(3)]
    np.testing.assert_allclose(ensemble_disagreement([logits[0]] * 3), 0.0, atol=1e-12)
    p = np.array([softmax(each.numpy(), axis=1) for each in logits])
    expected = entropy(p.mean(axis=0), axis=1) - entropy(p, axis=2).mean(axis=0)
    np.testing.assert_allclose(ensemble_disagreement(logits), expected, rtol=1e-9)
    assert (expected > 0).all()


def test_every_score_gives_a_number_for_each_structure_and_none_depends_on_the_others(
    fitted: Fitted, tested: Seen
) -> None:
    assert tested.uncertainty is not None
    few = seen(fitted.network, tested.vectors[:5], _first(tested.uncertainty, 5))
    for name, make in SCORES.items():
        score = make(fitted)
        every = score(tested)
        assert every.shape == (TESTED,), name
        assert np.isfinite(every).all(), name
        np.testing.assert_allclose(score(few), every[:5], rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("name", ["mutual information", "predictive entropy"])
def test_a_score_of_passes_that_were_not_made_is_an_error(fitted: Fitted, tested: Seen, name: str) -> None:
    with pytest.raises(ValueError, match="Monte-Carlo dropout, which was not asked for"):
        SCORES[name](fitted)(tested._replace(uncertainty=None))


def _directions(features: torch.Tensor) -> Floats:
    rows = features.double().numpy()
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def _mahalanobis_by_sklearn(fitted: Fitted, tested: Seen) -> tuple[Floats, Floats]:
    """Squared distances to the nearest class, of one covariance, and to a Gaussian of all."""
    from sklearn.covariance import EmpiricalCovariance

    features = fitted.training.hidden[-1].double().numpy()
    points = tested.hidden[-1].double().numpy()
    found = []
    for classes in (fitted.classes, np.zeros_like(fitted.classes)):
        means = np.array([features[classes == c].mean(axis=0) for c in np.unique(classes)])
        covariance = EmpiricalCovariance(assume_centered=True).fit(features - means[classes]).covariance_
        shrunk = covariance + SHRINKAGE * np.diag(covariance).mean() * np.eye(len(covariance))
        ways = points[:, None] - means
        found.append(np.einsum("nci,ij,ncj->nc", ways, np.linalg.inv(shrunk), ways).min(axis=1))
    return found[0], found[1]


def _first(of: Uncertainty, rows: int) -> Uncertainty:
    return Uncertainty(
        of.probabilities[:rows],
        of.mutual_information[:rows],
        of.predictive_entropy[:rows],
        of.variation_ratio[:rows],
        of.passes[:rows],
    )
