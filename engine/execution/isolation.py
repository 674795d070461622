"""A stage's function in a child process, so that a structure that kills its process is a failed row."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing import Pipe
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import pyarrow as pa
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from engine.errors import CrysiftError
from engine.execution import isolated_child
from engine.execution.isolated_child import read_table, table_bytes
from engine.schema import STATUS_FAILED
from engine.stage import BatchFunction, Stage

ATTEMPTS = 3
"""Processes that may die in a row on one row alone, or while they open the stage."""

KILLERS_ALLOWED = 16
"""Rows of one batch that may kill their process; more are hardly the structures' fault."""

_PIECES = 32
"""Cuts of a range whose process died: a new process takes seconds to open the stage, a call far less."""

_SECONDS_TO_EXIT = 10.0
"""Granted to a process that has closed its connection."""


@contextmanager
def isolated(stage: Stage) -> Iterator[BatchFunction]:
    """The stage's function, applied in a child process to ever shorter ranges of rows where that dies.

    A row on which three processes in a row die becomes a failed row of class ``ProcessKilled``; all others
    are what the function returns. The child has this process's environment and import path and dies with it,
    on Linux with the thread that calls; daemonic processes and Ray actors may start it. Nothing ends a
    function that never returns. Raises
    CrysiftError where more than 16 rows of a batch kill their process, or where three in a row die while they
    open the stage; exceptions of the stage as they are, with the child's traceback as a note.
    """
    with closing(_Isolation(stage)) as isolation:
        yield isolation.apply


class _ProcessDiedError(Exception):
    """The child process is dead; the message says how it ended."""


class _Isolation:
    """The stage in a child process that is replaced when it dies."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._child: _Child | None = None

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None

    def apply(self, batch: pa.Table) -> pa.Table:
        results: list[pa.Table] = []
        killers: list[str] = []
        waiting = [batch]
        while waiting:
            rows = waiting.pop()
            try:
                result = self._attempt(rows) if rows.num_rows > 1 else _persistent(self._attempt)(rows)
            except _ProcessDiedError as death:
                if rows.num_rows > 1:
                    waiting.extend(reversed(_cut(rows)))
                    continue
                killers.extend(rows["structure_id"].to_pylist())
                self._check(killers, death)
                result = self._failed(rows, death)
            results.append(result.cast(self._stage.writes))
        return pa.concat_tables(results)

    def _attempt(self, rows: pa.Table) -> pa.Table:
        child = self._opened()
        try:
            return child.apply(rows)
        except _ProcessDiedError:
            self.close()
            raise

    def _opened(self) -> "_Child":
        if self._child is None:
            try:
                self._child = _persistent(_Child)(self._stage)
            except _ProcessDiedError as death:
                raise CrysiftError(
                    f"{ATTEMPTS} processes in a row died while they opened stage {self._stage.name}; "
                    f"the last {death}: run with fewer workers, or with --executor inline to see the cause"
                ) from death
        return self._child

    def _check(self, killers: list[str], death: _ProcessDiedError) -> None:
        if len(killers) > KILLERS_ALLOWED:
            raise CrysiftError(
                f"{len(killers)} structures of one part kill the process of stage {self._stage.name}, and at "
                f"most {KILLERS_ALLOWED} are made failed rows; on {killers[-1]} the process {death}: "
                "run with fewer workers, or with --executor inline to see the cause"
            ) from death

    def _failed(self, rows: pa.Table, death: _ProcessDiedError) -> pa.Table:
        """Failed rows in place of those that kill their process."""
        reason = {
            "status": STATUS_FAILED,
            "error_stage": self._stage.name,
            "error_class": "ProcessKilled",
            "error_message": f"all of {ATTEMPTS} processes died on this structure alone; the last {death}",
        }
        writes = self._stage.writes
        kept = rows.select([name for name in writes.names if name in rows.column_names]).to_pylist()
        return pa.Table.from_pylist([{**row, **reason} for row in kept], schema=writes)


class _Child:
    """A child process that has opened the stage."""

    def __init__(self, stage: Stage) -> None:
        self._connection, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 -- our own script
                [sys.executable, "-P", isolated_child.__file__, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=2,  # whatever the stage prints goes where errors go
                pass_fds=[theirs.fileno()],
            )
        try:
            self._exchange(pickle.dumps(sys.path), cloudpickle.dumps(stage))
        except BaseException:
            self.kill()
            raise

    def apply(self, rows: pa.Table) -> pa.Table:
        return read_table(self._exchange(table_bytes(rows)))

    def kill(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def _exchange(self, *requests: Any) -> bytes:
        """Send what the child waits for and return its answer; raises what the stage raised in the child."""
        try:
            for request in requests:
                self._connection.send_bytes(request)
            error = self._connection.recv()
            answer = b"" if error is not None else self._connection.recv_bytes()
        except (EOFError, OSError) as closed:
            raise _ProcessDiedError(self._end()) from closed
        if error is not None:
            raise error
        return answer

    def _end(self) -> str:
        """Say how the process ended, as the rest of a sentence about it."""
        try:
            status = self._process.wait(_SECONDS_TO_EXIT)
        except subprocess.TimeoutExpired:
            return "closed its connection"
        if status >= 0:
            return f"ended with exit status {status}"
        if -status == signal.SIGKILL:
            return "was killed by SIGKILL, most often for lack of memory"
        return f"was killed by {_signal_name(-status)}"


_persistent = retry(
    retry=retry_if_exception_type(_ProcessDiedError), stop=stop_after_attempt(ATTEMPTS), reraise=True
)


def _cut(rows: pa.Table) -> list[pa.Table]:
    size = -(-rows.num_rows // _PIECES)
    return [rows.slice(start, size) for start in range(0, rows.num_rows, size)]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have none
        return f"signal {number}"
