"""Train the diffraction network on pristine cubic crystals alone, calibrate it and evaluate it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.descriptors.diffraction import DiffractionSettings
from engine.execution.events import Listener, ignore
from engine.structure import Structure
from models.convnet import ConvNet, ConvNetShape
from models.inference import representations
from models.network import Network
from models.ood import Reference, calibrated
from models.training.card import versions, write_model
from models.training.cubic import CLASSES, DESCRIPTIONS, element_of, pristine_cubic
from models.training.cubic_defects import (
    PUBLISHED_DEFECTS,
    STRONGER_DEFECTS,
    CubicDefect,
    defect_host,
    defective_cubic,
)
from models.training.diffuse_light import with_diffuse_light
from models.training.evaluate import detection_table
from models.training.images import Images, ImageStores
from models.training.robustness import Judge, classes_of, judge_defective, symmetry_accuracies
from models.training.train import EpochListener, Trained, TrainingSettings, stratified_split, train
from models.training.unknowns import unknown_prototypes
from models.weights_file import Model

TEST_SEED, CALIBRATION_SEED, DETECTION_SEED = 0, 1, 2
MILD_DEFECTS = (
    CubicDefect(vacancies=0.1),
    CubicDefect(vacancies=0.2),
    CubicDefect(displacement=0.05),
    CubicDefect(displacement=0.10),
    CubicDefect(substituted=0.25),
)
"""What counts as in distribution, besides pristine crystals."""
STRONG_DEFECTS = (
    CubicDefect(vacancies=0.5),
    CubicDefect(displacement=0.15),
    CubicDefect(substituted=0.75, species=2),
)
CALIBRATION_STRIDE, DETECTION_STRIDE = 4, 16
"""Of the crystals held out, every so many have defects made in them for calibration, and for detection."""


@dataclass(frozen=True)
class DiffractionTraining:
    """All settings of a training run."""

    descriptor: DiffractionSettings = field(default_factory=DiffractionSettings)
    optimisation: TrainingSettings = field(
        default_factory=lambda: TrainingSettings(epochs=8, batch=32, sparsity=0.0, validation=0.25)
    )
    diffuse_light: float = 2.0
    """Brightness, in units of the brightest peak, up to which random light is added to images trained on; 0
    for none."""
    elements: tuple[str, ...] | None = None
    """Elements of the training and test crystals; None stands for all with form factors."""
    defects: tuple[CubicDefect, ...] = (*PUBLISHED_DEFECTS, *STRONGER_DEFECTS)
    """Kinds to test with."""
    passes: int = 1000
    """Dropout passes per structure in the evaluation."""

    @property
    def shape(self) -> ConvNetShape:
        """Layers of the network."""
        return ConvNetShape(channels=len(self.descriptor.turns), classes=len(CLASSES))


@dataclass(frozen=True)
class _Pristine:
    """The pristine crystals, their fingerprints, and the row numbers of the two parts."""

    structures: list[Structure]
    images: Images
    classes: NDArray[np.int64]
    training: NDArray[np.int64]
    held_out: NDArray[np.int64]

    @property
    def spread(self) -> float:
        """Largest difference of a pixel between descriptions of one crystal, which are consecutive."""
        same = self.images.reshape(-1, DESCRIPTIONS, self.images.shape[1])
        return float((same.max(axis=1) - same.min(axis=1)).max())

    def held_out_hosts(self, stride: int) -> list[Structure]:
        """Crystals for defects that were not trained on."""
        return [defect_host(self.structures[row]) for row in self.held_out[::stride]]


def train_diffraction(
    folder: str | Path,
    settings: DiffractionTraining | None = None,
    *,
    work: str | Path | None = None,
    listener: Listener = ignore,
    on_epoch: EpochListener = lambda _: None,
) -> Model:
    """Train a network and write weights, calibration and model card into `folder`.

    Fingerprints are kept in stores under `work` (default: `folder`/work), where an interrupted call resumes.
    Deterministic for given settings and one kind of machine. Returns the model as `load_model` reads it.
    """
    settings = settings or DiffractionTraining()
    folder = Path(folder)
    stores = ImageStores(Path(work or folder / "work"), settings.descriptor, listener)
    torch.set_num_threads(1)  # sums keep their order
    pristine = _pristine(settings, stores)
    trained = _trained(settings, pristine, on_epoch)
    model = Model(
        network=trained.network,
        labels=CLASSES,
        features=asdict(settings.descriptor),
        reference=_calibrated(trained.network, pristine, stores),
        card=_provenance(settings, pristine, trained),
    )
    model.card["results"] = _results(model, settings, pristine, stores)
    return write_model(model, folder)


def _pristine(settings: DiffractionTraining, stores: ImageStores) -> _Pristine:
    structures = pristine_cubic(settings.elements)
    classes = classes_of(structures)
    parts = stratified_split(classes, settings.optimisation.validation, settings.optimisation.seed)
    return _Pristine(structures, stores.images("pristine", structures), classes, *parts)


def _trained(settings: DiffractionTraining, pristine: _Pristine, on_epoch: EpochListener) -> Trained:
    light = partial(with_diffuse_light, brightness=settings.diffuse_light, mask=settings.descriptor.mask)
    return train(
        lambda _: ConvNet(settings.shape),
        pristine.images.astype(np.float32),
        pristine.classes,
        settings.optimisation,
        on_epoch,
        augment=light if settings.diffuse_light else lambda batch: batch,
    )


def _calibrated(network: Network, pristine: _Pristine, stores: ImageStores) -> Reference:
    """A training image of every class and element, and how far held-out crystals are from them.

    All cell settings and lattice parameters give the same image: one stands for all.
    """
    kinds = {
        (pristine.classes[row], element_of(pristine.structures[row].structure_id)): row
        for row in pristine.training[::-1]
    }
    rows = np.sort(list(kinds.values()))
    held_out = pristine.images[pristine.held_out[::CALIBRATION_STRIDE]]
    hosts = pristine.held_out_hosts(CALIBRATION_STRIDE)
    defective = stores.images("calibration", _defective(hosts, MILD_DEFECTS, CALIBRATION_SEED))
    nothing = np.empty(0, np.float32)
    reference = Reference(
        inputs=_head_inputs(network, pristine.images[rows]).half().float().numpy(),
        classes=pristine.classes[rows],
        ids=tuple(pristine.structures[row].structure_id for row in rows),
        units=nothing,
        calibration=nothing,
        calibration_classes=np.empty(0, np.int64),
    )
    usual = _head_inputs(network, np.concatenate([held_out, defective]))
    return calibrated(network.head, reference, usual)


def _head_inputs(network: Network, images: NDArray[np.floating[Any]]) -> torch.Tensor:
    """What the head reads (B, width) of images (B, pixels)."""
    vectors = torch.from_numpy(images)
    return network.head_inputs(vectors, representations(network, vectors))


def _defective(hosts: Sequence[Structure], kinds: Sequence[CubicDefect], seed: int) -> list[Structure]:
    return [structure for kind in kinds for structure in defective_cubic(hosts, kind, seed)]


def _provenance(settings: DiffractionTraining, pristine: _Pristine, trained: Trained) -> dict[str, Any]:
    """What the card says about how the network came about."""
    digest = hashlib.sha256(pristine.images.tobytes() + pristine.classes.tobytes()).hexdigest()
    return {
        "settings": asdict(settings),
        "elements": len({element_of(structure.structure_id) for structure in pristine.structures}),
        "pristine_structures": len(pristine.structures),
        "crystals": len(pristine.images) // DESCRIPTIONS,
        "largest_difference": pristine.spread,
        "training_vectors": len(pristine.training),
        "training_data_sha256": digest,
        "best_epoch": asdict(trained.best),
        "calibration": ["pristine", *map(str, MILD_DEFECTS)],
        "versions": versions(),
    }


def _results(
    model: Model, settings: DiffractionTraining, pristine: _Pristine, stores: ImageStores
) -> dict[str, Any]:
    """Accuracies, spglib's beside them, and the comparison of out-of-distribution scores."""
    judge = Judge(model, settings.passes)
    judged = {
        name: judge([pristine.structures[row] for row in rows], pristine.images[rows])
        for name, rows in (
            ("pristine, trained on", pristine.training),
            ("pristine, held out", pristine.held_out),
        )
    }
    hosts = [defect_host(structure) for structure in pristine.structures]
    for kind, verdict in judge_defective(judge, stores, hosts, settings.defects, TEST_SEED):
        judged[str(kind)] = verdict
    return {
        "accuracies": {name: verdict.accuracy for name, verdict in judged.items()},
        "judged": {name: asdict(verdict) for name, verdict in judged.items()},
        "published": [str(kind) for kind in settings.defects if kind in PUBLISHED_DEFECTS],
        "spglib": symmetry_accuracies(stores, hosts, settings.defects, TEST_SEED),
        **_detection(model, settings, pristine, stores),
    }


def _detection(
    model: Model, settings: DiffractionTraining, pristine: _Pristine, stores: ImageStores
) -> dict[str, Any]:
    """How well crystals of other structures stand out from defective cubic ones."""
    hosts = pristine.held_out_hosts(DETECTION_STRIDE)
    known = {
        name: stores.images(name, _defective(hosts, kinds, DETECTION_SEED))
        for name, kinds in (("mild", MILD_DEFECTS), ("strong", STRONG_DEFECTS))
    }
    unknown = stores.images("unknown", unknown_prototypes())
    table = detection_table(model, known, unknown, settings.passes)
    return {
        "mild": [str(kind) for kind in MILD_DEFECTS],
        "strong": [str(kind) for kind in STRONG_DEFECTS],
        "unknown_prototypes": len(unknown),
        "detection": {
            score: {name: asdict(value) for name, value in row.items()} for score, row in table.items()
        },
    }
