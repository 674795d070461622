"""A few thousand small crystals in a Parquet file of many small parts, the same ones every time."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from connectors.examples import ExamplesConnector
from engine.structure import Structure, candidates_table

ROWS_PER_PART = 20
LARGEST = 24
DISPLACEMENT = 0.05
"""Å, standard deviation: no two copies of a crystal are the same."""


def write_structures(path: Path, count: int) -> Path:
    """Write ``count`` embedded crystals with displaced atoms, in row groups that each become one part."""
    crystals = [crystal.atoms for crystal in ExamplesConnector()._crystals if len(crystal.atoms) <= LARGEST]
    generator = np.random.default_rng(4)
    structures = []
    for index in range(count):
        atoms = crystals[index % len(crystals)].copy()
        atoms.positions += generator.normal(scale=DISPLACEMENT, size=atoms.positions.shape)
        structures.append(Structure.from_ase(atoms, "displaced", f"{index:06d}"))
    pq.write_table(candidates_table(structures), path, row_group_size=ROWS_PER_PART)
    return path
