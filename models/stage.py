"""The stages that apply networks: from vectors to classes and their uncertainties."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.descriptors.diffraction.stage import IMAGE_TYPE
from engine.errors import CrysiftError, check_between
from engine.schema import (
    BOX_FACTS,
    CANDIDATES,
    ERROR_COLUMNS,
    FEATURE_TYPE,
    features_schema,
    predictions_schema,
)
from engine.spm.grid import Grid
from engine.stage import BatchFunction, Device, Resources, Stage, decided
from engine.store import Fingerprint
from models import DEFAULT_WEIGHTS
from models.batches import usable_rows, vectors_of, with_failed_rows
from models.convnet import ConvNet
from models.network import Perceptron
from models.weights_file import load_model, model_confidence, model_digest, model_metadata, model_shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.adaptive import Passes
    from models.dropout import Uncertainty
    from models.ood import OodScores

REPRESENTATION_TYPE = pa.float16()


@dataclass(frozen=True, kw_only=True)
class PredictStage(Stage):
    """Monte-Carlo dropout over a network, with an out-of-distribution score.

    A subclass is for the networks of one `architecture`, which read `vectors` of `vector_type`.
    """

    architecture: ClassVar[str]
    vectors: ClassVar[str]
    """What a vector is, in messages."""
    vector_type: ClassVar[pa.DataType]
    carried: ClassVar[tuple[pa.Field, ...]] = ()
    """Columns that pass from the vectors' table to the predictions."""
    revision: ClassVar[int] = 2
    engine: ClassVar[Literal["ray"]] = "ray"
    cluster_from: ClassVar[float] = 1500.0

    passes: Passes = 1000
    """T, stochastic forward passes per structure, or as many as its decisions ask for."""
    seed: int = 0
    weights: str
    """Name of a shipped model, or path of a folder that `crysift train` wrote."""
    top: int = 5
    """Most probable classes to list."""
    alpha: float = 0.05
    """A structure is out of distribution if its conformal p-value is at most this."""
    device: Device = "auto"
    """Where to compute; "auto" takes a GPU if there is one. Not part of the fingerprint."""

    def __post_init__(self) -> None:
        if isinstance(self.passes, int):
            check_between("prediction setting passes", self.passes, 1, 1_000_000)
        check_between("prediction setting seed", self.seed, 0, 2**63 - 1)
        check_between("prediction setting top", self.top, 1, 1000)
        check_between("prediction setting alpha", self.alpha, 0.0, 1.0)

    @property
    def reads(self) -> pa.Schema:
        """Vectors and their status."""
        self._metadata()
        schema = features_schema(model_shape(self.weights).inputs, self.vector_type, self.carried)
        carried = (field.name for field in self.carried)
        return pa.schema([schema.field(name) for name in (*_STATUS, "vector", *carried)])

    @property
    def writes(self) -> pa.Schema:
        """The predictions table; its representation is the last hidden layer."""
        self._metadata()
        width = model_shape(self.weights).representation
        return predictions_schema(width, REPRESENTATION_TYPE, self.carried)

    @property
    def resources(self) -> Resources:
        """One core, and a GPU where one is used."""
        return Resources(cpus=1.0, gpus=float(self.device == "cuda"), memory_bytes=768 * 1024**2)

    def placed(self, *, on_gpu: Callable[[], bool]) -> Self:
        """Return the stage on "cuda" or "cpu", where "auto" was asked."""
        return replace(self, device=decided(self.device, on_gpu))

    def settings(self) -> dict[str, Any]:
        """Everything besides the weights that determines the numbers on one kind of machine."""
        passes = self.passes
        return {
            "passes": passes if isinstance(passes, int) else passes.settings(model_confidence(self.weights)),
            "seed": self.seed,
            "top": self.top,
            "alpha": self.alpha,
        }

    def model_hash(self) -> str:
        """SHA-256 of the weights."""
        return model_digest(self.weights)

    def check_source(self, source: Fingerprint) -> None:
        """Refuse vectors made with other settings than those that the model was trained on.

        Any backend will do, since all compute the same vectors to 1e-5. Raises CrysiftError naming every
        setting that differs.
        """
        expected = {name: v for name, v in self._metadata()["features"].items() if name != "backend"}
        differing = [
            f"{name}: {source.settings[name]} in {source.folder_name}, {value} in the model"
            for name, value in expected.items()
            if name in source.settings and source.settings[name] != value
        ]
        if differing:
            raise CrysiftError(
                f"the model {self.weights} reads other {self.vectors} ({'; '.join(differing)}): featurize "
                f"with the model's settings, or train a model on these with `crysift train "
                f"{self.architecture}`"
            )

    def open(self) -> BatchFunction:
        """Load the model, draw the dropout masks, and return the function on tables of vectors."""
        import torch

        from models.inference import Inference
        from models.ood import OutOfDistribution

        torch.set_num_threads(1)  # one core per worker, and sums in the same order in every worker
        self._metadata()
        device = self.placed(on_gpu=torch.cuda.is_available).device
        model = load_model(self.weights)
        inference = Inference.of(model, self.passes, self.seed, device)
        ood = OutOfDistribution(model.network.head, model.reference, device)
        ids = pa.array(model.reference.ids, pa.string())

        def predict(batch: pa.Table) -> pa.Table:
            usable = usable_rows(batch)
            uncertainty, points, inputs = inference(torch.from_numpy(vectors_of(batch)[usable]))
            columns = {
                **self._class_columns(uncertainty, model.labels),
                **_ood_columns(ood(inputs), model.labels, ids, self.alpha),
                "n_passes": pa.array(uncertainty.passes),
                "representation": _lists(points.cpu().numpy(), self.writes.field("representation").type),
            }
            return with_failed_rows(batch, usable, columns, self.writes)

        return predict

    def _class_columns(self, result: Uncertainty, labels: tuple[str, ...]) -> dict[str, pa.Array]:
        return _class_columns(result, labels, self.top)

    def _metadata(self) -> dict[str, Any]:
        """What stands beside the model's tensors; raises CrysiftError if it is of another architecture."""
        metadata = model_metadata(self.weights)
        if metadata["architecture"] != self.architecture:
            raise CrysiftError(
                f"the model {self.weights} is of the architecture {metadata['architecture']!r}, which reads "
                f"no {self.vectors}: name weights of the architecture {self.architecture!r}, or predict "
                f"with `--model {metadata['architecture']}`"
            )
        return metadata


@dataclass(frozen=True, kw_only=True)
class PredictArise(PredictStage):
    """The ARISE network: one of 108 prototypes."""

    name: ClassVar[str] = "predictions_arise"
    source: ClassVar[str] = "features_soap"
    architecture: ClassVar[str] = Perceptron.architecture
    vectors: ClassVar[str] = "SOAP vectors"
    vector_type: ClassVar[pa.DataType] = FEATURE_TYPE

    weights: str = DEFAULT_WEIGHTS["arise"]


@dataclass(frozen=True, kw_only=True)
class PredictBoxes(PredictArise):
    """The ARISE network on the boxes of strided pattern matching: spm_soap → spm_grid."""

    name: ClassVar[str] = "spm_grid"
    source: ClassVar[str] = "spm_soap"
    carried: ClassVar[tuple[pa.Field, ...]] = BOX_FACTS

    grid: Grid
    """Where the boxes are; it ends up in the footer of every part."""
    classes: tuple[str, ...] = ()
    """Prototypes whose probabilities are kept for every box, beside the most probable ones."""

    def __post_init__(self) -> None:
        super().__post_init__()
        known = model_metadata(self.weights)["labels"]
        for name in self.classes:
            if name not in known:
                close = get_close_matches(name, known, n=3, cutoff=0.3)
                raise CrysiftError(
                    f"the model {self.weights} knows no prototype {name!r}; "
                    f"{'names like it: ' + ', '.join(close) if close else 'it knows ' + ', '.join(known)}"
                )

    @property
    def writes(self) -> pa.Schema:
        """The predictions table with the columns of the boxes and the probabilities asked for."""
        return super().writes.append(pa.field("requested", CANDIDATES))

    def settings(self) -> dict[str, Any]:
        """The grid and the classes, too."""
        return {**super().settings(), **self.grid.to_json(), "classes": self.classes}

    def _class_columns(self, result: Uncertainty, labels: tuple[str, ...]) -> dict[str, pa.Array]:
        asked = np.array([labels.index(name) for name in self.classes], np.int64)
        order = np.broadcast_to(asked, (len(result.probabilities), len(asked)))
        return {
            **super()._class_columns(result, labels),
            "requested": _candidates(result.probabilities, order, labels),
        }


@dataclass(frozen=True, kw_only=True)
class PredictDiffraction(PredictStage):
    """The convolutional network on diffraction fingerprints: one of four cubic lattices."""

    name: ClassVar[str] = "predictions_diffraction"
    source: ClassVar[str] = "features_diffraction"
    architecture: ClassVar[str] = ConvNet.architecture
    vectors: ClassVar[str] = "diffraction fingerprints"
    vector_type: ClassVar[pa.DataType] = IMAGE_TYPE

    weights: str = DEFAULT_WEIGHTS["diffraction"]


PREDICTIONS: dict[str, type[PredictStage]] = {
    stage.architecture: stage for stage in (PredictArise, PredictDiffraction)
}
"""The stages by the architecture of their networks."""


_STATUS = ("structure_id", "status", *(field.name for field in ERROR_COLUMNS))


def _class_columns(result: Uncertainty, labels: tuple[str, ...], top: int) -> dict[str, pa.Array]:
    """Columns of what the passes say; ties between classes go to the first."""
    p = result.probabilities
    order = np.argsort(-p, axis=1, kind="stable")[:, :top]
    return {
        "prototype": pa.array(labels, pa.string()).take(pa.array(order[:, 0])),
        "probability": pa.array(p.max(axis=1, initial=0.0).astype(np.float32)),
        "top": _candidates(p, order, labels),
        "mutual_information": pa.array(result.mutual_information.astype(np.float32)),
        "predictive_entropy": pa.array(result.predictive_entropy.astype(np.float32)),
        "variation_ratio": pa.array(result.variation_ratio.astype(np.float32)),
    }


def _candidates(p: NDArray[np.float64], order: NDArray[np.int64], labels: tuple[str, ...]) -> pa.ListArray:
    """Lists of classes, by their numbers `order` (B, k), with their probabilities, from `p` (B, classes)."""
    ranked = pa.StructArray.from_arrays(
        [
            pa.array(labels, pa.string()).take(pa.array(order.ravel())),
            pa.array(np.take_along_axis(p, order, axis=1).ravel().astype(np.float32)),
        ],
        names=["prototype", "probability"],
    )
    offsets = np.arange(len(p) + 1, dtype=np.int32) * order.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), ranked)


def _ood_columns(
    scores: OodScores, labels: tuple[str, ...], ids: pa.Array, alpha: float
) -> dict[str, pa.Array]:
    return {
        "ood_score": pa.array(scores.score),
        "ood_p_value": pa.array(scores.p_value),
        "is_ood": pa.array(scores.p_value <= alpha),
        "nearest_class": pa.array(labels, pa.string()).take(pa.array(scores.nearest)),
        "nearest_training_id": ids.take(pa.array(scores.row)),
    }


def _lists(values: NDArray[np.float32], kind: pa.DataType) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.astype(np.float16).ravel()), type=kind)
