"""The stage that turns the structures table into SOAP vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.columns import StructureColumns
from engine.descriptors.features import GEOMETRY, ROW_ERRORS, Failure, disordered, features_table
from engine.descriptors.neighbors import Ints
from engine.descriptors.soap.settings import SOAP_WIDTH, SoapSettings
from engine.descriptors.soap.vector import SoapResult, checked, compile_kernel, soap_vector
from engine.schema import features_schema
from engine.stage import BatchFunction, Device, Resources, Stage, decided

_DISORDERED = disordered("SOAP")


@dataclass(frozen=True)
class SoapStage(Stage):
    """structures → features_soap, one vector per structure."""

    soap: SoapSettings = field(default_factory=SoapSettings)
    device: Device = "auto"
    """Where the torch backend computes; "auto" takes a GPU if there is one. Not part of the fingerprint."""

    name: ClassVar[str] = "features_soap"
    source: ClassVar[str] = "structures"
    revision: ClassVar[int] = 1

    @property
    def reads(self) -> pa.Schema:
        """Geometry and species of the structures."""
        return GEOMETRY

    @property
    def writes(self) -> pa.Schema:
        """`features_schema` for 316 components."""
        return features_schema(SOAP_WIDTH)

    @property
    def resources(self) -> Resources:
        """One core; with PyTorch more memory, and a GPU where one is used."""
        if self.soap.backend != "torch":
            return Resources()
        return Resources(gpus=float(self.device == "cuda"), memory_bytes=1024**3)

    def placed(self, *, on_gpu: Callable[[], bool]) -> Self:
        """Return the stage on "cuda" or "cpu", where the torch backend was asked for and "auto"."""
        if self.soap.backend != "torch":
            return self
        return replace(self, device=decided(self.device, on_gpu))

    def settings(self) -> dict[str, Any]:
        """All of `SoapSettings`."""
        return asdict(self.soap)

    def open(self) -> BatchFunction:
        """Compile the kernel (or load it from numba's cache) and return `soap_features`."""
        compile_kernel(self.soap)
        if self.soap.backend != "torch":
            return lambda table: soap_features(table, self.soap)
        import torch

        torch.set_num_threads(1)  # one core per worker
        on_gpu = self.placed(on_gpu=torch.cuda.is_available).device == "cuda"
        return lambda table: soap_features(table, self.soap, "cuda" if on_gpu else "cpu")


def soap_features(
    table: pa.Table, settings: SoapSettings, device: Literal["cpu", "cuda"] = "cpu"
) -> pa.Table:
    """SOAP vectors of a batch of structures: the rows of a `features_soap` table, in the same order.

    `device` is where the torch backend computes.
    """
    columns = StructureColumns.from_table(table)
    ordered = table["is_ordered"].to_numpy()
    species = species_codes(columns, table["atomic_numbers"])
    if settings.backend == "torch":
        results = _batch_vectors(columns, species, ordered, settings, device)
    else:
        results = [
            _row_vector(columns, species, index, settings) if ordered[index] else _DISORDERED
            for index in range(len(columns))
        ]
    usable = [checked(result) for result in results]
    return features_table(table["structure_id"], SoapStage.name, usable, features_schema(SOAP_WIDTH))


def species_codes(columns: StructureColumns, atomic_numbers: pa.ChunkedArray) -> Ints:
    """Codes (N,) that are equal where the species are: elements where these are known, labels elsewhere.

    Two labels may stand for one element ("Fe1", "Fe2"); a partially occupied site has a label only.
    """
    numbers = atomic_numbers.combine_chunks()
    lengths = np.where(numbers.is_null().to_numpy(zero_copy_only=False), 0, columns.nsites)
    known = np.repeat(lengths > 0, columns.nsites)
    codes = columns.species + 256
    codes[known] = numbers.flatten().to_numpy(zero_copy_only=False)
    return codes


def _row_vector(
    columns: StructureColumns, species: Ints, index: int, settings: SoapSettings
) -> SoapResult | Failure:
    """The vector of one row, or why it has none."""
    positions, _, lattice, periodic = columns.row(index)
    sites = slice(columns.offsets[index], columns.offsets[index + 1])
    try:
        return soap_vector(positions, species[sites], lattice, periodic, settings)
    except ROW_ERRORS as error:
        return _failure(error, len(positions))


def _batch_vectors(
    columns: StructureColumns, species: Ints, ordered: NDArray[np.bool_], settings: SoapSettings, device: str
) -> list[SoapResult | Failure]:
    """The vectors of all ordered rows at once; where that fails, of either half, down to single rows."""
    from engine.descriptors.soap.torch_backend import Batch, soap_batch

    def described(rows: Ints) -> list[SoapResult | Failure]:
        counts = columns.nsites[rows]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        sites = np.repeat(columns.offsets[rows] - offsets[:-1], counts) + np.arange(offsets[-1])
        batch = Batch(
            columns.positions[sites], species[sites], offsets, columns.lattices[rows], columns.periodic[rows]
        )
        try:
            return list(soap_batch(batch, settings, device))
        except ROW_ERRORS as error:
            if len(rows) == 1:
                return [_failure(error, int(counts[0]))]
            half = len(rows) // 2
            return described(rows[:half]) + described(rows[half:])

    results: list[SoapResult | Failure] = [_DISORDERED] * len(columns)
    rows = np.flatnonzero(ordered)
    for row, result in zip(rows, described(rows) if len(rows) else [], strict=True):
        results[row] = result
    return results


def _failure(error: Exception, sites: int) -> Failure:
    return Failure(type(error).__name__, f"SOAP failed on {sites} sites: {error}")
