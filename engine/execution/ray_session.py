"""The one connection of this process to Ray: to a cluster that runs already, or to one started here."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
if not any(name in os.environ for name in _TOKENS) and not (Path.home() / ".ray" / "auth_token").is_file():
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # else Ray may write a token into the home directory
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # else `uv run` uploads the working directory
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray  # noqa: E402 -- reads the variables above

from engine.errors import CrysiftError  # noqa: E402

_OBJECT_STORE_BYTES = 80 * 1024**2  # Ray's minimum, nearly: parts travel as Parquet files, not as objects

_REACHED_WITHIN_SECONDS = 10.0


@contextmanager
def connection(address: str) -> Iterator[None]:
    """Connect to a running cluster, ``auto`` or HOST:PORT; a connection that is already there is used.

    Raises CrysiftError where no cluster answers.
    """
    if ray.is_initialized():
        yield
        return
    try:
        _reach(address)
        _init(address=address)
    except (OSError, RuntimeError, ValueError) as error:
        raise CrysiftError(
            f"no Ray cluster answers at {address!r} ({error}): start one with `ray start --head`, name the "
            "HOST:PORT of its head, and give this process the cluster's token if it asks for one"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def local_session(cores: int, gpus: int, memory_bytes: int) -> Iterator[None]:
    """Start Ray on this machine for one stage and shut it down; a connection already there is used."""
    if ray.is_initialized():
        yield
        return
    _init(
        address="local",  # a RAY_ADDRESS in the environment would refuse the settings below
        _node_ip_address="127.0.0.1",  # nobody on the network is to reach it
        num_cpus=cores,
        num_gpus=gpus,
        _memory=memory_bytes,
        object_store_memory=_OBJECT_STORE_BYTES,
        include_dashboard=False,
    )
    try:
        yield
    finally:
        ray.shutdown()


def _init(**settings: Any) -> str:
    """Initialise Ray quietly, without the handler of SIGTERM that it puts in place of ours.

    Returns the HOST:PORT of its web page, empty without one.
    """
    handler = signal.getsignal(signal.SIGTERM)
    context = ray.init(log_to_driver=False, logging_level=logging.ERROR, **settings)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)
    return str(context.dashboard_url or "")


def _reach(address: str) -> None:
    """Raise OSError or ValueError where nobody listens: Ray itself would try for many minutes."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), _REACHED_WITHIN_SECONDS).close()


def alive_nodes() -> list[dict[str, Any]]:
    """The cluster's nodes that are alive, as Ray describes them."""
    return [node for node in ray.nodes() if node["Alive"]]


def dashboard() -> str | None:
    """Address of Ray's web page, None where the cluster has none."""
    place = _init(ignore_reinit_error=True)
    return f"http://{place}" if place else None
