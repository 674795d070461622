"""Ranking counts what a network gets right, with a seed of its own."""

import numpy as np
import torch

from models.inference import Inference
from models.network import Perceptron
from models.training.arise import CALIBRATION_SEED, DETECTION_SEED, TEST_SEED
from models.training.defects import VALIDATION_SEED
from models.training.ranking import RANKING_DEFECTS, LabelledVectors, score
from models.training.recipe import SEED as TRAINING_SEED


def test_scores_are_those_of_a_hand_count(network: Perceptron, vectors: torch.Tensor) -> None:
    classes = np.arange(37) % 5
    classes[:20] = Inference(network, 16, 0)(vectors[:20]).uncertainty.probabilities.argmax(axis=1)
    sets = {
        "first": LabelledVectors(vectors[:20].numpy(), classes[:20]),
        "rest": LabelledVectors(vectors[20:].numpy(), classes[20:]),
    }
    ranked = score(network, sets, passes=16)
    probabilities = Inference(network, 16, 0)(vectors).uncertainty.probabilities
    right = probabilities.argmax(axis=1) == classes
    loss = -np.log(probabilities[np.arange(37), classes])
    assert (ranked.scores["first"].structures, ranked.scores["first"].correct) == (20, 20)
    assert (ranked.scores["rest"].structures, ranked.scores["rest"].correct) == (17, right[20:].sum())
    np.testing.assert_allclose(ranked.scores["first"].log_loss, loss[:20].mean(), rtol=1e-6)
    np.testing.assert_allclose(ranked.log_loss, (loss[:20].mean() + loss[20:].mean()) / 2, rtol=1e-6)
    np.testing.assert_allclose(ranked.accuracy, (1 + right[20:].mean()) / 2)


def test_the_sets_are_the_mild_defects_of_the_benchmark_with_a_seed_of_their_own() -> None:
    assert [str(kind) for kind in RANKING_DEFECTS] == [
        *("δ 0.1 %", "δ 0.6 %", "δ 1 %", "η 1 %", "η 5 %", "η 1 %, δ 0.1 %", "η 5 %, δ 0.6 %")
    ]
    assert len({TEST_SEED, CALIBRATION_SEED, DETECTION_SEED, VALIDATION_SEED, TRAINING_SEED}) == 5
