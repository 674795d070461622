"""The child process of an isolated stage: a script that starts with the standard library alone.

It is run by its file, so that neither its folder nor the working directory is on its path; pyarrow and the
stage's packages are imported where the parent finds them, once the parent's path has arrived.
"""

import ctypes
import os
import pickle
import signal
import sys
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1


def serve(connection: "Connection[Any, Any]") -> None:
    """Open the stage that arrives after the import path, then answer every batch with its result.

    An answer is None and the bytes, or the exception alone. Returns when the parent closes the connection.
    """
    sys.path[:] = connection.recv()
    try:
        function = pickle.loads(connection.recv_bytes()).open()  # noqa: S301 -- from our parent
    except Exception as error:  # noqa: BLE001 -- raised by the parent
        connection.send(_portable(error))
        return
    connection.send(None)
    connection.send_bytes(b"")
    while True:
        request = connection.recv_bytes()
        try:
            answer = table_bytes(function(read_table(request)))
        except Exception as error:  # noqa: BLE001 -- raised by the parent
            connection.send(_portable(error))
        else:
            connection.send(None)
            connection.send_bytes(answer)


def table_bytes(table: Any) -> Any:
    """An Arrow table as a buffer in Arrow's stream format; of a slice, only its own rows."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def read_table(content: bytes) -> Any:
    """The Arrow table that `table_bytes` wrote."""
    import pyarrow as pa

    with pa.ipc.open_stream(content) as stream:
        return stream.read_all()


def _portable(error: Exception) -> Exception:
    """Add the traceback, which does not travel, as a note; replace an exception that cannot be pickled."""
    error.add_note(f"In the child process: {traceback.format_exc()}")
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 -- our own bytes
    except Exception:  # noqa: BLE001 -- whatever an exception's own constructor raises
        substitute = RuntimeError(f"{type(error).__name__}: {error}")
        substitute.__notes__ = error.__notes__
        return substitute
    return error


def _attach(parent: int) -> None:
    """Leave Ctrl-C to the parent, die with it, and be what the kernel kills first when memory runs out.

    Linux sends SIGKILL when the parent, or its thread that started this process, ends; elsewhere the closed
    connection ends this process after the batch in hand.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    if os.getppid() != parent:
        sys.exit("the parent died before this process was attached to it")


def main(handle: int, parent: int) -> None:
    """Serve the parent, whose process number is given, over the inherited socket ``handle``."""
    _attach(parent)
    with suppress(EOFError), Connection(handle) as connection:
        serve(connection)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
