"""The reference server of the optimade package, a process of its own on loopback, with entries in memory."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

START = 60.0
"""Seconds within which the server has to answer."""


@contextmanager
def optimade_server(entries: Sequence[dict[str, Any]], **settings: str | int) -> Iterator[str]:
    """Serve entries, and return the base URL; ``settings`` are those of the server, ``page_limit_max=20``."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        data = Path(folder, "entries.jsonl")
        data.write_text("\n".join(json.dumps(document) for document in _documents(entries)) + "\n")
        environment = {
            "HOME": folder,
            "OPTIMADE_DATABASE_BACKEND": "mongomock",
            "OPTIMADE_INSERT_FROM_JSONL": str(data),
            "OPTIMADE_INSERT_TEST_DATA": "false",
            "OPTIMADE_GZIP": '{"enabled": true, "minimum_size": 500}',
            "OPTIMADE_LOG_DIR": folder,
            **{f"OPTIMADE_{name.upper()}": str(value) for name, value in settings.items()},
        }
        command = [sys.executable, "-m", "uvicorn", "optimade.server.main:app"]
        with Path(folder, "log").open("w+") as log:
            process = subprocess.Popen(
                [*command, "--fd", str(listener.fileno()), "--log-level", "warning"],
                env=os.environ | environment,
                pass_fds=[listener.fileno()],
                stdout=log,
                stderr=log,
            )
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            try:
                _wait(url, process, Path(log.name))
                yield url
            finally:
                process.terminate()
                process.wait(10)


def _documents(entries: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Lines of the file: times as the database stores them, or filters by time find nothing."""
    yield {"x-optimade": {"meta": {"api_version": "1.2.0"}}}
    for entry in entries:
        attributes = entry["attributes"]
        if isinstance(attributes.get("last_modified"), str):
            attributes = attributes | {"last_modified": {"$date": attributes["last_modified"]}}
        yield entry | {"attributes": attributes}


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START
    while process.poll() is None and time.monotonic() < deadline:
        try:
            httpx.get(f"{url}/versions", timeout=START).raise_for_status()
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"the OPTIMADE server does not start: {log.read_text()[-2000:]}")
