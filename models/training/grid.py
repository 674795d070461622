"""SOAP vectors of structures on a grid of descriptor settings: the training set of a network."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.columns import StructureColumns
from engine.descriptors.soap import SOAP_WIDTH, SmearedSoapSettings, compile_kernel, soap_vector
from engine.errors import CrysiftError, check_between
from engine.execution.events import Listener, ignore
from engine.schema import STATUS_COLUMNS, STATUS_OK, STRUCTURE_ID, STRUCTURES
from engine.stage import BatchFunction, Stage
from engine.structure import Structure
from models.training.randomness import random_generator
from models.training.vectors import stage_vectors

PAIRS_PER_PART = 5e7
"""Neighbour pairs, summed over structures and grid points: a few seconds of work."""
MOST_MIXED = 10_000
"""Vectors of one structure whose pairs of species have scales of their own."""


@dataclass(frozen=True)
class GridSettings:
    """The descriptor settings that training covers; by default those of Leitherer et al. 2021, Methods."""

    cutoffs: tuple[float, ...] = (3.0, 3.2, 3.4, 3.6, 3.8, 4.0, 4.2, 4.4, 4.6, 4.8, 5.0)
    sigmas: tuple[float, ...] = (0.08, 0.10, 0.12)
    scales: tuple[float, ...] = (0.95, 1.0, 1.05)
    basis: Literal["quip", "gto"] = "quip"
    smearings: tuple[float, ...] = (0.0,)
    """How far atoms are displaced, see `SmearedSoapSettings`."""
    mixed: int = 0
    """Further vectors of every structure in which each ordered pair of species has a scale of its own, drawn
    from `mixed_scales`, at the central cutoff and σ, with one smearing after the other. Disorder moves each
    d_NN(α, β) by itself, and far where a pair has neighbours at several distances."""
    mixed_scales: tuple[float, ...] = ()
    """What the scales of the pairs are drawn from; `scales`, where there is none."""

    def __post_init__(self) -> None:
        for dimension in ("cutoffs", "sigmas", "scales", "smearings"):
            if not getattr(self, dimension):
                raise CrysiftError(f"descriptor grid: there are no {dimension}: name at least one value")
        check_between("descriptor grid: mixed", self.mixed, 0, MOST_MIXED)
        for scale in self.mixed_scales:
            SmearedSoapSettings(scale=scale)  # settings check themselves, as those of the points do
        _ = self.points

    @cached_property
    def points(self) -> tuple[SmearedSoapSettings, ...]:
        """Every combination, cutoff slowest and smearing fastest; the mixed ones are not among them."""
        return tuple(
            SmearedSoapSettings(cutoff=cutoff, sigma=sigma, scale=scale, basis=self.basis, smearing=smearing)
            for cutoff, sigma, scale, smearing in itertools.product(
                self.cutoffs, self.sigmas, self.scales, self.smearings
            )
        )

    @cached_property
    def mixed_points(self) -> tuple[SmearedSoapSettings, ...]:
        """The settings of the mixed vectors, but for the scales of their pairs."""
        cutoff, sigma = (values[len(values) // 2] for values in (self.cutoffs, self.sigmas))
        smearings = itertools.islice(itertools.cycle(self.smearings), self.mixed)
        return tuple(
            SmearedSoapSettings(cutoff=cutoff, sigma=sigma, basis=self.basis, smearing=smearing)
            for smearing in smearings
        )

    @property
    def size(self) -> int:
        """Vectors of one structure."""
        return len(self.points) + self.mixed


@dataclass(frozen=True)
class GridStage(Stage):
    """All vectors of a structure, one grid point after the other in one fixed-size list."""

    name: ClassVar[str] = "features_grid"
    source: ClassVar[str] = "structures"
    revision: ClassVar[int] = 2
    grid: GridSettings = GridSettings()

    @property
    def reads(self) -> pa.Schema:
        """What a descriptor is computed from."""
        needed = (
            "structure_id",
            "species_at_sites",
            "cartesian_site_positions",
            "lattice_vectors",
            "dimension_types",
        )
        return pa.schema([STRUCTURES.field(name) for name in needed])

    @property
    def writes(self) -> pa.Schema:
        """`vectors` holds the vectors of the grid's points and the mixed ones, one after the other."""
        width = self.grid.size * SOAP_WIDTH
        vectors = pa.field("vectors", pa.list_(pa.field("element", pa.float32()), width))
        return pa.schema([STRUCTURE_ID, *STATUS_COLUMNS, vectors])

    def settings(self) -> dict[str, Any]:
        """The grid."""
        grid = self.grid
        return {
            "cutoffs": list(grid.cutoffs),
            "sigmas": list(grid.sigmas),
            "scales": list(grid.scales),
            "smearings": list(grid.smearings),
            "mixed": grid.mixed,
            "mixed_scales": list(grid.mixed_scales),
            "basis": grid.basis,
        }

    def open(self) -> BatchFunction:
        """Compile the kernel, or load it from the cache, and return the function."""
        compile_kernel(self.grid.points[0])
        return self._featurize

    def _featurize(self, batch: pa.Table) -> pa.Table:
        columns = StructureColumns.from_table(batch)
        by_name = np.argsort(np.argsort(np.array(columns.labels, str)))  # so that no other structure matters
        vectors = np.zeros((len(columns), self.grid.size, SOAP_WIDTH), dtype=np.float32)
        for row, structure_id in enumerate(columns.structure_ids.to_pylist()):
            positions, species, lattice, periodic = columns.row(row)
            atoms = (positions, by_name[species], lattice, periodic)
            for point, settings in enumerate(self.grid.points):
                vectors[row, point] = soap_vector(*atoms, settings).vector
            random = random_generator(0, structure_id)
            pairs = (len(np.unique(species)),) * 2
            for point, settings in enumerate(self.grid.mixed_points, start=len(self.grid.points)):
                scales = random.choice(self.grid.mixed_scales or self.grid.scales, size=pairs)
                vectors[row, point] = soap_vector(*atoms, settings, scales).vector
        nothing = pa.nulls(len(columns), pa.string())
        ok = pa.array([STATUS_OK] * len(columns), pa.string())
        lists = pa.FixedSizeListArray.from_arrays(vectors.reshape(-1), type=self.writes.field("vectors").type)
        arrays = [columns.structure_ids, ok, nothing, nothing, nothing, lists]
        return pa.Table.from_arrays(arrays, schema=self.writes)


def grid_vectors(
    folder: str | Path, structures: Sequence[Structure], grid: GridSettings, listener: Listener = ignore
) -> NDArray[np.float32]:
    """Vectors (structures, size, 316) of all structures, in their order, through a store in `folder`.

    The store then holds these structures and no others; an interrupted call resumes where it stopped. Raises
    CrysiftError where the folder holds other structures.
    """
    pairs = PAIRS_PER_PART / grid.size
    vectors = stage_vectors(folder, structures, GridStage(grid), "vectors", pairs, listener)
    return vectors.reshape(len(structures), grid.size, SOAP_WIDTH)
