"""Monte-Carlo dropout against straightforward implementations, and its independence of the batching."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from engine.errors import CrysiftError
from models.dropout import MonteCarloDropout, Uncertainty
from models.network import Perceptron, PerceptronShape
from models.sampled_networks import SampledNetworks, mask_blocks


@pytest.fixture(scope="module")
def head() -> Perceptron:
    """One linear layer behind much dropout, as convolutions end in."""
    with torch.random.fork_rng():
        torch.manual_seed(8)
        return Perceptron(PerceptronShape(128, (), 4, 0.25)).requires_grad_(False).eval()


@pytest.fixture(scope="module")
def activations() -> torch.Tensor:
    return torch.relu(torch.randn((11, 128), generator=torch.Generator().manual_seed(6)))


def masked_forward(network: Perceptron, vector: torch.Tensor, passes: int, seed: int) -> torch.Tensor:
    """Log-probabilities (passes, classes) in float64, pass by pass, with the same masks."""
    masks = next(mask_blocks(network.shape, passes, seed, passes)).dropped
    keep = 1.0 - network.shape.dropout
    activation = ((vector.double() - network.mean) / network.std.double()).expand(passes, -1)
    outputs = []
    for layer, dropped in zip(network.linear_layers, masks, strict=True):
        kept = activation * torch.from_numpy(~dropped) / keep
        outputs.append(kept @ layer.weight.double().t() + layer.bias.double())
        activation = torch.relu(outputs[-1])
    return torch.log_softmax(outputs[-1], dim=1)


def expected(log_p: torch.Tensor) -> tuple[NDArray[np.float64], float, float, float]:
    p = log_p.exp().mean(dim=0)
    entropy = float(-(p * p.log()).sum())
    mean_entropy = float(-(log_p.exp() * log_p).sum(dim=1).mean())
    votes = torch.bincount(log_p.argmax(dim=1))
    return p.numpy(), entropy - mean_entropy, entropy, 1.0 - float(votes.max()) / len(log_p)


def rows(result: Uncertainty) -> list[tuple[bytes, float, float, float]]:
    return [
        (p.tobytes(), float(mi), float(entropy), float(ratio))
        for p, mi, entropy, ratio in zip(
            result.probabilities,
            result.mutual_information,
            result.predictive_entropy,
            result.variation_ratio,
            strict=True,
        )
    ]


@pytest.mark.parametrize("passes", [1, 100, 700])
def test_equals_a_masked_forward_pass_in_double_precision(
    network: Perceptron, vectors: torch.Tensor, passes: int
) -> None:
    result = MonteCarloDropout(network, passes, seed=11)(vectors[:3])
    for row in range(3):
        p, information, entropy, ratio = expected(masked_forward(network, vectors[row], passes, 11))
        np.testing.assert_allclose(result.probabilities[row], p, rtol=2e-5, atol=1e-8)
        assert result.mutual_information[row] == pytest.approx(information, abs=2e-6)
        assert result.predictive_entropy[row] == pytest.approx(entropy, abs=2e-6)
        assert result.variation_ratio[row] == pytest.approx(ratio, abs=1.01 / passes)


@pytest.mark.parametrize("passes", [1, 100, 700])
def test_without_hidden_layers_equals_a_loop_over_the_masks(
    head: Perceptron, activations: torch.Tensor, passes: int
) -> None:
    result = MonteCarloDropout(head, passes, seed=11)(activations)
    (dropped,) = next(mask_blocks(head.shape, passes, 11, passes)).dropped
    weight, bias = (parameter.double() for parameter in head.linear_layers[0].parameters())
    for row, vector in enumerate(activations.double()):
        each = [weight[:, ~mask] @ vector[~mask] / 0.75 + bias for mask in map(torch.from_numpy, dropped)]
        p, information, entropy, ratio = expected(torch.log_softmax(torch.stack(each), dim=1))
        np.testing.assert_allclose(result.probabilities[row], p, rtol=2e-5, atol=1e-8)
        assert result.mutual_information[row] == pytest.approx(information, abs=2e-6)
        assert result.predictive_entropy[row] == pytest.approx(entropy, abs=2e-6)
        assert result.variation_ratio[row] == pytest.approx(ratio, abs=1.01 / passes)
    assert passes == 1 or 0.001 < result.mutual_information.mean() < np.log(4)


def test_without_hidden_layers_rows_do_not_depend_on_the_batch_nor_much_on_the_fold(
    head: Perceptron, activations: torch.Tensor
) -> None:
    dropout = MonteCarloDropout(head, 600, seed=4)
    whole = dropout(activations)
    assert [row for vector in activations for row in rows(dropout(vector[None]))] == rows(whole)
    folded = MonteCarloDropout(head, 600, seed=4, fold=4)(activations)
    np.testing.assert_allclose(folded.probabilities, whole.probabilities, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(folded.mutual_information, whole.mutual_information, atol=2e-6)


@pytest.mark.parametrize("temperature", [0.4, 3.0])
def test_temperature_divides_the_logits_of_every_pass(
    network: Perceptron,
    vectors: torch.Tensor,
    head: Perceptron,
    activations: torch.Tensor,
    temperature: float,
) -> None:
    for sampled, x in ((network, vectors), (head, activations)):
        result = MonteCarloDropout(sampled, 100, seed=11, temperature=temperature)(x[:1])
        log_p = torch.log_softmax(masked_forward(sampled, x[0], 100, 11) / temperature, dim=1)
        p, information, entropy, ratio = expected(log_p)
        np.testing.assert_allclose(result.probabilities[0], p, rtol=5e-5, atol=1e-8)
        assert result.mutual_information[0] == pytest.approx(information, abs=5e-6)
        assert result.predictive_entropy[0] == pytest.approx(entropy, abs=5e-6)
        assert result.variation_ratio[0] == pytest.approx(ratio, abs=0.011)


def test_temperature_one_changes_no_bit(network: Perceptron, vectors: torch.Tensor) -> None:
    sampled = SampledNetworks(network, [10], seed=0)
    keep = 1.0 - network.shape.dropout
    first, *others = network.linear_layers
    assert torch.equal(sampled._first, first.weight.t())
    for weight, layer in zip(sampled._weights, others, strict=True):
        assert torch.equal(weight, (layer.weight.double().t() / keep).float())
    for bias, layer in zip(sampled._biases, network.linear_layers, strict=True):
        assert torch.equal(bias, layer.bias)


def test_agrees_statistically_with_the_dropout_of_torch(network: Perceptron, vectors: torch.Tensor) -> None:
    passes = 20_000
    ours = MonteCarloDropout(network, passes, seed=0)(vectors[:1])
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network.train()
        p = torch.softmax(network(vectors[:1].expand(passes, -1)), dim=1).double()
        network.eval()
    error = p.std(dim=0).numpy() * np.sqrt(2.0 / passes)
    deviation = (ours.probabilities[0] - p.mean(dim=0).numpy()) / error
    assert np.abs(deviation).max() < 5.0
    assert 0.7 < deviation.std() < 1.4


def test_result_of_a_structure_is_bit_identical_whatever_the_batch(
    network: Perceptron, vectors: torch.Tensor
) -> None:
    whole = rows(MonteCarloDropout(network, 600, seed=4)(vectors))
    again = MonteCarloDropout(network, 600, seed=4)
    order = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(0))
    shuffled = rows(again(vectors[order]))
    assert [shuffled[place] for place in torch.argsort(order)] == whole
    assert [row for vector in vectors for row in rows(again(vector[None]))] == whole


def test_equal_vectors_get_equal_results(network: Perceptron, vectors: torch.Tensor) -> None:
    first, *others = rows(MonteCarloDropout(network, 300, seed=1)(vectors[:1].repeat(4, 1)))
    assert others == [first] * 3


def test_another_seed_gives_other_masks(network: Perceptron, vectors: torch.Tensor) -> None:
    one, other = (MonteCarloDropout(network, 50, seed)(vectors[:1]).probabilities for seed in (0, 1))
    assert not np.array_equal(one, other)


def test_masks_do_not_depend_on_the_size_of_their_blocks() -> None:
    shape = PerceptronShape()
    whole = next(mask_blocks(shape, 100, 7, 100)).dropped
    parts = [block.dropped for block in mask_blocks(shape, 100, 7, 33)]
    for layer, masks in enumerate(whole):
        np.testing.assert_array_equal(masks, np.concatenate([part[layer] for part in parts]))


def test_masks_drop_the_published_share_of_every_layer() -> None:
    shape = PerceptronShape()
    for dropped in next(mask_blocks(shape, 2000, 0, 2000)).dropped:
        spread = np.sqrt(shape.dropout * (1 - shape.dropout) / dropped.size)
        assert abs(dropped.mean() - shape.dropout) < 4 * spread


def test_folding_structures_into_one_product_changes_nothing_beyond_rounding(
    network: Perceptron, vectors: torch.Tensor
) -> None:
    plain = MonteCarloDropout(network, 200, seed=2)(vectors[:10])
    folded = MonteCarloDropout(network, 200, seed=2, fold=4)(vectors[:10])
    np.testing.assert_allclose(folded.probabilities, plain.probabilities, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(folded.mutual_information, plain.mutual_information, atol=2e-6)


def test_a_layer_without_any_active_unit_gives_the_biases(network: Perceptron, vectors: torch.Tensor) -> None:
    silent = Perceptron(network.shape).requires_grad_(False).eval()
    silent.load_state_dict(network.state_dict())
    silent.linear_layers[1].weight.zero_()
    silent.linear_layers[1].bias.fill_(-1.0)
    result = MonteCarloDropout(silent, 40, seed=0)(vectors[:1])
    p, *_ = expected(masked_forward(silent, vectors[0], 40, 0))
    np.testing.assert_allclose(result.probabilities[0], p, rtol=1e-5)


def test_no_structures_give_no_results(network: Perceptron) -> None:
    result = MonteCarloDropout(network, 10, seed=0)(torch.zeros(0, 316))
    assert result.probabilities.shape == (0, network.shape.classes)
    assert result.variation_ratio.shape == (0,)


def test_a_number_of_passes_out_of_range_is_refused(network: Perceptron) -> None:
    with pytest.raises(CrysiftError, match="passes 0 is outside"):
        MonteCarloDropout(network, 0, seed=0)
