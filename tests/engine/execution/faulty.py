"""A stage that meets faults before it works; importing it takes little, for its processes are many."""

import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import CrysiftError
from engine.schema import STATUS_COLUMNS, STRUCTURE_ID
from engine.stage import BatchFunction, Stage

STRUCTURES = pa.schema([STRUCTURE_ID, pa.field("nsites", pa.int32(), nullable=False)])
Death = Literal["SIGKILL", "SIGSEGV", "SIGABRT", "exit status 3"]


def structures(rows: int) -> pa.Table:
    return pa.table([[f"a:{i}" for i in range(rows)], pa.array(range(rows), pa.int32())], schema=STRUCTURES)


@dataclass(frozen=True)
class CubeStage(Stage):
    """The cube of the number of sites."""

    name: ClassVar[str] = "features_cube"
    source: ClassVar[str] = "structures"
    revision: ClassVar[int] = 1

    @property
    def reads(self) -> pa.Schema:
        return STRUCTURES

    @property
    def writes(self) -> pa.Schema:
        return pa.schema([STRUCTURE_ID, *STATUS_COLUMNS, pa.field("cube", pa.int64())])

    def settings(self) -> dict[str, Any]:
        return {}

    def open(self) -> BatchFunction:
        return self._apply

    def _apply(self, batch: pa.Table) -> pa.Table:
        none = pa.nulls(batch.num_rows, pa.string())
        cubes = pc.power(pc.cast(batch["nsites"], pa.int64()), 3)
        status = pa.repeat("ok", batch.num_rows)
        return pa.table([batch["structure_id"], status, none, none, none, cubes], schema=self.writes)


@dataclass(frozen=True)
class CopyStage(CubeStage):
    """The content of every row, however large."""

    @property
    def writes(self) -> pa.Schema:
        return pa.schema([STRUCTURE_ID, *STATUS_COLUMNS, pa.field("content", pa.large_binary())])

    def _apply(self, batch: pa.Table) -> pa.Table:
        none = pa.nulls(batch.num_rows, pa.string())
        status = pa.repeat("ok", batch.num_rows)
        columns = [batch["structure_id"], status, none, none, none, batch["content"]]
        return pa.table(columns, schema=self.writes)


@dataclass(frozen=True)
class FaultyStage(Stage):
    """Another stage that meets a fault, if there is one, when it is opened and before every batch."""

    before: Callable[[pa.Table], None] | None = None
    opening: Callable[[], None] | None = None
    inner: Stage = CubeStage()

    name: ClassVar[str] = "features_faulty"
    source: ClassVar[str] = "structures"
    revision: ClassVar[int] = 1

    @property
    def reads(self) -> pa.Schema:
        return self.inner.reads

    @property
    def writes(self) -> pa.Schema:
        return self.inner.writes

    def settings(self) -> dict[str, Any]:
        return {}

    def open(self) -> BatchFunction:
        if self.opening:
            self.opening()
        function = self.inner.open()

        def apply(batch: pa.Table) -> pa.Table:
            if self.before:
                self.before(batch)
            return function(batch)

        return apply


def die(death: Death) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if death == "SIGKILL":
        os.kill(os.getpid(), signal.SIGKILL)
    elif death == "SIGSEGV":
        ctypes.string_at(0)
    elif death == "SIGABRT":
        os.abort()
    else:
        os._exit(3)


def die_of(poison: Mapping[str, Death], batch: pa.Table) -> None:
    for structure_id in batch["structure_id"].to_pylist():
        if structure_id in poison:
            die(poison[structure_id])


def sign_and_die_of(folder: Path, poison: Mapping[str, Death], batch: pa.Table) -> None:
    """Leave a file named by the process that has begun to work."""
    (folder / str(os.getpid())).touch()
    die_of(poison, batch)


def chat(batch: pa.Table) -> None:
    """Print in several ways, and read what is there to read."""
    print("chatter", flush=True)  # noqa: T201
    os.write(1, b"chatter\n")
    sys.stdout.buffer.write(b"x" * 100_000)
    assert sys.stdin.read() == ""


def report_threads(batch: pa.Table) -> None:
    raise CrysiftError(f"OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']}")


def divide_by_zero(batch: pa.Table) -> None:
    1 / 0  # noqa: B018


class UnpicklableError(Exception):
    """An exception whose constructor takes more than its message."""

    def __init__(self, row: int, column: str) -> None:
        super().__init__(f"row {row} of {column}")


def raise_unpicklable(batch: pa.Table) -> None:
    raise UnpicklableError(3, "nsites")


def fail_to_open() -> None:
    raise ValueError("at opening")


def ask(folder: Path, batch: pa.Table) -> None:
    """Ask by a file whether to go on, and wait until it is taken away, or for death."""
    question = folder / f"{os.getpid()}.{time.monotonic_ns()}"
    question.touch()
    while question.exists():
        time.sleep(0.001)
