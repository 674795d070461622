"""Processes beside a benchmark: servers on this machine, and the one in which the work is measured."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil

from engine.errors import CrysiftError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_SPAWN = multiprocessing.get_context("spawn")

Tell = Callable[[str], None]
Serve = Callable[..., None]
"""Serves until it is ended; its first argument is to be told the address."""


@contextmanager
def server(serve: Serve, *arguments: Any) -> Iterator[str]:
    """Run a server in a process of its own; yields its address.

    Raises:
        CrysiftError: it ends before it has one.
    """
    here, there = _SPAWN.Pipe(duplex=False)
    process = _SPAWN.Process(target=_serve, args=(there, serve, arguments), daemon=True)
    process.start()
    there.close()
    try:
        yield here.recv()
    except EOFError as error:
        raise CrysiftError(f"the server {serve.__name__} did not start: see its message above") from error
    finally:
        process.terminate()
        process.join()


def _serve(there: Connection, serve: Serve, arguments: tuple[Any, ...]) -> None:
    if len(cores := _cores()) > 1:
        _keep_to(cores[:-1])
    serve(there.send, *arguments)


@contextmanager
def worker(*, one_core: bool = False) -> Iterator[Callable[..., Any]]:
    """Start a process for work to be measured; yields what calls a function in it.

    With ``one_core``, all its threads share the last core, which servers leave to it.
    """
    pool = ProcessPoolExecutor(1, _SPAWN, _keep_to, (_cores()[-1:] if one_core else _cores(),))
    with pool:
        yield lambda function, *arguments: pool.submit(function, *arguments).result()


@contextmanager
def workers(count: int) -> Iterator[Callable[[Callable[[Any], Any], Iterable[Any]], list[Any]]]:
    """Start processes that share work to be measured; yields what applies a function to many tasks."""
    with ProcessPoolExecutor(count, _SPAWN) as pool:
        yield lambda function, tasks: list(pool.map(function, tasks))


def _cores() -> list[int]:
    """The cores that this process may use; none where the system cannot tell (macOS)."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _keep_to(cores: list[int]) -> None:
    """Keep all threads of this process, and those that they will start, to some cores."""
    for thread in psutil.Process().threads() if cores else []:
        os.sched_setaffinity(thread.id, cores)
