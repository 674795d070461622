"""Train the ARISE network from the prototype table alone, calibrate it and evaluate it."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.execution.events import Listener, ignore
from engine.structure import Structure
from models.inference import representations
from models.network import Network, Perceptron, PerceptronShape
from models.ood import Reference, directions, nearest_direction
from models.prototypes import prototypes
from models.training.card import versions, write_model
from models.training.defects import DRAWS, Defect, defective
from models.training.evaluate import (
    CALIBRATION_DEFECTS,
    MILD_DEFECTS,
    STRONG_DEFECTS,
    TEST_DEFECTS,
    accuracy,
    detection_table,
    plain_accuracy,
)
from models.training.grid import GridSettings, grid_vectors
from models.training.replicas import defect_hosts, label_of, pristine_structures
from models.training.train import EpochListener, Trained, TrainingSettings, train
from models.training.unknowns import unknown_prototypes
from models.weights_file import Model

Floats = NDArray[np.float32]
Classes = NDArray[np.int64]

TEST_SEED, CALIBRATION_SEED, DETECTION_SEED = 0, 1, 2
CALIBRATION_PER_CLASS = 120
"""Calibration structures of every class, at least: a share of 5 % is then known to ± 2 %."""


@dataclass(frozen=True)
class AriseTraining:
    """All settings of a training run."""

    grid: GridSettings = field(default_factory=GridSettings)
    """Descriptor settings of the training vectors; structures are read at the central one."""
    shape: PerceptronShape = field(default_factory=PerceptronShape)
    optimisation: TrainingSettings = field(default_factory=TrainingSettings)
    reference_cutoffs: tuple[float, ...] = (3.6, 4.0, 4.4)
    """Cutoffs, at the central σ and all scales, of the training vectors that distances are measured to."""
    draws: int = DRAWS
    """Defective variants per structure and kind of defect in the evaluation."""
    passes: int = 1000
    """Dropout passes per structure in the evaluation."""

    @property
    def central_grid(self) -> GridSettings:
        """The grid of one point at which structures are read."""
        grid = self.grid
        return GridSettings(
            (grid.cutoffs[len(grid.cutoffs) // 2],),
            (grid.sigmas[len(grid.sigmas) // 2],),
            (grid.scales[len(grid.scales) // 2],),
            grid.basis,
        )


@dataclass(frozen=True)
class _Workplace:
    """Where vectors are kept between interruptions, and who is told of their progress."""

    folder: Path
    central: GridSettings
    listener: Listener

    def central_vectors(self, name: str, structures: Sequence[Structure]) -> Floats:
        return grid_vectors(self.folder / f"{name}-store", structures, self.central, self.listener)[:, 0]


def train_arise(
    folder: str | Path,
    settings: AriseTraining | None = None,
    *,
    work: str | Path | None = None,
    listener: Listener = ignore,
    on_epoch: EpochListener = lambda _: None,
) -> Model:
    """Train a network and write weights, calibration and model card into `folder`.

    Vectors are kept in stores under `work` (default: `folder`/work), where an interrupted call resumes.
    Deterministic for given settings and one kind of machine. Returns the model as `load_model` reads it.
    """
    settings = settings or AriseTraining()
    folder = Path(folder)
    place = _Workplace(Path(work or folder / "work"), settings.central_grid, listener)
    torch.set_num_threads(1)  # the layers are too small for more to pay, and sums keep their order
    pristine = pristine_structures()
    grid = grid_vectors(place.folder / "pristine-store", pristine, settings.grid, listener)
    classes = _classes(pristine)
    vectors, targets = grid.reshape(-1, grid.shape[-1]), np.repeat(classes, grid.shape[1])
    trained = train(
        partial(perceptron_for, settings.shape), vectors, targets, settings.optimisation, on_epoch
    )
    model = Model(
        network=trained.network,
        labels=tuple(prototype.label for prototype in prototypes()),
        features=_soap(settings.central_grid),
        reference=_uncalibrated(trained.network, grid, classes, settings),
        card=_provenance(settings, vectors, targets, trained),
    )
    model = calibrate(model, place.folder, listener)
    model.card["results"] = _results(model, vectors, targets, settings, place)
    return write_model(model, folder)


def calibrate(model: Model, work: str | Path, listener: Listener = ignore) -> Model:
    """Return the model with the distances of held-out defective structures as its calibration.

    Each distance goes with the class of the nearest training vector, among which p-values are taken. The
    network and the training vectors that distances are measured to stay as they are; vectors are kept under
    `work`, where an interrupted call resumes.
    """
    soap = model.features
    central = GridSettings((soap["cutoff"],), (soap["sigma"],), (soap["scale"],), soap["basis"])
    place = _Workplace(Path(work), central, listener)
    vectors = torch.from_numpy(place.central_vectors("calibration", _calibration_structures()))
    reference = model.reference
    distances, rows = nearest_direction(
        directions(representations(model.network, vectors)), torch.from_numpy(reference.directions)
    )
    calibrated = replace(reference, calibration=distances, calibration_classes=reference.classes[rows])
    card = {**model.card, "calibration": [str(kind) for kind in CALIBRATION_DEFECTS]}
    return replace(model, reference=calibrated, card=card)


def perceptron_for(shape: PerceptronShape, vectors: torch.Tensor) -> Perceptron:
    """A network with random weights that standardises as `vectors` (N, inputs) ask."""
    network = Perceptron(shape)
    network.fit_standardisation(vectors)
    return network


def _classes(structures: Iterable[Structure]) -> Classes:
    place = {prototype.label: index for index, prototype in enumerate(prototypes())}
    return np.array([place[label_of(structure.structure_id)] for structure in structures], dtype=np.int64)


def _soap(central: GridSettings) -> dict[str, float | str]:
    """The settings of the vectors that the network reads, by the names of `SoapSettings`."""
    point = central.points[0]
    return {"cutoff": point.cutoff, "sigma": point.sigma, "scale": point.scale, "basis": point.basis}


def _uncalibrated(network: Network, grid: Floats, classes: Classes, settings: AriseTraining) -> Reference:
    """Directions of the training vectors that distances are measured to, without a calibration."""
    sigma = settings.central_grid.sigmas[0]
    chosen = [
        index
        for index, point in enumerate(settings.grid.points)
        if point.cutoff in settings.reference_cutoffs and point.sigma == sigma
    ]
    points = directions(
        representations(network, torch.from_numpy(grid[:, chosen].reshape(-1, grid.shape[-1])))
    )
    points = points.half().float()  # as they are stored
    none, of_no_class = np.empty(0, np.float32), np.empty(0, np.int64)
    return Reference(points.numpy(), np.repeat(classes, len(chosen)), none, of_no_class)


def _calibration_structures() -> list[Structure]:
    """At least `CALIBRATION_PER_CLASS` of every class: a nanotube, of one size, is drawn more often."""
    structures: list[Structure] = []
    for _, of_class in itertools.groupby(defect_hosts(), lambda host: label_of(host.structure_id)):
        hosts = list(of_class)
        draws = math.ceil(CALIBRATION_PER_CLASS / (len(hosts) * len(CALIBRATION_DEFECTS)))
        for kind in CALIBRATION_DEFECTS:
            structures.extend(defective(hosts, kind, draws, CALIBRATION_SEED))
    return structures


def _defective(kinds: Iterable[Defect], draws: int, seed: int) -> list[Structure]:
    hosts = defect_hosts()
    return [structure for kind in kinds for structure in defective(hosts, kind, draws, seed)]


def _provenance(
    settings: AriseTraining, vectors: Floats, targets: Classes, trained: Trained
) -> dict[str, Any]:
    """What the card says about how the network came about."""
    digest = hashlib.sha256(vectors.tobytes() + targets.tobytes()).hexdigest()
    return {
        "settings": asdict(settings),
        "training_vectors": len(vectors),
        "training_data_sha256": digest,
        "best_epoch": asdict(trained.best),
        "versions": versions(),
    }


def _results(
    model: Model, vectors: Floats, targets: Classes, settings: AriseTraining, place: _Workplace
) -> dict[str, Any]:
    """Accuracies and the comparison of out-of-distribution scores."""
    accuracies = {"all training vectors, dropout off": plain_accuracy(model, vectors, targets)}
    for kind in TEST_DEFECTS:
        structures = _defective([kind], settings.draws, TEST_SEED)
        x = place.central_vectors(f"test-{kind.name}", structures)
        accuracies[str(kind)] = accuracy(model, x, _classes(structures), settings.passes)
    known = {
        name: place.central_vectors(name, _defective(kinds, 1, DETECTION_SEED))
        for name, kinds in (("mild", MILD_DEFECTS), ("strong", STRONG_DEFECTS))
    }
    unknown = place.central_vectors("unknown", unknown_prototypes())
    table = detection_table(model, known, unknown, settings.passes)
    return {
        "accuracies": accuracies,
        "unknown_prototypes": len(unknown),
        "detection": {
            score: {name: asdict(value) for name, value in row.items()} for score, row in table.items()
        },
    }
