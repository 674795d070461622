"""Train the ARISE network from the prototype table alone, calibrate it and evaluate it."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from engine.errors import check_between
from engine.execution.events import Listener, ignore
from engine.structure import Structure
from models.network import Perceptron, PerceptronShape
from models.ood import Reference, calibrated
from models.prototypes import Prototype, class_prototypes, prototypes
from models.sampled_networks import check_passes
from models.training.calibration import calibration_figures, fitted_confidence
from models.training.card import versions, write_model
from models.training.defects import BENCHMARK_DEFECTS, Defect, defective, nearest_neighbor_distances, variant
from models.training.distortions import Distortion, all_distorted
from models.training.evaluate import (
    CALIBRATION_DEFECTS,
    MILD_DEFECTS,
    STRONG_DEFECTS,
    USUAL_DISTORTION,
    accuracy,
    detection_table,
    plain_accuracy,
)
from models.training.grid import GridSettings
from models.training.recipe import MOST, Recipe, TrainingVectors, Workplace, classes_of
from models.training.replicas import defect_hosts, is_smallest, name_of, pristine_structures
from models.training.train import EpochListener, Trained, TrainingSettings, train
from models.training.unknowns import unknown_prototypes
from models.weights_file import Model

Floats = NDArray[np.float32]
Classes = NDArray[np.int64]

TEST_SEED, CALIBRATION_SEED, DETECTION_SEED = 0, 1, 2
CALIBRATION_PER_CLASS = 120
"""Calibration structures of every class, at least: a share of 5 % is then known to ± 2 %."""
DISTORTED_CRYSTALS = 20
"""Of every prototype in which anything is free, in the evaluation."""
PRISTINE = Recipe(pieces=96)
"""The recipe of the shipped `arise`: pristine structures only."""
ROBUST = replace(
    PRISTINE,
    grid=replace(PRISTINE.grid, cutoffs=(4.0,)),
    pieces=48,
    draws=120,
    draws_of_smallest=160,
    distorted=0.7,
    undisturbed=0.2,
    only_vacant=0.25,
)
"""The recipe of the shipped `arise-robust`: pristine structures, distorted and defective ones."""
RECIPES = {"pristine": PRISTINE, "robust": ROBUST}
"""By the names that `crysift train arise --recipe` takes."""


@dataclass(frozen=True)
class AriseTraining:
    """All settings of a training run."""

    recipe: Recipe = field(default_factory=lambda: PRISTINE)
    shape: PerceptronShape = field(default_factory=PerceptronShape)
    optimisation: TrainingSettings = field(default_factory=TrainingSettings)
    draws: int = 2
    """Defective variants per structure and kind of defect in the evaluation; `crysift bench accuracy` draws
    more."""
    passes: int = 1000
    """Dropout passes per structure in the evaluation."""

    def __post_init__(self) -> None:
        check_between("evaluation: draws", self.draws, 1, MOST)
        check_passes(self.passes)


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
    place = Workplace(Path(work or folder / "work"), listener)
    torch.set_num_threads(1)  # the layers are too small for more to pay, and sums keep their order
    labels = tuple(prototype.label for prototype in prototypes())
    data = place.training_vectors(settings.recipe, prototypes(), labels)
    vectors, classes = data.all
    trained = train(
        partial(perceptron_for, settings.shape), vectors, classes, settings.optimisation, on_epoch
    )
    model = Model(
        network=trained.network,
        labels=labels,
        features=features_of(settings.recipe.center),
        reference=reference_of(data, settings.recipe),
        card=_provenance(settings, vectors, classes, trained),
    )
    model = calibrate(model, place.folder, listener, distorted=settings.recipe.distorted > 0)
    model.card["results"] = _results(model, (vectors, classes), settings, place)
    return write_model(model, folder)


def calibrate(
    model: Model, work: str | Path, listener: Listener = ignore, *, distorted: bool = False
) -> Model:
    """Return the model with its temperature, and with the distances of held-out defective structures.

    Where `distorted`, these have lattice parameters and free coordinates of their own, too: for networks that
    were trained on such. Each distance goes with the class of the nearest training vector, among which
    p-values are taken. The network and the training vectors that distances are measured to stay as they are;
    vectors are kept under `work`, where an interrupted call resumes.
    """
    known = class_prototypes(model.labels, model.card.get("added", ()))
    place = Workplace(Path(work), listener)
    model = calibrated_on(model, calibration_vectors(known, place, center_of(model), distorted=distorted))
    of = [f"distorted by up to {USUAL_DISTORTION}, and of these"] if distorted else []
    return replace(model, card={**model.card, "calibration": [*of, *map(str, CALIBRATION_DEFECTS)]})


class CalibrationVectors(NamedTuple):
    """Vectors of held-out structures with their classes.

    `usual` (N, inputs) of `usual_classes` (N,) count as in distribution, `disordered` (M, inputs) of
    `disordered_classes` (M,) are so disordered that a network is wrong about some.
    """

    usual: Floats
    usual_classes: Classes
    disordered: Floats
    disordered_classes: Classes


def calibration_vectors(
    of: Sequence[Prototype], place: Workplace, center: GridSettings, *, distorted: bool
) -> CalibrationVectors:
    """Draw and describe what models of prototypes are calibrated on; classes are in the order of these."""
    labels = tuple(dict.fromkeys(prototype.label for prototype in of))
    usual = list(calibration_structures(of, USUAL_DISTORTION if distorted else Distortion()))
    hardest = [host for host in defect_hosts(of) if is_smallest(host)]
    disordered = _defective(hardest, BENCHMARK_DEFECTS, 1, CALIBRATION_SEED, of)
    name = "calibration-distorted" if distorted else "calibration"
    return CalibrationVectors(
        place.central_vectors(name, usual, center),
        classes_of(usual, labels),
        place.central_vectors("confidence", disordered, center),
        classes_of(disordered, labels),
    )


def calibrated_on(model: Model, held_out: CalibrationVectors) -> Model:
    """Return the model with a temperature and distances of held-out structures of its classes."""
    confidence = fitted_confidence(
        model.network, held_out.disordered, held_out.disordered_classes, held_out.usual
    )
    reference = calibrated(model.network.head, model.reference, torch.from_numpy(held_out.usual))
    return replace(model, reference=reference, confidence=confidence)


def perceptron_for(shape: PerceptronShape, vectors: torch.Tensor) -> Perceptron:
    """A network with random weights that standardises as `vectors` (N, inputs) ask."""
    network = Perceptron(shape)
    network.fit_standardisation(vectors)
    return network


def reference_of(data: TrainingVectors, recipe: Recipe) -> Reference:
    """The training vectors of crystals at rest, at all scales, without a calibration."""
    vectors, classes, names = data.at_rest(recipe)
    stored = vectors.astype(np.float16).astype(np.float32)
    rows = np.unique(stored, axis=0, return_index=True)[1]  # all sizes of a crystal are one vector
    nothing = np.empty(0, np.float32)
    return Reference(
        inputs=stored[rows],
        classes=classes[rows],
        ids=tuple(names[row] for row in rows),
        units=nothing,
        calibration=nothing,
        calibration_classes=np.empty(0, np.int64),
    )


def center_of(model: Model) -> GridSettings:
    """The descriptor settings that a model reads, as a grid of one point."""
    soap = model.features
    return GridSettings((soap["cutoff"],), (soap["sigma"],), (soap["scale"],), soap["basis"])


def features_of(center: GridSettings) -> dict[str, float | str]:
    """The settings of the vectors that the network reads, by the names of `SoapSettings`."""
    point = center.points[0]
    return {"cutoff": point.cutoff, "sigma": point.sigma, "scale": point.scale, "basis": point.basis}


def calibration_structures(
    of: Sequence[Prototype], distortion: Distortion, seed: int = CALIBRATION_SEED
) -> Iterator[Structure]:
    """Draw at least `CALIBRATION_PER_CLASS` of every class: a nanotube, of one size, is drawn more often.

    Without defects are only those that are distorted, since the others were trained on.
    """
    kinds = CALIBRATION_DEFECTS if distortion == Distortion() else (Defect(), *CALIBRATION_DEFECTS)
    lengths = nearest_neighbor_distances(of)
    for _, of_class in itertools.groupby(of, lambda prototype: prototype.label):
        examples = list(of_class)
        draws = math.ceil(CALIBRATION_PER_CLASS / (len(defect_hosts(examples)) * len(CALIBRATION_DEFECTS)))
        for draw, (number, kind) in itertools.product(range(draws), enumerate(kinds)):
            drawn = all_distorted(examples, distortion, seed, draw * len(kinds) + number)
            if kind == Defect():
                drawn = [new for new in drawn if new not in examples]
            for host in defect_hosts(drawn):
                d_nn = lengths[name_of(host.structure_id)]
                yield variant(host, kind, d_nn, draw, seed)


def _defective(
    hosts: Sequence[Structure], kinds: Iterable[Defect], draws: int, seed: int, of: Sequence[Prototype]
) -> list[Structure]:
    """Variants of all hosts, which are made `of` prototypes, with one kind of defect after the other."""
    return [structure for kind in kinds for structure in defective(hosts, kind, draws, seed, of)]


def _distorted_crystals(of: Sequence[Prototype]) -> list[Structure]:
    """Twenty crystals without defects of every prototype's type in which symmetry leaves anything free."""
    return [
        replace(crystal, source_id=f"{crystal.source_id}/{draw}")
        for draw in range(DISTORTED_CRYSTALS)
        for prototype in all_distorted(of, USUAL_DISTORTION, TEST_SEED, draw)
        if prototype not in of
        for crystal in pristine_structures([prototype])
        if any(crystal.dimension_types)
    ]


def _provenance(
    settings: AriseTraining, vectors: Floats, classes: Classes, trained: Trained
) -> dict[str, Any]:
    """What the card says about how the network came about."""
    digest = hashlib.sha256(vectors.tobytes() + classes.tobytes()).hexdigest()
    return {
        "settings": asdict(settings),
        "training_vectors": len(vectors),
        "training_data_sha256": digest,
        "best_epoch": asdict(trained.best),
        "versions": versions(),
    }


def _results(
    model: Model, trained_on: tuple[Floats, Classes], settings: AriseTraining, place: Workplace
) -> dict[str, Any]:
    """Accuracies, calibration and the comparison of out-of-distribution scores."""
    of, center = prototypes(), settings.recipe.center
    pristine, hosts = pristine_structures(of), defect_hosts(of)
    tests = [("pristine", place.central_vectors("test-pristine", pristine, center), classes_of(pristine))]
    crystals = _distorted_crystals(of)
    other = place.central_vectors("test-distorted", crystals, center)
    tests.append((f"crystals of {USUAL_DISTORTION}", other, classes_of(crystals)))
    for kind in BENCHMARK_DEFECTS:
        structures = _defective(hosts, [kind], settings.draws, TEST_SEED, of)
        vectors = place.central_vectors(f"test-{kind.name}", structures, center)
        tests.append((str(kind), vectors, classes_of(structures)))
    mild_and_strong = {
        name: place.central_vectors(name, _defective(hosts, kinds, 1, DETECTION_SEED, of), center)
        for name, kinds in (("mild", MILD_DEFECTS), ("strong", STRONG_DEFECTS))
    }
    known = {**mild_and_strong, "distorted": other}
    unknown = place.central_vectors("unknown", unknown_prototypes(), center)
    table = detection_table(model, known, unknown, settings.passes)
    return {
        "accuracies": {
            "all training vectors, dropout off": plain_accuracy(model, *trained_on),
            **{name: accuracy(model, x, y, settings.passes) for name, x, y in tests},
        },
        "calibration": calibration_figures(model, tests),
        "unknown_prototypes": len(unknown),
        "detection": {
            score: {name: asdict(value) for name, value in row.items()} for score, row in table.items()
        },
    }
