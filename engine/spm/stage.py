"""The stage that describes the boxes of a structure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.descriptors.features import Failure, features_table
from engine.descriptors.soap import SOAP_WIDTH, SoapResult, SoapSettings, compile_kernel
from engine.schema import BOX_COLUMNS, BOX_FACTS, FEATURE_TYPE, SOAP_FACTS, SPM_BOXES, features_schema
from engine.spm.atoms import AtomsTable, BrickReader
from engine.spm.boxes import by_frame
from engine.spm.exact import SPARSE, BoxVectors, exact_vectors
from engine.spm.grid import Grid
from engine.spm.settings import SoapMode
from engine.spm.shared import check_settings, compile_sums, halo, shared_vectors
from engine.stage import BatchFunction, Resources, Stage

BOXES = pa.schema(BOX_COLUMNS)
SPM_SOAP = features_schema(SOAP_WIDTH, FEATURE_TYPE, (*SOAP_FACTS, *BOX_FACTS))


@dataclass(frozen=True)
class BoxSoapStage(Stage):
    """spm_boxes → spm_soap, one vector per box with enough atoms.

    A worker reads the atoms that its block of boxes needs, and no others.
    """

    atoms: AtomsTable
    grid: Grid
    soap: SoapSettings = field(default_factory=SoapSettings)
    mode: SoapMode = "exact"
    min_atoms: int = 20

    def __post_init__(self) -> None:
        """Refuse settings that the mode cannot serve."""
        if self.mode == "shared":
            check_settings(self.soap)

    name: ClassVar[str] = "spm_soap"
    source: ClassVar[str] = "spm_boxes"
    revision: ClassVar[int] = 1

    @property
    def reads(self) -> pa.Schema:
        """The boxes."""
        return SPM_BOXES

    @property
    def writes(self) -> pa.Schema:
        """A features table with the columns of the boxes."""
        return SPM_SOAP

    @property
    def resources(self) -> Resources:
        """One core."""
        return Resources(memory_bytes=1024**3)

    def settings(self) -> dict[str, Any]:
        """The grid, and all that determines a vector."""
        mine = {"mode": self.mode, "min_atoms": self.min_atoms}
        return {**self.grid.to_json(), **asdict(self.soap), **mine}

    def open(self) -> BatchFunction:
        """Compile the kernels and find the atoms; return the function on tables of boxes."""
        compile_kernel(self.soap)
        if self.mode == "shared":
            compile_sums(self.grid.shape, self.soap)
        reader = self.atoms.reader()
        return lambda table: self._described(table, reader)

    def _described(self, table: pa.Table, reader: BrickReader) -> pa.Table:
        """Describe a block of boxes, which may be of several frames."""
        results: list[SoapResult | Failure] = [SPARSE] * len(table)
        n_atoms = np.zeros(len(table), np.int32)
        for frame, rows, indices in by_frame(table):
            vectors = self._vectors(reader, frame, indices)
            n_atoms[rows] = vectors.n_atoms
            for row, result in zip(rows, vectors.results, strict=True):
                results[row] = result
        features = features_table(table["structure_id"], self.name, results, features_schema(SOAP_WIDTH))
        columns = [*features.columns, *(table[name] for name in BOXES.names), pa.array(n_atoms)]
        return pa.table(columns, schema=SPM_SOAP)

    def _vectors(self, reader: BrickReader, frame: int, indices: NDArray[np.int32]) -> BoxVectors:
        low, high = self.grid.extent(indices)
        if self.mode == "exact":
            region = reader.within(frame, low, high)
            return exact_vectors(region, self.grid, indices, self.soap, self.min_atoms)
        reach = halo(self.grid)
        region = reader.within(frame, low - reach, high + reach)
        return shared_vectors(region, self.grid, indices, self.soap, self.min_atoms)
