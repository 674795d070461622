"""Networks that the benchmark trains: members of a deep ensemble, and some that never saw some classes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from engine.descriptors.soap import SoapStage
from engine.execution.events import Listener, PartDone, StageFinished, StageStarted, ignore
from models.network import PerceptronShape
from models.prototypes import Prototype, prototypes
from models.training.arise import (
    ROBUST,
    CalibrationVectors,
    calibrated_on,
    calibration_vectors,
    features_of,
    perceptron_for,
    reference_of,
)
from models.training.randomness import random_generator
from models.training.recipe import Recipe, TrainingVectors, Workplace
from models.training.train import Epoch, EpochListener, TrainingSettings, train
from models.weights_file import DIGEST_FILE, Model, load_model, save_model

Classes = NDArray[np.int64]

MEMBERS = 3
"""Networks beside the shipped one."""
HOLDOUTS = 3
LEFT_OUT = 19
"""Of the 108 classes (Leitherer et al. 2021 tell 108 apart)."""


@dataclass(frozen=True)
class Further:
    """A network to train: its name, the seed of its optimisation, and the classes that it learns."""

    name: str
    seed: int
    labels: tuple[str, ...]


def members(labels: Sequence[str], count: int = MEMBERS) -> list[Further]:
    """Networks of the shipped one's classes, which differ from it by the seed of weights and batches."""
    return [Further(f"member-{number}", number, tuple(labels)) for number in range(1, count + 1)]


def holdouts(labels: Sequence[str], count: int = HOLDOUTS, left_out: int = LEFT_OUT) -> list[Further]:
    """Networks each of which learns all classes but `left_out`, drawn at random."""
    found = []
    for number in range(count):
        random = random_generator(number, "classes left out")
        missing = set(random.choice(len(labels), left_out, replace=False).tolist())
        kept = tuple(label for place, label in enumerate(labels) if place not in missing)
        found.append(Further(f"without-{left_out}-{number}", number, kept))
    return found


@dataclass(frozen=True)
class Training:
    """How networks are trained, and on what.

    Networks are kept under `folder` and vectors under `work`, where an interrupted call goes on.
    """

    folder: Path
    work: Path
    recipe: Recipe = ROBUST
    optimisation: TrainingSettings = field(default_factory=TrainingSettings)
    of: tuple[Prototype, ...] = ()
    """The prototypes, all 108 where none is named."""
    listener: Listener = ignore

    def network(self, asked: Further) -> Model:
        """Train and calibrate a network, or read the one that an earlier call has kept."""
        folder = self.folder_of(asked)
        if not (folder / DIGEST_FILE).is_file():
            save_model(self._trained(asked), folder)
        return load_model(folder)

    def folder_of(self, asked: Further) -> Path:
        """Where a network is kept: another place for other settings."""
        determined_by = (asked, self.recipe, self.optimisation, SoapStage.revision)
        digest = hashlib.sha256(repr(determined_by).encode()).hexdigest()[:8]
        return self.folder / f"{asked.name}-{digest}"

    @cached_property
    def prototypes(self) -> tuple[Prototype, ...]:
        """What networks are trained to tell apart."""
        return self.of or prototypes()

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The classes of all prototypes."""
        return tuple(dict.fromkeys(prototype.label for prototype in self.prototypes))

    @cached_property
    def _place(self) -> Workplace:
        return Workplace(self.work, self.listener)

    @cached_property
    def _data(self) -> TrainingVectors:
        return self._place.training_vectors(self.recipe, self.prototypes, self.labels)

    @cached_property
    def _held_out(self) -> CalibrationVectors:
        distorted = self.recipe.distorted > 0
        return calibration_vectors(self.prototypes, self._place, self.recipe.center, distorted=distorted)

    def _trained(self, asked: Further) -> Model:
        torch.set_num_threads(1)  # the layers are too small for more to pay, and sums keep their order
        kept = np.array([self.labels.index(label) for label in asked.labels])
        data = _of_classes(self._data, kept)
        vectors, classes = data.all
        optimisation = replace(self.optimisation, seed=asked.seed)
        shape = PerceptronShape(inputs=vectors.shape[1], classes=len(kept))
        with _told_of(f"training of {asked.name}", optimisation.epochs, self.listener) as on_epoch:
            trained = train(partial(perceptron_for, shape), vectors, classes, optimisation, on_epoch)
        model = Model(
            network=trained.network,
            labels=asked.labels,
            features=features_of(self.recipe.center),
            reference=reference_of(data, self.recipe),
            card={"training_vectors": len(vectors), "best_epoch": asdict(trained.best)},
        )
        return calibrated_on(model, _held_out_of(self._held_out, kept))


@contextmanager
def _told_of(stage: str, epochs: int, listener: Listener) -> Iterator[EpochListener]:
    """Tell of a training as of a stage whose parts are epochs."""
    listener(StageStarted(stage, epochs, epochs, 0, "inline", 1, float(epochs), f"{stage}: {epochs} epochs"))
    started = last = time.perf_counter()

    def tell(epoch: Epoch) -> None:
        nonlocal last
        now = time.perf_counter()
        listener(PartDone(stage, f"epoch-{epoch.number}", 1, {}, now - last, 1.0))
        last = now

    yield tell
    listener(StageFinished(stage, epochs, epochs, 0, 0, time.perf_counter() - started))


def _of_classes(data: TrainingVectors, kept: Classes) -> TrainingVectors:
    """The vectors of some classes, which are numbered anew in the order of `kept`."""
    pristine, further = np.isin(data.classes, kept), np.isin(data.further_classes, kept)
    place_of_row = np.cumsum(further) - 1
    crystals = further[data.crystals]
    return TrainingVectors(
        pristine=data.pristine[pristine],
        classes=_numbered(data.classes[pristine], kept),
        ids=tuple(name for name, chosen in zip(data.ids, pristine, strict=True) if chosen),
        further=data.further[further],
        further_classes=_numbered(data.further_classes[further], kept),
        crystals=place_of_row[data.crystals[crystals]],
        crystal_ids=tuple(name for name, chosen in zip(data.crystal_ids, crystals, strict=True) if chosen),
    )


def _held_out_of(vectors: CalibrationVectors, kept: Classes) -> CalibrationVectors:
    usual, disordered = (
        np.isin(classes, kept) for classes in (vectors.usual_classes, vectors.disordered_classes)
    )
    return CalibrationVectors(
        vectors.usual[usual],
        _numbered(vectors.usual_classes[usual], kept),
        vectors.disordered[disordered],
        _numbered(vectors.disordered_classes[disordered], kept),
    )


def _numbered(classes: Classes, kept: Classes) -> Classes:
    """The places (N,) of classes (N,) in `kept`, in which they all are; `kept` ascends."""
    return np.searchsorted(kept, classes).astype(np.int64)
