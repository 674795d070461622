"""Small networks, and the vectors that the authors published."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray

from engine.columns import contiguous, fixed_size_values
from models.convnet import ConvNet, ConvNetShape
from models.inference import representations
from models.network import Perceptron, PerceptronShape
from models.ood import Reference
from models.prototypes import prototypes
from models.weights_file import Model, save_model


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Compute as a model worker does."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def network() -> Perceptron:
    """An untrained network of the published shape, with inputs of unequal spread."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        built = Perceptron(PerceptronShape())
        built.fit_standardisation(torch.randn(64, 316) * torch.linspace(0.1, 2.0, 316) + 0.3)
    return built.requires_grad_(False).eval()


@pytest.fixture(scope="session")
def vectors() -> torch.Tensor:
    """Return 37 inputs: not a multiple of any block."""
    return torch.randn((37, 316), generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="session")
def model(network: Perceptron, vectors: torch.Tensor) -> Model:
    """The network with labels, reference and calibration."""
    calibration = np.linspace(0.1, 0.5, 99, dtype=np.float32)
    labels = tuple(prototype.label for prototype in prototypes())
    soap = {"cutoff": 4.0, "sigma": 0.1, "scale": 1.0, "basis": "quip"}
    reference = Reference(
        inputs=vectors.half().float().numpy(),
        classes=np.arange(37),
        ids=tuple(f"training:{row}" for row in range(37)),
        units=np.array([0.2, 0.4, 0.1], np.float32),
        calibration=calibration,
        calibration_classes=np.arange(99) % 37,
    )
    return Model(network, labels, soap, reference, {"note": "test"})


@pytest.fixture(scope="session")
def weights(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as a folder."""
    folder = tmp_path_factory.mktemp("weights")
    save_model(model, folder)
    return folder


@pytest.fixture(scope="session")
def convnet() -> ConvNet:
    """An untrained network of the published shape."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        built = ConvNet(ConvNetShape())
    return built.requires_grad_(False).eval()


@pytest.fixture(scope="session")
def images() -> torch.Tensor:
    """Return 21 patterns of some bright pixels in half precision: not a multiple of any block."""
    generator = torch.Generator().manual_seed(5)
    bright = torch.rand((21, 64 * 64), generator=generator)
    return bright.where(bright > 0.97, 0.0).half()


@pytest.fixture(scope="session")
def diffraction_model(convnet: ConvNet, images: torch.Tensor) -> Model:
    """The convolutional network with labels, reference and calibration."""
    points = representations(convnet, images)
    reference = Reference(
        inputs=convnet.head_inputs(images, points).half().float().numpy(),
        classes=np.arange(21) % 4,
        ids=tuple(f"training:{row}" for row in range(21)),
        units=np.ones(1, np.float32),
        calibration=np.linspace(0.1, 0.5, 99, dtype=np.float32),
        calibration_classes=np.arange(99) % 4,
    )
    features = {"channels": "single", "mask": True}
    return Model(convnet, ("fcc", "diamond", "bcc", "sc"), features, reference, {"note": "test"})


@pytest.fixture(scope="session")
def diffraction_weights(diffraction_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The convolutional model as a folder."""
    folder = tmp_path_factory.mktemp("diffraction-weights")
    save_model(diffraction_model, folder)
    return folder


class Published(NamedTuple):
    """The published vectors (396, 316) with their labels and variants."""

    vectors: NDArray[np.float32]
    labels: list[str]
    variants: list[str]


@pytest.fixture(scope="session")
def published(shared_data: Path) -> Published:
    """The vectors of the pristine structures as the authors computed them."""
    table = pq.read_table(shared_data / "soap" / "published_pristine.parquet")
    vectors = fixed_size_values(contiguous(table["soap"])).reshape(len(table), -1).copy()
    return Published(vectors, table["label"].to_pylist(), table["variant"].to_pylist())
