"""A stage small enough to read at a glance, with the faults that the tests need; importable by workers."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from engine.schema import STATUS_COLUMNS, STRUCTURE_ID
from engine.stage import BatchFunction, Stage
from engine.store import Store

STRUCTURES = pa.schema([STRUCTURE_ID, pa.field("nsites", pa.int32(), nullable=False)])


@dataclass(frozen=True)
class SquareStage(Stage):
    """The square of the number of sites; fails rows of 13 sites.

    ``faults`` is a folder: a part whose name is a file there meets the fault that the file holds, such as
    ``die once``, ``wait``, or ``die always on row 3`` in whatever batch that row is.
    """

    power: int = 2
    faults: str = ""

    name: ClassVar[str] = "features_square"
    source: ClassVar[str] = "structures"
    revision: ClassVar[int] = 1
    cluster_from: ClassVar[float] = 100.0

    @property
    def reads(self) -> pa.Schema:
        return STRUCTURES

    @property
    def writes(self) -> pa.Schema:
        return pa.schema([STRUCTURE_ID, *STATUS_COLUMNS, pa.field("square", pa.int64())])

    def settings(self) -> dict[str, Any]:
        return {"power": self.power}

    def open(self) -> BatchFunction:
        return self._apply

    def _apply(self, batch: pa.Table) -> pa.Table:
        self._meet_fault(batch)
        unlucky = pc.equal(batch["nsites"], 13)
        null = pa.scalar(None, pa.string())
        return pa.table(
            [
                batch["structure_id"],
                pc.if_else(unlucky, "failed", "ok"),
                pc.if_else(unlucky, self.name, null),
                pc.if_else(unlucky, "UnluckyNumber", null),
                pc.if_else(unlucky, "13 sites", null),
                pc.if_else(unlucky, None, pc.cast(pc.power(batch["nsites"], self.power), pa.int64())),
            ],
            schema=self.writes,
        )

    def _meet_fault(self, batch: pa.Table) -> None:
        if not self.faults or not batch.num_rows:
            return
        part = batch["structure_id"][0].as_py().rsplit(":", 1)[0]
        sign = Path(self.faults) / part
        if not sign.exists():
            return
        fault, _, row = sign.read_text().partition(" on row ")
        if row and f"{part}:{row}" not in batch["structure_id"].to_pylist():
            return
        (Path(self.faults) / f"{part}.met.{time.monotonic_ns()}").write_text(str(os.getpid()))
        if fault == "die once":
            sign.unlink()
        if fault.startswith("die"):
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "raise":
            raise ZeroDivisionError("a defect")
        if fault == "wait":
            while sign.exists():
                time.sleep(0.01)


@dataclass(frozen=True)
class ReversingStage(SquareStage):
    """Breaks the promise to keep the order of the rows."""

    def _apply(self, batch: pa.Table) -> pa.Table:
        return super()._apply(batch.take(list(range(batch.num_rows))[::-1]))


def fill(store: Store, parts: int, rows: int = 5) -> None:
    """Commit small parts of structures; every part's rows are named after it, and part i costs 100 + i."""
    for index in range(parts):
        name = f"part-{index:03d}"
        table = pa.table(
            [
                [f"{name}:{row}" for row in range(rows)],
                pa.array([10 + (index + row) % 7 for row in range(rows)], pa.int32()),
            ],
            schema=STRUCTURES,
        )
        store.structures.commit(name, table, source_part=None, rows_in=rows, failed=0, cost=100.0 + index)
