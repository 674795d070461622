"""What a stage is: a pure function on Arrow tables, and a declaration of what it needs and makes."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import pyarrow as pa

from engine.errors import CrysiftError

BatchFunction = Callable[[pa.Table], pa.Table]
Engine = Literal["dask", "ray"]
Device = Literal["auto", "cpu", "cuda"]
"""Where a stage computes; "auto": on a GPU where its workers have one. Never part of a fingerprint."""

START = "structures"


@dataclass(frozen=True)
class Resources:
    """What one worker of a stage occupies: cores, GPUs (fractions share one) and bytes of memory."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory_bytes: int = 512 * 1024**2

    def __post_init__(self) -> None:
        """Raise ValueError for needs that no machine can meet."""
        if self.cpus <= 0 or self.gpus < 0 or self.memory_bytes <= 0:
            raise ValueError(f"a worker needs cores and memory, not {self}")


def decided(device: Device, on_gpu: Callable[[], bool]) -> Device:
    """Return the device, where "auto" was asked the one that ``on_gpu`` tells."""
    if device != "auto":
        return device
    return "cuda" if on_gpu() else "cpu"


class Stage(ABC):
    """A derivation of one table from another; subclasses are picklable frozen dataclasses of settings.

    ``name`` is the table written, without hash; ``source`` the name of the table read; ``revision`` is
    raised when a change of code changes numbers. ``engine`` is the cluster that runs the stage, and
    ``cluster_from`` the cost above which starting it pays, in the unit of the source's parts: neighbour pairs
    for structures, usable rows otherwise.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    revision: ClassVar[int]
    engine: ClassVar[Engine] = "dask"
    cluster_from: ClassVar[float] = 2e6

    @property
    @abstractmethod
    def reads(self) -> pa.Schema:
        """Columns that the batch function needs, ``structure_id`` first."""

    @property
    @abstractmethod
    def writes(self) -> pa.Schema:
        """Columns that the batch function returns, ``structure_id`` and the status columns first."""

    @property
    def resources(self) -> Resources:
        """What one worker occupies."""
        return Resources()

    def placed(self, *, on_gpu: Callable[[], bool]) -> Self:  # noqa: ARG002 -- for stages that can use one
        """Return the stage with its device decided; ``on_gpu`` tells whether its workers have GPUs.

        A device changes no setting of the fingerprint.
        """
        return self

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Everything that determines the numbers, as flat names and JSON values."""

    def model_hash(self) -> str | None:
        """SHA-256 of the weights, None for a stage without a model."""
        return None

    @abstractmethod
    def open(self) -> BatchFunction:
        """Load models and warm kernels, once per worker; return the pure function on tables.

        It returns exactly one row per input row, in the input's order: a row that it cannot process comes
        back with status ``failed``, its error and nulls; one that already failed passes with its first error.
        """


def check_pipeline(stages: Sequence[Stage], start: pa.Schema) -> None:
    """Check before anything runs that each stage finds its columns, with their types, in its source's output.

    ``start`` is the schema of ``structures``. Raises CrysiftError naming the column and both stages.
    """
    written: dict[str, pa.Schema] = {START: start}
    for stage in stages:
        if stage.source not in written:
            raise CrysiftError(
                f"stage {stage.name} reads the table {stage.source}, which no earlier stage writes; "
                f"there are {', '.join(written)}: put the stage that writes {stage.source} before it"
            )
        check_reads(stage, written[stage.source], stage.source)
        written[stage.name] = stage.writes


def check_reads(stage: Stage, available: pa.Schema, writer: str) -> None:
    """Check that ``available``, the columns that ``writer`` provides, serves what ``stage`` reads.

    Raises CrysiftError naming the column, both sides and the types.
    """
    for field in stage.reads:
        if field.name not in available.names:
            raise CrysiftError(
                f"stage {stage.name} reads the column {field.name!r}, which {writer} does not provide; "
                f"{writer} has {', '.join(available.names)}"
            )
        found = available.field(field.name).type
        if found != field.type:
            raise CrysiftError(
                f"stage {stage.name} reads the column {field.name!r} as {field.type}, "
                f"but {writer} provides it as {found}: use settings of both stages that agree"
            )
