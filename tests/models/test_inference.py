"""One way from vectors to representations and uncertainties, for every network, whatever the batch."""

import numpy as np
import pytest
import torch

from models.convnet import ConvNet
from models.dropout import MonteCarloDropout
from models.inference import Inference, Inferred, representations
from models.network import Perceptron
from models.sampled_networks import mask_blocks


def joined(parts: list[Inferred]) -> list[bytes]:
    """All numbers of consecutive parts, array by array."""
    arrays = [[part.points.numpy(), *vars(part.uncertainty).values()] for part in parts]
    return [np.concatenate(each).tobytes() for each in zip(*arrays, strict=True)]


@pytest.mark.parametrize("size", [1, 5, 16, 20])
def test_convolutional_results_are_bit_identical_whatever_the_batch(
    convnet: ConvNet, images: torch.Tensor, size: int
) -> None:
    inference = Inference(convnet, passes=50, seed=2)
    whole = joined([inference(images)])
    assert joined([inference(part) for part in torch.split(images, size)]) == whole
    backwards = inference(images.flip(0))
    assert torch.equal(backwards.points.flip(0), inference(images).points)
    np.testing.assert_array_equal(
        backwards.uncertainty.probabilities[::-1], inference(images).uncertainty.probabilities
    )


def test_a_pattern_keeps_its_numbers_beside_any_other(convnet: ConvNet, images: torch.Tensor) -> None:
    alone = representations(convnet, images[:1])
    for others in (torch.ones(15, 4096), images[3:9].float() * 100.0):
        assert torch.equal(representations(convnet, torch.cat([images[:1].float(), others]))[:1], alone)


def test_convolutional_uncertainty_equals_a_loop_over_sampled_networks(
    convnet: ConvNet, images: torch.Tensor
) -> None:
    passes = 40
    result = Inference(convnet, passes, seed=9)(images[:3]).uncertainty
    (dropped,) = next(mask_blocks(convnet.head.shape, passes, 9, passes)).dropped
    network = ConvNet(convnet.shape).requires_grad_(False).eval()
    network.load_state_dict(convnet.state_dict())
    network.double()
    activations = torch.relu(network.points(images[:3].double()))
    p = torch.stack(
        [torch.softmax(network.head(activations * torch.from_numpy(~mask) / 0.75), dim=1) for mask in dropped]
    )
    np.testing.assert_allclose(result.probabilities, p.mean(dim=0).numpy(), rtol=1e-4)
    mean_entropy = -(p * p.log()).sum(dim=2).mean(dim=0).numpy()
    np.testing.assert_allclose(result.predictive_entropy - result.mutual_information, mean_entropy, atol=1e-5)
    assert (result.mutual_information > 0).all()


def test_half_precision_is_read_as_it_is_and_computed_with_in_single(
    convnet: ConvNet, images: torch.Tensor
) -> None:
    assert images.dtype == torch.float16
    points = representations(convnet, images)
    assert points.dtype == torch.float32
    assert torch.equal(points, representations(convnet, images.float()))


def test_the_head_reads_the_activations_that_the_logits_come_from(
    convnet: ConvNet, network: Perceptron, images: torch.Tensor, vectors: torch.Tensor
) -> None:
    for classifier, x in ((convnet, images.float()), (network, vectors)):
        points = classifier.points(x)
        assert points.shape == (len(x), classifier.shape.representation)
        assert torch.equal(classifier.head(classifier.head_inputs(x, points)), classifier(x))


def test_a_perceptron_gets_what_its_parts_compute(network: Perceptron, vectors: torch.Tensor) -> None:
    together = Inference(network, passes=70, seed=1)(vectors)
    apart = MonteCarloDropout(network, passes=70, seed=1)(vectors)
    np.testing.assert_array_equal(together.uncertainty.probabilities, apart.probabilities)
    assert torch.equal(together.points, representations(network, vectors))


def test_a_network_in_training_is_applied_without_being_changed(
    images: torch.Tensor, convnet: ConvNet
) -> None:
    network = ConvNet(convnet.shape).train()
    network.load_state_dict(convnet.state_dict())
    result = Inference(network, passes=20, seed=0)(images)
    assert joined([result]) == joined([Inference(convnet, passes=20, seed=0)(images)])
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_no_vectors_give_no_results(convnet: ConvNet) -> None:
    uncertainty, points, inputs = Inference(convnet, passes=5, seed=0)(torch.zeros((0, 4096)))
    assert points.shape == inputs.shape == (0, 128)
    assert uncertainty.probabilities.shape == (0, 4)
