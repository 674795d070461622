from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from engine.store import Store
from jobs.screening import screen
from jobs.settings import ExecutionSettings, ScreenSettings
from models.stage import PredictArise

KINDS = {
    "rocksalt": bulk("NaCl", "rocksalt", a=5.64),
    "cesiumchloride": bulk("CsCl", "cesiumchloride", a=4.12),
    "copper": bulk("Cu", cubic=True),
}
EACH = 60
INLINE = ExecutionSettings(executor="inline")


def crystals(kind: str, count: int, seed: int) -> list[Atoms]:
    """Cells of one kind, each strained and displaced a little in its own way."""
    random = np.random.default_rng(seed)
    cells = [KINDS[kind] * (2, 2, 2) for _ in range(count)]
    for cell in cells:
        cell.set_cell(cell.cell @ (np.eye(3) + 0.01 * random.normal(size=(3, 3))), scale_atoms=True)
        cell.positions += 0.03 * random.normal(size=cell.positions.shape)
    return cells


def write_crystals(folder: Path, count: int, seed: int) -> None:
    """One file of several crystals for each kind."""
    folder.mkdir(exist_ok=True)
    for kind in KINDS:
        write(folder / f"{kind}-{seed}.extxyz", crystals(kind, count, seed))


def screen_into(folder: Path, store: Path) -> Store:
    """Screen a folder with few passes."""
    settings = ScreenSettings(models=(PredictArise(passes=20, weights="arise-robust"),), execution=INLINE)
    screen([str(folder)], store, settings)
    return Store.open(store)


@pytest.fixture(scope="session")
def screened_kinds(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of `EACH` crystals of every kind; tests work on copies."""
    folder = tmp_path_factory.mktemp("kinds")
    write_crystals(folder / "files", EACH, seed=0)
    return screen_into(folder / "files", folder / "store")
