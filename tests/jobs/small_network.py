"""A small network on diffraction patterns, made in a second: it knows fcc, bcc and sc."""

from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk

from engine.columns import contiguous, fixed_size_values
from engine.descriptors.diffraction import DiffractionSettings
from engine.descriptors.diffraction.stage import DiffractionStage
from engine.structure import Structure, structures_table
from models.convnet import ConvNet, ConvNetShape
from models.inference import representations
from models.ood import Reference
from models.weights_file import Model, save_model

CRYSTALS: dict[str, Atoms] = {
    "fcc": bulk("Cu"),
    "diamond": bulk("Si"),
    "bcc": bulk("Fe"),
    "sc": bulk("Po", "sc", a=3.35),
}
UNFAMILIAR = "diamond"
"""The class that the network tells apart, but that is far from all that counts as known."""


def write_small_network(folder: Path) -> Path:
    """Save an untrained network whose classifier is solved for, so that it is right about its crystals."""
    torch.set_num_threads(1)
    images = _images()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ConvNet(ConvNetShape(filters=(4, 4), dense=64)).requires_grad_(False).eval()
    points = representations(network, images)
    [classifier] = network.head.linear_layers
    classifier.weight.copy_(10 * torch.linalg.pinv(torch.relu(points)).T)
    classifier.bias.zero_()
    labels = tuple(CRYSTALS)
    known = np.flatnonzero(np.array(labels) != UNFAMILIAR)
    reference = Reference(
        inputs=network.head_inputs(images, points).numpy()[known],
        classes=known,
        ids=tuple(f"taught:{labels[row]}" for row in known),
        units=np.ones(1, np.float32),
        calibration=np.linspace(1e-3, 2e-2, 99, dtype=np.float32),
        calibration_classes=known[np.arange(99) % 3],
    )
    features = {"channels": DiffractionSettings().channels, "mask": DiffractionSettings().mask}
    save_model(Model(network, labels, features, reference, {"note": "test"}), folder)
    return folder


def _images() -> torch.Tensor:
    structures = [Structure.from_ase(atoms, "taught", name) for name, atoms in CRYSTALS.items()]
    vectors = contiguous(DiffractionStage(device="cpu").open()(structures_table(structures))["vector"])
    return torch.from_numpy(fixed_size_values(vectors).reshape(len(CRYSTALS), -1).copy())
