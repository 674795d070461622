"""The studies with a small network, and what becomes of their figures."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.descriptors.diffraction import DiffractionSettings
from engine.errors import CrysiftError
from jobs.bench.readme import fill
from jobs.studies import diffraction
from jobs.studies.bragg import BraggPeaks
from jobs.studies.classifier import Classifier
from jobs.studies.crystals import (
    diffracting,
    displaced,
    fingerprints,
    host,
    in_units_of,
    is_turned,
    spread_elements,
    without_centres,
)
from jobs.studies.drawing import draw_transition
from jobs.studies.sweeps import SHARES, Disorder, Removal, Sweep, bcc_to_sc, lindemann
from jobs.studies.tables import bragg_table, lindemann_table, transition_table
from jobs.studies.templates import ClassResponse, template
from models.ood import OutOfDistribution
from models.response_maps import LayerResponse
from models.sampled_networks import mask_blocks
from models.training.cubic import lattice_parameter
from models.weights_file import load_model

DOCUMENT = Path(__file__).parents[2] / "docs" / "diffraction.md"
PASSES = 40


@pytest.fixture(scope="session")
def classifier(diffraction_weights: Path) -> Classifier:
    return Classifier(load_model(diffraction_weights), PASSES)


def sweep_of(right: list[float]) -> Sweep:
    """A sweep over 0, 0.1, …: two draws 0.05 apart of one class, with the rest for another."""
    p = np.array(right)[:, None] + np.array([-0.05, 0.05])
    probabilities = np.stack([p, 1.0 - p], axis=2)
    values = np.arange(len(right)) / 10
    each = np.full(p.shape, 0.125)
    return Sweep(values, probabilities, np.full_like(probabilities, 0.25), each, each)


def test_spread_over_sampled_networks_is_that_of_networks_with_units_removed(
    diffraction_weights: Path, classifier: Classifier
) -> None:
    model = load_model(diffraction_weights)
    network = model.network
    crystals = [diffracting(host("bcc", "Fe")), diffracting(without_centres("Fe", 0.8, 0))]
    images = fingerprints(crystals, DiffractionSettings())
    verdicts = classifier(images)
    vectors = torch.from_numpy(images).float()
    active = torch.relu(network.points(vectors))
    (masks,) = mask_blocks(network.head.shape, PASSES, seed=0, block=PASSES)
    (layer,) = network.head.linear_layers
    passes = [
        torch.softmax(layer(active.where(~torch.from_numpy(dropped), 0.0) / 0.75), dim=1).numpy()
        for dropped in masks.dropped[0]
    ]
    np.testing.assert_allclose(verdicts.probabilities, np.mean(passes, axis=0), atol=1e-5)
    np.testing.assert_allclose(verdicts.deviations, np.std(passes, axis=0), atol=1e-5)
    assert verdicts.deviations.max() > 0.0
    score = OutOfDistribution(network.head, model.reference)(active).score
    np.testing.assert_allclose(verdicts.ood_score, score, rtol=1e-4, atol=1e-4)


def _turned(share: float, draws: int) -> int:
    """Draws before every draw's first one that stands along the cubes."""
    count = 0
    for first, symbol in enumerate(spread_elements(draws)):
        seed = first
        while is_turned(without_centres(symbol, share, seed), lattice_parameter("bcc", symbol)):
            seed += draws
            count += 1
    return count


def test_a_sweep_holds_the_verdicts_in_the_order_of_values_and_draws(classifier: Classifier) -> None:
    sweep, turned = bcc_to_sc(classifier, DiffractionSettings(), draws=2)
    assert turned.sum(axis=1).tolist() == [_turned(share, draws=2) for share in SHARES]
    assert sweep.values.tolist() == list(SHARES)
    assert sweep.probabilities.shape == sweep.deviations.shape == (20, 2, 4)
    element = spread_elements(2)[1]
    crystal = diffracting(without_centres(element, SHARES[3], 1))
    alone = classifier(fingerprints([crystal], DiffractionSettings()))
    np.testing.assert_allclose(sweep.probabilities[3, 1], alone.probabilities[0], atol=1e-6)
    np.testing.assert_allclose(sweep.mutual_information[3, 1], alone.mutual_information[0], atol=1e-6)


def test_displaced_crystals_are_judged_in_both_units_of_length(classifier: Classifier) -> None:
    measured, at_rest, shrinkage = lindemann(classifier, DiffractionSettings(), "sc", draws=1)
    assert (measured.values[0], measured.values[-1]) == (0.0, 0.4)
    np.testing.assert_allclose(measured.probabilities[0], at_rest.probabilities[0], atol=1e-6)
    crystal = diffracting(displaced("sc", "H", 0.4, 0))
    in_both = [crystal, in_units_of(crystal, diffracting(host("sc", "H")).d_nn)]
    alone = classifier(fingerprints(in_both, DiffractionSettings())).probabilities
    np.testing.assert_allclose(
        [measured.probabilities[-1, 0], at_rest.probabilities[-1, 0]], alone, atol=1e-6
    )
    assert np.abs(alone[0] - alone[1]).max() > 1e-3
    assert shrinkage[-1] == pytest.approx(crystal.d_nn / in_both[1].d_nn)


def test_means_spreads_and_where_half_is_crossed() -> None:
    sweep = sweep_of([0.9, 0.8, 0.4, 0.6, 0.1])
    np.testing.assert_allclose(sweep.mean[:, 0], [0.9, 0.8, 0.4, 0.6, 0.1])
    np.testing.assert_allclose(sweep.spread, 0.05)
    assert sweep.falls_below(0) == pytest.approx(0.1 + 0.1 * 0.3 / 0.4)
    assert sweep_of([0.9, 0.8]).falls_below(0) is None
    assert sweep_of([0.4, 0.3]).falls_below(0) == 0.0


def test_tables_say_what_was_found() -> None:
    sweep = sweep_of([0.9, 0.8, 0.4, 0.6, 0.1])
    table = transition_table(Removal(sweep, np.array([[0, 2]] * 5)), ("bcc", "sc"))
    assert "| 0 % | 0.900 ± 0.050 ± 0.250 | 0.100 ± 0.050 ± 0.250 | 0.125 | sc 2 |" in table
    assert "falls below 0.5 at 18 %" in table
    means = " | ".join(f"{mean:.3f} ± 0.050" for mean in (0.9, 0.8, 0.4, 0.6, 0.1))
    never, shrinkage = sweep_of([0.9, 0.8]), np.array([1.0, 0.9, 0.75, 0.7, 0.6])
    other = Disorder(sweep_of([0.1, 0.2]), sweep, shrinkage)
    table = lindemann_table({"bcc": Disorder(sweep, never, shrinkage), "sc": other})
    assert f"| bcc | {means} | 0.175 | never | sc | 0.75 |" in table
    assert "| never | 0.000 |" in table


def test_templates_are_judged_by_their_highest_maxima() -> None:
    peaks = BraggPeaks(np.array([[1, 0, 0], [-1, 0, 0]]), np.array([[20.0, 30.0], [44.0, 33.0]]))
    image = torch.zeros(2, 1, 64, 64)
    image[0, 0, 20, 31], image[1, 0, 40, 20], image[1, 0, 44, 50] = 1.0, 2.0, 0.1
    layer = LayerResponse((3, 1), image)
    response = ClassResponse("bcc", template(layer), peaks, [layer])
    table = bragg_table([response], {"untrained": [[response], [response]]})
    assert "| template of layer 1 | 0.50, 0.50, 0.50 |" in table  # the third maximum is not counted
    assert "| untrained, layer 1 | 0.50 ± 0.00 |" in table


def test_equal_studies_give_equal_pictures(tmp_path: Path) -> None:
    sweep = sweep_of([0.9, 0.8, 0.4])
    drawn = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        draw_transition(tmp_path / name / "drawing.svg", sweep, ("bcc", "sc"))
        drawn.append((tmp_path / name / "drawing.svg").read_bytes())
    assert drawn[0] == drawn[1]
    assert b"body centres removed" in drawn[0]


def test_a_model_that_reads_no_patterns_is_refused() -> None:
    with pytest.raises(CrysiftError, match="arise-robust does not read diffraction patterns"):
        diffraction.studies(Path("document.md"), "arise-robust")


@pytest.mark.slow
def test_the_document_is_filled_and_its_pictures_drawn(diffraction_weights: Path, tmp_path: Path) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    path = Path(shutil.copy(DOCUMENT, tmp_path / DOCUMENT.name))
    blocks = diffraction.studies(path, str(diffraction_weights), draws=1, passes=10)
    filled = fill(text, blocks)
    for content in blocks.values():
        assert content in filled
    pictures = sorted(file.name for file in tmp_path.iterdir() if file != path)
    assert len(pictures) == 5
    for name in pictures:
        assert f"]({name})" in text
        assert (DOCUMENT.parent / name).is_file()
