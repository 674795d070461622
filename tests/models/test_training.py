"""Training learns, is deterministic, and the grid is made of the descriptor's own vectors."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.descriptors.soap import SoapSettings, soap_vector
from engine.errors import CrysiftError
from models.network import PerceptronShape
from models.training.arise import perceptron_for
from models.training.evaluate import detection
from models.training.grid import GridSettings, grid_vectors
from models.training.replicas import pristine_structures
from models.training.train import TrainingSettings, stratified_split, train
from tests.models.conftest import Published

SMALL = partial(perceptron_for, PerceptronShape(inputs=316, hidden=(64, 32), classes=108))


def test_split_holds_out_the_same_share_of_every_class() -> None:
    classes = np.repeat(np.arange(5), [10, 20, 30, 5, 1])
    rest, held_out = stratified_split(classes, 0.2, seed=42)
    assert sorted([*rest, *held_out]) == list(range(66))
    np.testing.assert_array_equal(np.bincount(classes[held_out]), [2, 4, 6, 1, 1])
    again = stratified_split(classes, 0.2, seed=42)[1]
    np.testing.assert_array_equal(held_out, again)


def test_training_learns_the_published_vectors_and_is_deterministic(published: Published) -> None:
    labels = sorted(set(published.labels))
    classes = np.array([labels.index(label) for label in published.labels], dtype=np.int64)
    settings = TrainingSettings(epochs=25, batch=16, learning_rate=3e-3, sparsity=0.0)
    first, second = (train(SMALL, published.vectors, classes, settings) for _ in range(2))
    with torch.inference_mode():
        right = first.network(torch.from_numpy(published.vectors)).argmax(dim=1).numpy() == classes
    assert right.mean() > 0.9
    assert first.history == second.history
    for one, other in zip(first.network.parameters(), second.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_best_epoch_on_the_validation_part_is_kept(published: Published) -> None:
    classes = np.unique(published.labels, return_inverse=True)[1]
    trained = train(SMALL, published.vectors, classes, TrainingSettings(epochs=6, sparsity=0.1))
    assert trained.best.validation_accuracy == max(e.validation_accuracy for e in trained.history)
    assert not trained.network.training


def test_random_variants_are_trained_on_and_validated_with(published: Published) -> None:
    classes = np.unique(published.labels, return_inverse=True)[1]
    seen: list[int] = []

    def blank(batch: torch.Tensor) -> torch.Tensor:
        seen.append(len(batch))
        return torch.zeros_like(batch)

    settings = TrainingSettings(epochs=2, batch=64, sparsity=0.0)
    trained = train(SMALL, published.vectors, classes, settings, augment=blank)
    rows, held_out = stratified_split(classes, settings.validation, settings.seed)
    assert seen[0] == len(held_out)
    assert sum(seen) == len(held_out) + 2 * len(rows)
    assert trained.best.validation_accuracy < 0.05


def test_grid_holds_the_vector_of_every_structure_at_every_point_and_is_found_again(tmp_path: Path) -> None:
    chosen = ("CsCl/periodic", "fcc_Cu_A_cF4_225_a/periodic", "C/cluster-0")
    structures = [s for s in pristine_structures() if s.source_id in chosen]
    grid = GridSettings(cutoffs=(3.0, 4.0), sigmas=(0.1,), scales=(0.95, 1.05))
    vectors = grid_vectors(tmp_path, structures, grid)
    assert vectors.shape == (3, 4, 316)
    for row, structure in enumerate(structures):
        _, species = np.unique(structure.species_at_sites, return_inverse=True)
        periodic = np.array(structure.dimension_types) == 1
        settings = SoapSettings(cutoff=4.0, sigma=0.1, scale=0.95)
        expected = soap_vector(structure.positions, species, structure.cell, periodic, settings).vector
        np.testing.assert_allclose(vectors[row, 2], expected, atol=1e-7)
    events: list[object] = []
    np.testing.assert_array_equal(grid_vectors(tmp_path, structures, grid, events.append), vectors)
    assert not [event for event in events if type(event).__name__ == "PartDone"]


def test_a_work_folder_of_other_structures_is_refused(tmp_path: Path) -> None:
    structures = [s for s in pristine_structures() if s.source_id == "CsCl/periodic"]
    grid = GridSettings(cutoffs=(4.0,), sigmas=(0.1,), scales=(1.0,))
    grid_vectors(tmp_path, structures, grid)
    with pytest.raises(CrysiftError, match="holds other structures"):
        grid_vectors(tmp_path, pristine_structures()[:1], grid)


def test_full_grid_has_99_points() -> None:
    assert len(GridSettings().points) == 99


def test_detection_figures_are_those_of_a_hand_count() -> None:
    known, unknown = np.array([0.0, 1.0, 2.0, 3.0]), np.array([2.0, 4.0, 5.0, 6.0])
    result = detection(known, unknown)
    assert result.auroc == pytest.approx((2.5 + 4 + 4 + 4) / 16)
    assert result.false_alarms == pytest.approx(0.25)
