"""Adaptive passes foresee what all passes would decide, with the same networks, whatever the batch."""

import numpy as np
import pytest
import torch

from engine.errors import CrysiftError
from models.adaptive import AdaptiveDropout, AdaptivePasses, Decisions
from models.confidence import Confidence
from models.dropout import MonteCarloDropout, Uncertainty
from models.network import Perceptron, PerceptronShape

EAGER = AdaptivePasses(first=16, most=200)
PLAIN = Confidence(temperature=1.0, information_threshold=0.05)


@pytest.fixture(scope="module")
def small() -> Perceptron:
    """A network that is sure of some of the inputs below and not of others."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        built = Perceptron(PerceptronShape(20, (32, 16), 5, 0.1))
        with torch.no_grad():
            built.linear_layers[-1].weight.mul_(12.0)
    return built.requires_grad_(False).eval()


@pytest.fixture(scope="module")
def inputs() -> torch.Tensor:
    return 3.0 * torch.randn((90, 20), generator=torch.Generator().manual_seed(2))


def joined(results: list[Uncertainty]) -> list[bytes]:
    """All numbers of consecutive results, array by array."""
    each = [list(vars(result).values()) for result in results]
    return [np.concatenate(arrays).tobytes() for arrays in zip(*each, strict=True)]


def test_looks_double_up_to_all_passes() -> None:
    assert AdaptivePasses(first=32, most=1000).looks == [32, 64, 128, 256, 512, 1000]
    assert AdaptivePasses(first=32, most=64).looks == [32, 64]
    assert AdaptivePasses(first=50, most=50).looks == [50]


def test_a_threshold_that_one_pass_decides_is_raised_to_what_it_makes() -> None:
    one_of_1000 = -(0.001 * np.log(0.001) + 0.999 * np.log(0.999))
    sure = Confidence(information_threshold=1e-4)
    assert AdaptivePasses().threshold_of(sure) == pytest.approx(one_of_1000, rel=1e-3)
    assert AdaptivePasses(threshold=1e-4).threshold_of(sure) == 1e-4
    assert AdaptivePasses().threshold_of(PLAIN) == PLAIN.information_threshold


def test_every_structure_gets_the_first_of_the_passes_that_a_fixed_number_gives(
    small: Perceptron, inputs: torch.Tensor
) -> None:
    result = AdaptiveDropout(small, EAGER, 7, PLAIN)(inputs)
    used = np.unique(result.passes)
    assert set(used) <= set(EAGER.looks)
    assert len(used) >= 3
    for passes in used:
        rows = np.flatnonzero(result.passes == passes)
        fixed = MonteCarloDropout(small, int(passes), 7)(inputs[rows])
        np.testing.assert_allclose(result.probabilities[rows], fixed.probabilities, rtol=1e-5, atol=1e-9)
        np.testing.assert_allclose(result.mutual_information[rows], fixed.mutual_information, atol=2e-6)
        np.testing.assert_allclose(result.predictive_entropy[rows], fixed.predictive_entropy, atol=2e-6)
        np.testing.assert_allclose(result.variation_ratio[rows], fixed.variation_ratio, atol=1e-6)


def test_decisions_are_those_of_all_passes_but_for_near_ties(small: Perceptron, inputs: torch.Tensor) -> None:
    result = AdaptiveDropout(small, EAGER, 7, PLAIN)(inputs)
    fixed = MonteCarloDropout(small, EAGER.most, 7)(inputs)
    assert result.passes.mean() < EAGER.most / 2
    lead = np.diff(np.sort(fixed.probabilities, axis=1)[:, -2:], axis=1)[:, 0]
    other_class = result.probabilities.argmax(axis=1) != fixed.probabilities.argmax(axis=1)
    assert not (other_class & (lead > EAGER.tie)).any()
    threshold = PLAIN.information_threshold
    above, truly_above = (each.mutual_information > threshold for each in (result, fixed))
    far = np.abs(fixed.mutual_information - threshold) > EAGER.margin * threshold
    assert ((above != truly_above) & far).mean() <= 2 * EAGER.risk


def test_a_structure_gets_bit_identical_numbers_whatever_the_batch(
    small: Perceptron, inputs: torch.Tensor
) -> None:
    dropout = AdaptiveDropout(small, EAGER, 7, PLAIN)
    whole = joined([dropout(inputs)])
    assert joined([dropout(part) for part in inputs.split(7)]) == whole
    backwards = dropout(inputs.flip(0))
    assert joined([Uncertainty(*(array[::-1] for array in vars(backwards).values()))]) == whole


def test_folding_structures_into_one_product_changes_nothing_beyond_rounding(
    small: Perceptron, inputs: torch.Tensor
) -> None:
    alone = AdaptiveDropout(small, EAGER, 7, PLAIN)(inputs)
    folded = AdaptiveDropout(small, EAGER, 7, PLAIN, fold=4)(inputs)
    np.testing.assert_array_equal(folded.passes, alone.passes)
    np.testing.assert_allclose(folded.probabilities, alone.probabilities, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(folded.mutual_information, alone.mutual_information, atol=2e-6)


@pytest.mark.parametrize("rows", [8, 12, 20, 40])
def test_structures_that_are_folded_anew_after_each_look_keep_their_own_numbers(
    small: Perceptron, inputs: torch.Tensor, rows: int
) -> None:
    alone = AdaptiveDropout(small, EAGER, 7, PLAIN)(inputs)
    dropout = AdaptiveDropout(small, EAGER, 7, PLAIN, fold=4)
    dropout.rows = rows  # as on a GPU, where several folds go on together
    folded = dropout(inputs)
    np.testing.assert_array_equal(folded.passes, alone.passes)
    np.testing.assert_allclose(folded.probabilities, alone.probabilities, rtol=1e-5, atol=1e-9)


def test_undecided_structures_get_all_passes_and_then_the_numbers_of_the_fixed_run(
    small: Perceptron, inputs: torch.Tensor
) -> None:
    never = AdaptivePasses(first=16, most=100, risk=1e-9, tie=0.0, margin=0.0)
    fixed = MonteCarloDropout(small, 100, 3)(inputs)
    doubtful = inputs[fixed.probabilities.max(axis=1) < 0.8]
    assert len(doubtful) > 10
    result = AdaptiveDropout(small, never, 3, PLAIN)(doubtful)
    rows = result.passes == 100
    assert result.passes.min() >= 32
    assert rows.sum() >= 5
    again = MonteCarloDropout(small, 100, 3)(doubtful)
    np.testing.assert_allclose(result.probabilities[rows], again.probabilities[rows], rtol=1e-5, atol=1e-9)


def test_a_threshold_that_is_asked_for_goes_before_that_of_the_model(
    small: Perceptron, inputs: torch.Tensor
) -> None:
    information = MonteCarloDropout(small, 200, 7)(inputs).mutual_information
    near = AdaptivePasses(first=16, most=200, threshold=float(np.median(information)), margin=0.0)
    far = AdaptivePasses(first=16, most=200, threshold=5.0, margin=0.0)
    passes = [AdaptiveDropout(small, asked, 7, PLAIN)(inputs).passes.mean() for asked in (near, far)]
    assert passes[0] > 1.5 * passes[1]
    assert far.settings(PLAIN)["threshold"] == 5.0
    assert EAGER.settings(PLAIN)["threshold"] == PLAIN.information_threshold


def test_the_temperature_of_the_model_is_applied(small: Perceptron, inputs: torch.Tensor) -> None:
    warm = Confidence(temperature=3.0, information_threshold=0.05)
    result = AdaptiveDropout(small, AdaptivePasses(first=100, most=100), 7, warm)(inputs)
    fixed = MonteCarloDropout(small, 100, 7, temperature=3.0)(inputs)
    np.testing.assert_allclose(result.probabilities, fixed.probabilities, rtol=1e-5, atol=1e-9)


def test_no_structures_give_no_results(small: Perceptron) -> None:
    result = AdaptiveDropout(small, EAGER, 0, PLAIN)(torch.zeros(0, 20))
    assert result.probabilities.shape == (0, 5)
    assert result.passes.shape == (0,)


@pytest.mark.parametrize("lead", [0.0, 0.05, 0.2])
def test_early_stops_foresee_the_class_wrongly_no_more_often_than_allowed(lead: float) -> None:
    passes = AdaptivePasses(first=32, most=1000, risk=0.1, tie=0.0, margin=1.0, threshold=9.0)
    decisions = Decisions(passes, 9.0)
    random = np.random.default_rng(0)
    logits = random.normal([lead, 0.0, -1.0], 1.0, size=(400, passes.most, 3))
    log_p = torch.log_softmax(torch.from_numpy(logits).float(), dim=2)
    foreseen, stopped = np.full(400, -1), np.zeros(400, dtype=bool)
    for look, t in enumerate(passes.looks):
        seen = log_p[:, :t]
        settled = decisions.settled(seen, look).numpy() & ~stopped
        foreseen[settled] = seen.exp().mean(dim=1).argmax(dim=1).numpy()[settled]
        stopped |= settled
    wrong = foreseen != log_p.exp().mean(dim=1).argmax(dim=1).numpy()
    assert stopped.all()
    assert wrong.mean() <= passes.risk


def test_early_stops_foresee_the_information_wrongly_no_more_often_than_allowed() -> None:
    random = np.random.default_rng(1)
    logits = random.normal(0.0, 1.0, size=(400, 1000, 3)) + np.array([4.0, 0.0, 0.0])
    log_p = torch.log_softmax(torch.from_numpy(logits).float(), dim=2)
    p = log_p.exp().double()
    mean = p.mean(dim=1)
    information = ((p * log_p).sum(dim=2).mean(dim=1) - (mean * mean.log()).sum(dim=1)).numpy()
    threshold = float(np.quantile(information, 0.3))
    passes = AdaptivePasses(risk=0.1, tie=1.0, margin=0.0)
    decisions = Decisions(passes, threshold)
    above, stopped = np.zeros(400, dtype=bool), np.zeros(400, dtype=bool)
    for look, t in enumerate(passes.looks):
        seen = p[:, :t]
        so_far = seen.mean(dim=1)
        estimate = (seen * log_p[:, :t]).sum(dim=2).mean(dim=1) - (so_far * so_far.log()).sum(dim=1)
        settled = decisions.settled(log_p[:, :t], look).numpy() & ~stopped
        above[settled] = (estimate.numpy() > threshold)[settled]
        stopped |= settled
    assert (above != (information > threshold)).mean() <= passes.risk


@pytest.mark.parametrize(
    ("setting", "changes"),
    [
        ("first = 1", {"first": 1}),
        ("most = 20", {"most": 20}),
        ("risk = 0", {"risk": 0.0}),
        ("tie = 2", {"tie": 2.0}),
        ("margin = -1", {"margin": -1.0}),
        ("threshold = 0", {"threshold": 0.0}),
    ],
)
def test_settings_out_of_range_are_refused_naming_them(setting: str, changes: dict[str, float]) -> None:
    with pytest.raises(CrysiftError, match=f"{setting} is outside"):
        AdaptivePasses(**changes)  # type: ignore[arg-type]
