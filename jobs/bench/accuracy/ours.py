"""Our networks in the benchmark: every shipped one that reads SOAP vectors, and others by their weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.descriptors.soap import SoapSettings, SoapStage
from engine.errors import CrysiftError
from models.catalogue import shipped_models
from models.stage import PredictArise
from models.weights_file import model_metadata

if TYPE_CHECKING:
    from collections.abc import Sequence


def rows_of(weights: Sequence[str]) -> dict[str, str]:
    """Name of a model's row → its weights: the shipped models, then those named.

    Raises CrysiftError where two would have one name.
    """
    rows: dict[str, str] = {}
    for each in (*shipped_models(PredictArise.architecture), *weights):
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
