from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import write

from tests.jobs.running import CRYSTALS, Answer, crysift
from tests.jobs.small_network import write_small_network


@pytest.fixture(scope="session")
def crystal_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four crystals, one clash of atoms and one file that is no CIF."""
    folder = tmp_path_factory.mktemp("crystals")
    for name, atoms in CRYSTALS.items():
        write(folder / f"{name}.extxyz", atoms)
    clash = bulk("Cu", cubic=True)
    clash.positions[1] = clash.positions[0]
    write(folder / "clash.extxyz", clash)
    (folder / "broken.cif").write_text("data_x\nthis is no crystal\n")
    return folder


@pytest.fixture(scope="session")
def screened(crystal_files: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer]:
    """A store into which the folder was screened, and what the command said."""
    store = tmp_path_factory.mktemp("stores") / "store"
    return store, crysift("screen", crystal_files, "--store", store, "--json")


@pytest.fixture(scope="session")
def diffraction_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network on diffraction patterns, as a folder."""
    return write_small_network(tmp_path_factory.mktemp("diffraction-weights"))
