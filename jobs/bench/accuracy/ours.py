"""Our networks in the benchmark: every shipped one that reads SOAP vectors, and others by their weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.descriptors.soap import SoapSettings, SoapStage
from engine.errors import CrysiftError
from jobs.bench.accuracy.scores import Verdicts
from models.stage import PredictArise
from models.weights_file import MODEL_FILE, WEIGHTS, model_metadata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.bench.accuracy.sets import Facts


def shipped_models() -> list[str]:
    """Names of the shipped models that read SOAP vectors, in the order of the alphabet."""
    names = sorted(file.parent.name for file in WEIGHTS.glob(f"*/{MODEL_FILE}"))
    return [name for name in names if model_metadata(name)["architecture"] == PredictArise.architecture]


def rows_of(weights: Sequence[str]) -> dict[str, str]:
    """Name of a model's row → its weights: the shipped models, then those named.

    Raises CrysiftError where two would have one name.
    """
    rows: dict[str, str] = {}
    for each in (*shipped_models(), *weights):
        name = Path(each).name
        architecture = model_metadata(each)["architecture"]
        if architecture != PredictArise.architecture:
            raise CrysiftError(
                f"the model {each} is of the network {architecture!r}, which reads no SOAP vectors: name "
                f"models of the network {PredictArise.architecture!r}"
            )
        if rows.get(name, each) != each:
            raise CrysiftError(
                f"the models {rows[name]} and {each} would both be called {name!r} in the table: rename one "
                "of the folders"
            )
        rows[name] = each
    return rows


def stages(weights: str) -> tuple[SoapStage, PredictArise]:
    """Return the descriptor that a model reads, and its predictions, both with their usual settings."""
    return SoapStage(SoapSettings(**model_metadata(weights)["features"])), PredictArise(weights=weights)


def verdicts(method: str, facts: Facts, found: Sequence[str | None]) -> Verdicts:
    """Say which classes (N,) that a method found are the right ones; it can treat every structure."""
    right = np.array([taken == label for taken, label in zip(found, facts.labels, strict=True)], np.float64)
    return Verdicts(method, right, np.ones(len(right), np.bool_))
