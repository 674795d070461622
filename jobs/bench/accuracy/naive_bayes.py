"""Naive Bayes as a competitor: Gaussian and Bernoulli, on the vectors that the network is trained on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from engine.columns import contiguous, fixed_size_values
from engine.descriptors.soap import SOAP_WIDTH
from engine.schema import FEATURE_TYPE, STATUS_COLUMNS, STRUCTURE_ID, features_schema
from engine.stage import BatchFunction, Resources, Stage
from models.batches import usable_rows, vectors_of, with_failed_rows
from models.training.grid import GridSettings
from models.training.replicas import label_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.store import Table

THRESHOLD = 0.0
"""Of the Bernoulli model: whether a component is positive."""
PUBLISHED_GRID = GridSettings()
"""Descriptor settings of the published 39,204 training vectors (Leitherer et al. 2021, Methods)."""


@dataclass(frozen=True)
class NaiveBayesStage(Stage):
    """features_soap → the prototypes that two naive Bayes models find, trained when the stage is opened.

    Both are scikit-learn's with its defaults, on the vectors as they are: this is what comes closest to the
    published rows.
    """

    name: ClassVar[str] = "predictions_naive_bayes"
    source: ClassVar[str] = "features_soap"
    revision: ClassVar[int] = 1
    cluster_from: ClassVar[float] = 20_000.0

    training: Table
    """Training vectors: a table of `models.training.grid.GridStage`."""

    @property
    def reads(self) -> pa.Schema:
        """Vectors and their status."""
        schema = features_schema(SOAP_WIDTH, FEATURE_TYPE, ())
        return pa.schema([schema.field(name) for name in ("structure_id", *_STATUS, "vector")])

    @property
    def writes(self) -> pa.Schema:
        """A prototype by each model."""
        found = (pa.field(name, pa.string()) for name in MODELS)
        return pa.schema([STRUCTURE_ID, *STATUS_COLUMNS, *found])

    @property
    def resources(self) -> Resources:
        """One core, and the training vectors in double precision."""
        return Resources(memory_bytes=1024**3)

    def settings(self) -> dict[str, Any]:
        """The threshold, and what the training vectors are."""
        footers = self.training.footers(self.training.part_names())
        content = hashlib.sha256("".join(footers[name].content_hash for name in sorted(footers)).encode())
        table = self.training.folder.name
        return {"threshold": THRESHOLD, "training": table, "training_sha256": content.hexdigest()}

    def open(self) -> BatchFunction:
        """Read the training vectors, fit both models and return the function on vectors."""
        vectors, labels = training_vectors(self.training)
        models = {name: model.fit(vectors, labels) for name, model in _models().items()}

        def predict(batch: pa.Table) -> pa.Table:
            usable = usable_rows(batch)
            asked = vectors_of(batch)[usable].astype(np.float64)
            found = {
                name: pa.array(model.predict(asked) if len(asked) else [], pa.string())
                for name, model in models.items()
            }
            return with_failed_rows(batch, usable, found, self.writes)

        return predict


_STATUS = tuple(field.name for field in STATUS_COLUMNS)
MODELS = ("gaussian", "bernoulli")


def _models() -> dict[str, Any]:
    from sklearn.naive_bayes import BernoulliNB, GaussianNB

    return {"gaussian": GaussianNB(), "bernoulli": BernoulliNB(binarize=THRESHOLD)}


def training_vectors(table: Table) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """All vectors (structures · grid points, 316) of a table of vectors on a grid, and their prototypes."""
    rows = table.scan(["structure_id", "vectors"]).to_table()
    vectors = fixed_size_values(contiguous(rows["vectors"])).reshape(-1, SOAP_WIDTH).astype(np.float64)
    labels = [label_of(structure_id) for structure_id in rows["structure_id"].to_pylist()]
    return vectors, np.repeat(np.array(labels), len(vectors) // len(labels))
