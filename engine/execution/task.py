"""One part through one stage: the work that every executor does, wherever it runs."""

import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import CrysiftError
from engine.execution.events import PartDone
from engine.schema import STATUS_FAILED
from engine.stage import BatchFunction, Stage
from engine.store import Table


class StageError(Exception):
    """A stage function raised or broke its promise: a defect, so never retried."""


@dataclass(frozen=True)
class StageTask:
    """What a worker needs to know to do parts of a stage; picklable."""

    stage: Stage
    source: Table
    target: Table

    def open(self) -> Callable[[str], PartDone]:
        """Open the stage, once per worker, and return the function that does one part."""
        try:
            function = self.stage.open()
        except CrysiftError:
            raise
        except Exception as error:
            message = f"stage {self.stage.name} cannot be opened: {type(error).__name__}: {error}"
            raise _defect(message) from error
        return lambda part: run_part(self.stage, function, self.source, self.target, part)


def run_part(stage: Stage, function: BatchFunction, source: Table, target: Table, part: str) -> PartDone:
    """Read a part's columns, apply the stage's function, check its promise and commit the result.

    Raises StageError, naming the stage and the part, for whatever the function does wrong; CrysiftError where
    the store cannot be read or written.
    """
    started = time.perf_counter()
    footer = source.footer(part)
    batch = source.read(part, stage.reads.names)
    try:
        result = checked(stage, batch, function(batch))
    except CrysiftError:
        raise
    except Exception as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # compiled code wraps Ctrl-C in a SystemError
            raise error.__cause__ from error
        raise _defect(f"stage {stage.name} failed on {part}: {type(error).__name__}: {error}") from error
    failures = _failures(result)
    failed = sum(failures.values())
    target.commit(
        part,
        result,
        source_part=part,
        source_hash=footer.content_hash,
        rows_in=batch.num_rows,
        failed=failed,
        cost=float(result.num_rows - failed),
    )
    return PartDone(stage.name, part, result.num_rows, failures, time.perf_counter() - started, footer.cost)


def checked(stage: Stage, batch: pa.Table, result: pa.Table) -> pa.Table:
    """Return the result with the stage's declared schema, one row per input row in the input's order.

    Raises ValueError naming what differs.
    """
    if result.column_names != stage.writes.names:
        raise ValueError(f"it returned the columns {result.column_names}, not {stage.writes.names}")
    for field in stage.writes:
        column = result.column(field.name)
        if column.type != field.type:
            raise ValueError(f"it returned {field.name!r} as {column.type}, not {field.type}")
        if column.null_count and not field.nullable:
            raise ValueError(f"it returned {column.null_count} nulls in {field.name!r}")
    if not result.column("structure_id").equals(batch.column("structure_id")):
        raise ValueError(
            f"it returned {result.num_rows} rows for {batch.num_rows}, or in another order: "
            "the structure_id columns differ"
        )
    return result.cast(stage.writes)


def _defect(message: str) -> StageError:
    """Make a StageError with the present traceback as a note, which survives the way back from a worker."""
    defect = StageError(message)
    defect.add_note(traceback.format_exc())
    return defect


def _failures(result: pa.Table) -> dict[str, int]:
    """Count the failed rows by their error class."""
    failed = result.filter(pc.equal(result.column("status"), STATUS_FAILED))
    return dict(sorted(Counter(failed.column("error_class").to_pylist()).items()))
