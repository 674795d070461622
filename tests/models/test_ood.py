"""Distances to the training data, and the p-values made of them."""

import numpy as np
import pytest
import torch

from engine.columns import contiguous, fixed_size_values
from engine.descriptors.soap import SoapSettings
from engine.descriptors.soap.stage import soap_features
from engine.structure import structures_table
from models.inference import representations
from models.network import Perceptron, PerceptronShape
from models.ood import (
    ClassUnits,
    JointSpace,
    OutOfDistribution,
    Reference,
    calibrated,
    conformal_p_values,
    directions,
    nearest_direction,
)
from models.training.defects import Defect, defective
from models.training.replicas import defect_hosts, label_of
from models.weights_file import Model, load_model


def test_p_value_is_the_share_of_calibration_structures_at_least_as_far() -> None:
    calibration = np.array([1.0, 2.0, 2.0, 3.0], dtype=np.float32)
    distances = np.array([0.5, 1.0, 2.0, 2.5, 3.0, 9.0], dtype=np.float32)
    expected = np.array([5, 5, 4, 2, 2, 1]) / 5
    np.testing.assert_allclose(conformal_p_values(distances, calibration), expected, rtol=1e-6)


def test_false_alarms_among_structures_like_the_calibration_stay_below_alpha() -> None:
    random = np.random.default_rng(0)
    calibration = np.sort(random.gamma(2.0, size=1000)).astype(np.float32)
    p = conformal_p_values(random.gamma(2.0, size=20_000).astype(np.float32), calibration)
    for alpha in (0.01, 0.05, 0.2):
        assert (p <= alpha).mean() == pytest.approx(alpha, abs=0.02)


def test_units_are_those_of_the_class_and_of_all_where_a_class_has_none() -> None:
    distances = np.concatenate([np.linspace(0.0, 1.0, 101), np.linspace(0.0, 10.0, 101)]).astype(np.float32)
    units = ClassUnits(distances, np.repeat([4, 9], 101))
    of_all = float(np.quantile(distances, 0.95))
    found = units(np.full(3, 2.0, np.float32), np.array([4, 9, 5]))
    np.testing.assert_allclose(found, np.array([2.0 / 0.95, 2.0 / 9.5, 2.0 / of_all]), rtol=1e-6)


def test_shipped_model_rarely_flags_close_packed_metals_of_mild_disorder() -> None:
    model = load_model("arise-robust")
    metals = ("fcc_Cu_A_cF4_225_a", "hcp_Mg_A_hP2_194_c")
    hosts = [host for host in defect_hosts() if label_of(host.structure_id) in metals]
    kinds = (Defect(0.01), Defect(0.02), Defect(vacancies=0.05))
    structures = [s for kind in kinds for s in defective(hosts, kind, draws=3, seed=2026)]
    features = soap_features(structures_table(structures), SoapSettings())
    vectors = fixed_size_values(contiguous(features["vector"])).reshape(len(structures), -1).copy()
    scores = OutOfDistribution(model.network.head, model.reference)(torch.from_numpy(vectors))
    assert (scores.p_value <= 0.05).mean() <= 0.15  # 108 structures of two classes


def test_shipped_model_resolves_a_p_value_of_five_percent_in_every_class() -> None:
    per_class = np.bincount(load_model("arise-robust").reference.calibration_classes, minlength=108)
    assert per_class.min() >= 60


def test_score_is_one_where_95_percent_of_the_calibration_lie_below_and_keeps_growing() -> None:
    calibration = np.linspace(0.0, 0.2, 101, dtype=np.float32)
    of_class = np.full(101, 7)
    head = Perceptron(PerceptronShape(4, (), 8))
    reference = Reference(
        inputs=np.eye(2, 4, dtype=np.float32),
        classes=np.array([7, 3]),
        ids=("a", "b"),
        units=np.ones(1, np.float32),
        calibration=calibration,
        calibration_classes=of_class,
    )
    angles = [2 * np.arcsin(0.19 / 2), 0.5, 0.7]
    points = torch.tensor([[5 * np.cos(a), 0.0, 5 * np.sin(a), 0.0] for a in angles], dtype=torch.float32)
    scores = OutOfDistribution(head, reference)(points)
    assert scores.score[0] == pytest.approx(1.0, abs=1e-5)
    assert scores.score[0] < scores.score[1] < scores.score[2]
    assert scores.p_value[1] == scores.p_value[2] == pytest.approx(1 / 102)
    np.testing.assert_array_equal(scores.nearest, [7, 7, 7])
    np.testing.assert_array_equal(scores.row, [0, 0, 0])


def test_distance_is_exact_where_a_structure_is_a_training_structure(model: Model) -> None:
    space = JointSpace(model.network.head, model.reference.units)
    reference = space(torch.from_numpy(model.reference.inputs))
    distances, rows = nearest_direction(reference, reference)
    np.testing.assert_array_equal(rows, np.arange(37))
    np.testing.assert_array_equal(distances, 0.0)


def test_the_joint_space_holds_the_directions_of_all_spaces_in_their_units(
    network: Perceptron, vectors: torch.Tensor
) -> None:
    units = np.array([0.2, 0.4, 0.1], np.float32)
    joint = JointSpace(network, units)(vectors)
    first, _, last, _ = network.hidden_and_logits(vectors)
    parts = [vectors, torch.relu(first), torch.relu(last)]
    scaled = [torch.nn.functional.normalize(x, dim=1) / float(u) for x, u in zip(parts, units, strict=True)]
    expected = torch.nn.functional.normalize(torch.cat(scaled, dim=1), dim=1)
    torch.testing.assert_close(joint, expected, rtol=1e-5, atol=1e-6)


def test_units_are_what_95_percent_of_the_calibration_stay_below_in_each_space(model: Model) -> None:
    usual = torch.from_numpy(model.reference.inputs) + 0.1 * torch.randn(
        (37, 316), generator=torch.Generator().manual_seed(2)
    )
    found = calibrated(model.network.head, model.reference, usual)
    assert found.ids == model.reference.ids
    training = directions(model.network.head, torch.from_numpy(model.reference.inputs))
    for unit, own, known in zip(found.units, directions(model.network.head, usual), training, strict=True):
        distances = torch.cdist(own, known).min(dim=1).values.numpy()
        assert unit == pytest.approx(np.quantile(distances, 0.95), rel=1e-4)
    scores = OutOfDistribution(model.network.head, found)(usual)
    assert (scores.score <= 1.0).mean() == pytest.approx(0.95, abs=0.03)
    np.testing.assert_array_equal(found.calibration_classes, scores.nearest)


def test_nearest_direction_equals_a_search_over_all_pairs() -> None:
    generator = torch.Generator().manual_seed(0)
    points, reference = (
        torch.nn.functional.normalize(torch.randn((n, 24), generator=generator), dim=1) for n in (50, 400)
    )
    distances, rows = nearest_direction(points, reference)
    all_pairs = torch.linalg.vector_norm(points[:, None] - reference, dim=2)
    np.testing.assert_array_equal(rows, all_pairs.argmin(dim=1).numpy())
    np.testing.assert_allclose(distances, all_pairs.min(dim=1).values.numpy(), rtol=1e-6)


def test_representation_is_the_last_hidden_layer_before_its_relu(
    network: Perceptron, vectors: torch.Tensor
) -> None:
    expected = network.double().hidden_and_logits(vectors.double())[-2]
    network.float()
    found = representations(network, vectors)
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-5)
    assert (found < 0).any()


def test_scores_are_bit_identical_whatever_the_batch(model: Model, vectors: torch.Tensor) -> None:
    ood = OutOfDistribution(model.network.head, model.reference)
    shifted = vectors + 0.1
    whole = ood(shifted).score
    for size in (1, 5, 32, 36):
        parts = [ood(part).score for part in torch.split(shifted, size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    backwards = ood(shifted.flip(0)).score
    np.testing.assert_array_equal(backwards[::-1], whole)
