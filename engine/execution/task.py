"""One part through one stage: the work that every executor does, wherever it runs."""

import dataclasses
import socket
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import CrysiftError
from engine.execution.events import PartDone
from engine.schema import STATUS_FAILED
from engine.stage import BatchFunction, Stage
from engine.store import Table, package_version

PartFunction = Callable[[str, bool], PartDone]
"""Does the part of this name; in isolation where it has cost workers before."""


class StageError(Exception):
    """A stage function raised or broke its promise: a defect, so never retried."""


@dataclass(frozen=True)
class StageTask:
    """What a worker needs to know to do parts of a stage; picklable.

    ``version`` is the driver's, of crysift: another one on a worker may compute other numbers.
    """

    stage: Stage
    source: Table
    target: Table
    version: str = dataclasses.field(default_factory=package_version)

    def warm(self) -> None:
        """Compile what workers compile at their start, so that they find it in the cache."""
        self._opened()

    def open(self) -> PartFunction:
        """Open the stage, once per worker, and return the function that does one part.

        Raises CrysiftError where this worker is not fit: another version, or a store that it does not see.
        """
        self._check_here()
        function = self._opened()

        def run(part: str, isolated: bool) -> PartDone:
            if not isolated:
                return run_part(self.stage, function, self.source, self.target, part)
            from engine.execution.isolation import isolated as in_child_process

            with in_child_process(self.stage) as careful:
                return run_part(self.stage, careful, self.source, self.target, part)

        return run

    def _opened(self) -> BatchFunction:
        try:
            return self.stage.open()
        except CrysiftError:
            raise
        except Exception as error:
            message = f"stage {self.stage.name} cannot be opened: {type(error).__name__}: {error}"
            raise _defect(message) from error

    def _check_here(self) -> None:
        host = socket.gethostname()
        if (here := package_version()) != self.version:
            raise CrysiftError(
                f"the worker on {host} has crysift {here}, the driver {self.version}: install one version on "
                "all nodes, or let `crysift submit` send its own"
            )
        folder = self.source.folder
        if folder.is_local and not Path(folder.url).is_dir():
            raise CrysiftError(
                f"the worker on {host} does not see {folder.url}: put the store on a file system that all "
                "nodes share, or on s3://"
            )


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
