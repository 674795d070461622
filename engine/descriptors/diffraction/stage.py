"""The stage that turns the structures table into diffraction fingerprints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.columns import StructureColumns, contiguous, list_rows
from engine.descriptors.diffraction.settings import DiffractionSettings
from engine.descriptors.features import GEOMETRY, ROW_ERRORS, Failure, disordered, features_table
from engine.schema import DIFFRACTION_FACTS, features_schema
from engine.stage import BatchFunction, Device, Resources, Stage, decided

if TYPE_CHECKING:
    from engine.descriptors.diffraction.crystal import Crystal

IMAGE_TYPE = pa.float16()
"""Eleven bits of a brightness between 0 and 1."""

_DISORDERED = disordered("the diffraction fingerprint")
_NOT_PERIODIC = Failure(
    "NotPeriodic",
    "the structure does not repeat along three vectors: the orientation of the diffraction fingerprint is "
    "that of a crystal's standard cell",
)


class Fingerprint(NamedTuple):
    """A structure's image and what it was made from."""

    vector: NDArray[np.float32]
    """(channels · 64 · 64,), channel by channel, row by row."""
    d_nn_mean: float
    """Å, the unit of length."""
    n_atoms: int
    """Atoms that diffract."""
    space_group: int
    """Of the standard cell."""


@dataclass(frozen=True)
class DiffractionStage(Stage):
    """structures → features_diffraction, one image per crystal."""

    diffraction: DiffractionSettings = field(default_factory=DiffractionSettings)
    device: Device = "auto"
    """Where patterns are computed; "auto" takes a GPU if there is one. Not part of the fingerprint."""

    name: ClassVar[str] = "features_diffraction"
    source: ClassVar[str] = "structures"
    revision: ClassVar[int] = 1

    @property
    def reads(self) -> pa.Schema:
        """Geometry and elements of the structures."""
        return GEOMETRY

    @property
    def writes(self) -> pa.Schema:
        """`features_schema` for an image in half precision."""
        return features_schema(self.diffraction.width, IMAGE_TYPE, DIFFRACTION_FACTS)

    @property
    def resources(self) -> Resources:
        """One core, and a GPU where one is used."""
        return Resources(gpus=float(self.device == "cuda"), memory_bytes=1024**3)

    def placed(self, *, on_gpu: Callable[[], bool]) -> Self:
        """Return the stage on "cuda" or "cpu", where "auto" was asked."""
        return replace(self, device=decided(self.device, on_gpu))

    def settings(self) -> dict[str, Any]:
        """All of `DiffractionSettings`."""
        return asdict(self.diffraction)

    def open(self) -> BatchFunction:
        """Look up the form factors, compile the neighbour search, and return the function on structures."""
        import torch

        from engine.descriptors.diffraction.crystal import compile_search
        from engine.descriptors.diffraction.detector import detector

        torch.set_num_threads(1)  # one core per worker
        device = self.placed(on_gpu=torch.cuda.is_available).device
        compile_search()
        detector(self.diffraction.mask)
        return lambda table: self._featurize(table, device)

    def _featurize(self, table: pa.Table, device: str) -> pa.Table:
        from engine.descriptors.diffraction.pattern import patterns

        results: list[Crystal | Failure] = diffracting_crystals(table)
        crystals = [result for result in results if not isinstance(result, Failure)]
        images = patterns(crystals, self.diffraction, device).flatten(1).cpu().numpy() if crystals else ()
        made = iter(
            Fingerprint(image, crystal.d_nn, len(crystal.numbers), crystal.space_group)
            for crystal, image in zip(crystals, images, strict=True)
        )
        rows = [result if isinstance(result, Failure) else _checked(next(made)) for result in results]
        return features_table(table["structure_id"], self.name, rows, self.writes)


def diffracting_crystals(table: pa.Table) -> list[Crystal | Failure]:
    """The finite crystals of a batch of structures that diffract, in order, or why there is none."""
    columns = StructureColumns.from_table(table)
    ordered = table["is_ordered"].to_numpy()
    numbers = list_rows(contiguous(table["atomic_numbers"]))
    return [
        _crystal(columns, row, numbers[row]) if ordered[row] else _DISORDERED for row in range(len(columns))
    ]


def _crystal(columns: StructureColumns, row: int, numbers: NDArray[np.int64]) -> Crystal | Failure:
    from engine.descriptors.diffraction.crystal import diffracting_crystal

    positions, _, lattice, periodic = columns.row(row)
    if not periodic.all():
        return _NOT_PERIODIC
    try:
        return diffracting_crystal(positions, numbers, lattice)
    except ROW_ERRORS as error:
        message = f"no standard cell of {len(positions)} sites: {error}"
        return Failure(type(error).__name__, message)


def _checked(fingerprint: Fingerprint) -> Fingerprint | Failure:
    """The fingerprint, if it can be used."""
    if np.isfinite(fingerprint.vector).all():
        return fingerprint
    return Failure("NonFinitePattern", "the diffraction pattern is undefined: do two atoms coincide?")
