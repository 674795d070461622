"""Models as folders: `model.safetensors`, its SHA-256, and a model card. Nothing here is ever unpickled."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zlib
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from engine.errors import CrysiftError
from models.confidence import Confidence
from models.convnet import ConvNet, ConvNetShape
from models.network import Network, Perceptron, PerceptronShape, Shape
from models.ood import Reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.store import Table

WEIGHTS = Path(__file__).with_name("weights")
MODEL_FILE = "model.safetensors"
DIGEST_FILE = "model.sha256"
CARD_FILE = "README.md"
MODELS_VARIABLE = "CRYSIFT_MODELS"
"""Environment variable with the folders of a user's models, separated as in PATH."""
FORMAT = 5
LONGEST_HEAD = 100_000_000
"""Bytes of a safetensors file's head, at most: its own limit."""
_METADATA_KEY = "crysift"


class _Architecture(NamedTuple):
    """How to make a network of the numbers that describe its layers."""

    shape: Callable[..., Shape]
    network: Callable[[Any], Network]


_ARCHITECTURES = {
    Perceptron.architecture: _Architecture(PerceptronShape, Perceptron),
    ConvNet.architecture: _Architecture(ConvNetShape, ConvNet),
}


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network with everything that a prediction needs.

    `features` are the settings of the descriptor that it reads, `card` what is known about it (data,
    accuracies, versions), `sha256` identifies the file that it was loaded from. `confidence` is what
    calibration says about the probabilities.
    """

    network: Network
    labels: tuple[str, ...]
    features: dict[str, Any]
    reference: Reference
    card: dict[str, Any]
    sha256: str = ""
    confidence: Confidence = field(default_factory=Confidence)

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """What stands beside the tensors in the file."""
        return {
            "format": FORMAT,
            "architecture": self.network.architecture,
            "shape": asdict(self.network.shape),
            "labels": list(self.labels),
            "features": self.features,
            "confidence": asdict(self.confidence),
            "card": self.card,
        }


def model_libraries() -> list[Path]:
    """Folders of models that have a name: the shipped ones, then the user's, in `MODELS_VARIABLE`."""
    own = os.environ.get(MODELS_VARIABLE, "").split(os.pathsep)
    return [WEIGHTS, *(Path(folder).expanduser() for folder in own if folder)]


def model_folder(weights: str | Path) -> Path:
    """Find a model by its name in one of the libraries, the shipped one first, or by the path of a folder.

    A `Path`, and a text with a separator, as in ``./arise``, is no name. Raises CrysiftError where there is
    no model.
    """
    libraries = model_libraries()
    is_name = isinstance(weights, str) and Path(weights).name == weights
    named = [library / weights for library in libraries] if is_name else []
    for folder in (*named, Path(weights)):
        if (folder / MODEL_FILE).is_file():
            return folder
    found = {entry.parent.name: None for library in libraries for entry in library.glob(f"*/{MODEL_FILE}")}
    raise CrysiftError(
        f"there is no model {str(weights)!r}: name a folder that `crysift train` wrote, or one of the models "
        f"that are shipped or in a folder of ${MODELS_VARIABLE} ({', '.join(sorted(found)) or 'none'})"
    )


def model_digest(weights: str | Path) -> str:
    """SHA-256 of a model's file, as recorded beside it; checked against the file when the model is loaded."""
    recorded = model_folder(weights) / DIGEST_FILE
    try:
        return recorded.read_text(encoding="ascii").split()[0]
    except (FileNotFoundError, IndexError) as error:
        raise CrysiftError(
            f"{recorded} is missing or empty: train the model again or restore the file"
        ) from error


def model_metadata(weights: str | Path) -> dict[str, Any]:
    """Read what stands beside a model's tensors: architecture, shape, labels, descriptor settings, card."""
    path = model_folder(weights) / MODEL_FILE
    return _cached_metadata(path, path.stat().st_mtime_ns)


def model_shape(weights: str | Path) -> Shape:
    """Read what determines the layers of a model's network."""
    return _shape(model_metadata(weights))


def model_confidence(weights: str | Path) -> Confidence:
    """Read what calibration says about a model's network."""
    return _confidence(model_metadata(weights))


def save_model(model: Model, folder: Path) -> str:
    """Write the model's file and its SHA-256 into `folder`; returns the SHA-256."""
    from safetensors.torch import save

    tensors = {f"network.{name}": value.contiguous() for name, value in model.network.state_dict().items()}
    reference = model.reference
    tensors["reference.inputs"] = torch.from_numpy(reference.inputs).half()
    tensors["reference.ids"] = torch.from_numpy(_packed(reference.ids))
    tensors["reference.units"] = torch.from_numpy(reference.units)
    tensors["reference.classes"] = torch.from_numpy(reference.classes).to(torch.int16)
    tensors["reference.calibration"] = torch.from_numpy(reference.calibration)
    tensors["reference.calibration_classes"] = torch.from_numpy(reference.calibration_classes).to(torch.int16)
    data = save(tensors, metadata={_METADATA_KEY: json.dumps(model.metadata, ensure_ascii=False)})
    digest = hashlib.sha256(data).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL_FILE).write_bytes(data)
    (folder / DIGEST_FILE).write_text(f"{digest}  {MODEL_FILE}\n", encoding="ascii")
    return digest


def load_model(weights: str | Path) -> Model:
    """Load a model by name or folder, in evaluation mode.

    Raises CrysiftError where the file is not the one that its SHA-256 was taken of, or of another format.
    """
    from safetensors.torch import load

    folder = model_folder(weights)
    path = folder / MODEL_FILE
    data = path.read_bytes()
    digest, recorded = hashlib.sha256(data).hexdigest(), model_digest(weights)
    if digest != recorded:
        raise CrysiftError(
            f"{path} has SHA-256 {digest[:12]}…, {DIGEST_FILE} says {recorded[:12]}…: the file is damaged or "
            "was exchanged; restore it or train the model again"
        )
    return _assembled(load(data), _metadata(io.BytesIO(data), path), digest)


def load_model_of(predictions: Table, weights: str | Path) -> Model:
    """Load the model that a table of predictions was made with; ``weights`` name it.

    Raises CrysiftError where they are not those of the predictions.
    """
    model, made_with = load_model(weights), str(predictions.fingerprint.model)
    if model.sha256 != made_with:
        raise CrysiftError(
            f"{predictions.folder.url} was made with other weights than {weights} (SHA-256 "
            f"{made_with[:12]}…, not {model.sha256[:12]}…): name them with --weights"
        )
    return model


@lru_cache(maxsize=8)
def _cached_metadata(path: Path, modified: int) -> dict[str, Any]:  # noqa: ARG001 -- part of the cache's key
    with path.open("rb") as file:
        return _metadata(file, path)


def _metadata(file: IO[bytes], path: Path) -> dict[str, Any]:
    """Read the head of a safetensors file: eight bytes of length, then JSON."""
    length = int.from_bytes(file.read(8), "little")
    try:
        head = json.loads(file.read(length)) if length <= LONGEST_HEAD else {}
        metadata: dict[str, Any] = json.loads(head.get("__metadata__", {}).get(_METADATA_KEY, "{}"))
    except (ValueError, TypeError, AttributeError) as error:
        raise CrysiftError(
            f"{path} cannot be read as a safetensors file of crysift ({error}): is it complete, and no "
            "pointer of Git LFS?"
        ) from error
    if metadata.get("format") != FORMAT:
        raise CrysiftError(
            f"{path} has model format {metadata.get('format')}, this version of crysift reads {FORMAT}: "
            "train the model again, or use the version that wrote it"
        )
    return metadata


def _architecture(metadata: dict[str, Any]) -> _Architecture:
    name = metadata["architecture"]
    if name not in _ARCHITECTURES:
        raise CrysiftError(
            f"the model is of the architecture {name!r}, this version of crysift knows "
            f"{', '.join(_ARCHITECTURES)}: use the version that trained it"
        )
    return _ARCHITECTURES[name]


def _shape(metadata: dict[str, Any]) -> Shape:
    values = {
        name: tuple(value) if isinstance(value, list) else value for name, value in metadata["shape"].items()
    }
    return _architecture(metadata).shape(**values)


def _confidence(metadata: dict[str, Any]) -> Confidence:
    return Confidence(**metadata["confidence"])


def _packed(ids: tuple[str, ...]) -> NDArray[np.uint8]:
    """Names as one compressed text: thousands of them differ in a few letters."""
    return np.frombuffer(bytearray(zlib.compress("\n".join(ids).encode())), np.uint8)


def _unpacked(data: NDArray[np.uint8]) -> tuple[str, ...]:
    return tuple(zlib.decompress(data.tobytes()).decode().split("\n"))


def _assembled(tensors: dict[str, torch.Tensor], metadata: dict[str, Any], digest: str) -> Model:
    network = _architecture(metadata).network(_shape(metadata))
    prefix = "network."
    network.load_state_dict(
        {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    )
    network.requires_grad_(False).eval()
    reference = Reference(
        inputs=tensors["reference.inputs"].float().numpy(),
        ids=_unpacked(tensors["reference.ids"].numpy()),
        units=tensors["reference.units"].numpy(),
        classes=tensors["reference.classes"].long().numpy(),
        calibration=tensors["reference.calibration"].numpy(),
        calibration_classes=tensors["reference.calibration_classes"].long().numpy(),
    )
    return Model(
        network=network,
        labels=tuple(metadata["labels"]),
        features=metadata["features"],
        reference=reference,
        card=metadata["card"],
        sha256=digest,
        confidence=_confidence(metadata),
    )
