"""All models that have a name, with what their files say of them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from engine.errors import CrysiftError
from models.weights_file import (
    MODEL_FILE,
    WEIGHTS,
    model_confidence,
    model_digest,
    model_libraries,
    model_metadata,
    model_shape,
)


@dataclass(frozen=True)
class ModelEntry:
    """One model; `name` is what `--weights` takes."""

    name: str
    folder: Path
    architecture: str
    classes: int
    parameters: int
    features: dict[str, Any]
    error: str = ""
    """Why it cannot be used; all else but name and folder is then empty."""


def named_models() -> list[ModelEntry]:
    """Find the models of all libraries, the shipped ones first; of equal names the one that is used."""
    found: dict[str, ModelEntry] = {}
    for library in model_libraries():
        for file in sorted(library.glob(f"*/{MODEL_FILE}")):
            found.setdefault(file.parent.name, model_entry(file.parent))
    return list(found.values())


def shipped_models(architecture: str) -> list[str]:
    """Names of the shipped models of an architecture, in the order of the alphabet."""
    names = sorted(file.parent.name for file in WEIGHTS.glob(f"*/{MODEL_FILE}"))
    return [name for name in names if model_metadata(name)["architecture"] == architecture]


def model_entry(folder: Path) -> ModelEntry:
    """Read what the head of a model's file says, and check that what uses the model could read it, too."""
    try:
        metadata = model_metadata(folder)
        for needed in (model_shape, model_confidence, model_digest):
            needed(folder)
        return ModelEntry(
            name=folder.name,
            folder=folder,
            architecture=metadata["architecture"],
            classes=len(metadata["labels"]),
            parameters=_parameters(folder / MODEL_FILE),
            features=metadata["features"],
        )
    except (CrysiftError, OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        return ModelEntry(folder.name, folder, "", 0, 0, {}, str(error))


def _parameters(file: Path) -> int:
    """Count the weights and biases; what a network only remembers, as the mean of its inputs, is none."""
    with safe_open(file, framework="numpy") as tensors:
        names = (name for name in tensors.keys() if name.startswith("network."))  # noqa: SIM118 -- no mapping
        return sum(
            prod(tensors.get_slice(name).get_shape()) for name in names if name.endswith((".weight", ".bias"))
        )
