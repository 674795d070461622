"""Calibration: errors of a hand count, and temperatures that are found again."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.confidence import Confidence
from models.convnet import ConvNet
from models.dropout import MonteCarloDropout
from models.network import Perceptron, PerceptronShape
from models.training.calibration import (
    calibrated_temperature,
    calibration_figures,
    fitted_confidence,
    log_loss,
    log_losses,
    reliability,
)
from models.weights_file import Model

PASSES = 30


@pytest.fixture(scope="module")
def small() -> Perceptron:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        built = Perceptron(PerceptronShape(12, (24,), 4, 0.1))
        with torch.no_grad():
            built.linear_layers[-1].weight.mul_(6.0)
    return built.requires_grad_(False).eval()


def drawn(network: Perceptron, temperature: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors, and classes drawn from what the sampled networks say of them at a temperature."""
    random = np.random.default_rng(5)
    vectors = random.normal(size=(count, network.shape.inputs)).astype(np.float32)
    said = MonteCarloDropout(network, PASSES, seed=0, temperature=temperature)(torch.from_numpy(vectors))
    steps = said.probabilities.cumsum(axis=1)
    return vectors, (random.random((count, 1)) > steps).sum(axis=1).clip(max=3)


def test_error_is_that_of_a_hand_count() -> None:
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.45, 0.55]])
    classes = np.array([0, 1, 1, 1])
    by_hand = reliability(p, classes, bins=5)
    np.testing.assert_array_equal(by_hand.counts, [0, 0, 1, 2, 1])
    np.testing.assert_allclose(by_hand.confidence, [0, 0, 0.55, 0.75, 0.9])
    np.testing.assert_allclose(by_hand.accuracy, [0, 0, 1.0, 0.5, 1.0])
    expected = (1 * 0.45 + 2 * 0.25 + 1 * 0.1) / 4
    assert reliability(p, classes, bins=5).error == pytest.approx(expected)


def test_a_sure_and_right_network_has_no_error_and_a_sure_and_wrong_one_all_of_it() -> None:
    p = np.eye(3)[[0, 1, 2, 0]]
    assert reliability(p, np.array([0, 1, 2, 0])).error == 0.0
    assert reliability(p, np.array([1, 2, 0, 1])).error == 1.0
    assert log_loss(p, np.array([0, 1, 2, 0])) == 0.0
    assert np.isfinite(log_loss(p, np.array([1, 2, 0, 1])))


@pytest.mark.parametrize("temperature", [0.5, 2.5])
def test_the_temperature_that_classes_were_drawn_at_is_found_again(
    small: Perceptron, temperature: float
) -> None:
    vectors, classes = drawn(small, temperature, 4000)
    found = calibrated_temperature(small, vectors, classes, PASSES)
    assert found == pytest.approx(temperature, rel=0.2)


def test_the_fewer_structures_the_nearer_the_temperature_stays_to_one(small: Perceptron) -> None:
    vectors, classes = drawn(small, 2.5, 1000)
    few, many = (
        calibrated_temperature(small, vectors[:count], classes[:count], PASSES) for count in (60, 1000)
    )
    assert 1.0 < few < many - 0.5


def test_of_temperatures_that_are_as_good_the_nearest_to_one_is_taken(small: Perceptron) -> None:
    vectors, classes = drawn(small, 2.5, 300)
    found = calibrated_temperature(small, vectors, classes, PASSES)
    x = torch.from_numpy(vectors)
    losses = {
        t: log_losses(MonteCarloDropout(small, PASSES, 0, temperature=t)(x).probabilities, classes)
        for t in (0.9 * found, found, *np.geomspace(1.5, 4.0, 40))
    }
    best = min(losses, key=lambda t: losses[t].mean())
    above = {t: of - losses[best] for t, of in losses.items()}
    errors = {t: of.std() / np.sqrt(len(of)) for t, of in above.items()}
    assert above[found].mean() <= 1.1 * errors[found]
    assert above[0.9 * found].mean() > errors[0.9 * found]


def test_the_error_falls_and_the_threshold_is_the_95th_percentile_of_usual_structures(
    small: Perceptron,
) -> None:
    vectors, classes = drawn(small, 2.5, 2000)
    confidence = fitted_confidence(small, vectors[:1000], classes[:1000], vectors[:200], PASSES)
    sure, mended = (
        MonteCarloDropout(small, PASSES, 0, temperature=t)(torch.from_numpy(vectors[1000:]))
        for t in (1.0, confidence.temperature)
    )
    before, after = (reliability(said.probabilities, classes[1000:]).error for said in (sure, mended))
    assert after < 0.05
    assert before > 0.1
    assert log_loss(mended.probabilities, classes[1000:]) < log_loss(sure.probabilities, classes[1000:])
    usual = MonteCarloDropout(small, PASSES, 0, temperature=confidence.temperature)
    information = usual(torch.from_numpy(vectors[:200])).mutual_information
    assert (information > confidence.information_threshold).sum() == 10


def test_a_convolutional_network_is_calibrated_by_its_head(convnet: ConvNet, images: torch.Tensor) -> None:
    classes = np.arange(len(images)) % 4
    x = images.float().numpy()
    overconfident = copy.deepcopy(convnet)
    overconfident.classifier.linear_layers[-1].weight.mul_(100.0)
    confidence = fitted_confidence(overconfident, x, classes, x[:5], 10)
    assert confidence.temperature > 1.0  # it knows nothing: the less sure, the better


def test_figures_before_and_after_differ_by_the_temperature_alone(
    model: Model, vectors: torch.Tensor
) -> None:
    x, classes = vectors.numpy(), np.arange(len(vectors)) % 108
    sets = [("first", x[:20], classes[:20]), ("rest", x[20:], classes[20:])]
    plain = calibration_figures(model, sets, 10)
    assert plain["all"]["before"] == plain["all"]["after"]
    warm = calibration_figures(replace(model, confidence=Confidence(temperature=4.0)), sets, 10)
    assert warm["temperature"] == 4.0
    assert warm["all"]["before"] == plain["all"]["before"]
    assert warm["all"]["after"] != warm["all"]["before"]
    assert [each["structures"] for each in warm["sets"].values()] == [20, 17]
