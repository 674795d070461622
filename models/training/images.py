"""Fingerprints and space groups of structures, kept in stores between interruptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.descriptors.diffraction import DiffractionSettings
from engine.descriptors.diffraction.stage import DiffractionStage
from engine.execution.events import Listener
from engine.structure import Structure
from models.training.symmetry import SymmetryStage
from models.training.vectors import stage_vectors

Images = NDArray[np.float16]

PAIRS_PER_PART = 5e6
"""Predicted neighbour pairs: some 400 crystals of 128 atoms, a few seconds of work."""


@dataclass(frozen=True)
class ImageStores:
    """Stores in one folder, by the name of the set of structures that each holds."""

    folder: Path
    descriptor: DiffractionSettings
    listener: Listener

    def images(self, name: str, structures: Sequence[Structure]) -> Images:
        """Fingerprints (structures, pixels)."""
        stage = DiffractionStage(self.descriptor)
        folder = self.folder / f"{name}-store"
        return stage_vectors(folder, structures, stage, "vector", PAIRS_PER_PART, self.listener)

    def space_groups(self, name: str, structures: Sequence[Structure]) -> NDArray[np.int16]:
        """What spglib finds (structures, tolerances)."""
        folder = self.folder / f"{name}-symmetry-store"
        return stage_vectors(folder, structures, SymmetryStage(), "vector", PAIRS_PER_PART, self.listener)
