"""A Ray head with its dashboard on 127.0.0.1, as `ray start` makes one, on free ports."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_PORTS = (
    "port",
    "dashboard-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "ray-client-server-port",
    "runtime-env-agent-port",
    "node-manager-port",
    "object-manager-port",
    "metrics-export-port",
)
_READY = "Ray runtime started"
_ATTEMPTS = 3


@dataclass(frozen=True)
class RayHead:
    """Where the dashboard is, and the folder in which the head keeps its files and logs."""

    url: str
    folder: Path
    process: "subprocess.Popen[bytes]"


@contextmanager
def ray_head(cwd: Path, environment: dict[str, str] | None = None) -> Iterator[RayHead]:
    """Start a head with two CPUs in a folder; ``environment`` is added to this process's own."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # paths of sockets must be short
    own = {"RAY_AUTH_MODE": "disabled", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    try:
        head = _started(folder, cwd, {**os.environ, **own, **(environment or {})})
        try:
            yield head
        finally:
            head.process.send_signal(signal.SIGTERM)
            try:
                head.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                head.process.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _started(folder: Path, cwd: Path, environment: dict[str, str]) -> RayHead:
    """Start a head, and once more where it gives itself up, as it does on a machine with too much to do."""
    said = ""
    for attempt in range(_ATTEMPTS):
        ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
        command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"]
        command += ["--node-ip-address=127.0.0.1", "--num-cpus=2", f"--object-store-memory={80 * 1024**2}"]
        command += [f"--temp-dir={folder}", "--disable-usage-stats"]
        command += [f"--{name}={port}" for name, port in ports.items()]
        log = folder / f"head-{attempt}.log"
        with log.open("wb") as handle:
            process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=handle, stderr=handle)
        while process.poll() is None:
            if _READY in log.read_text():
                return RayHead(f"http://127.0.0.1:{ports['dashboard-port']}", folder, process)
            time.sleep(0.2)
        said = log.read_text()
    raise AssertionError(said)


def _free_ports(count: int) -> list[int]:
    """Return ports between those of Ray's workers and those that the system gives to connections."""
    free: list[int] = []
    while len(free) < count:
        port = random.randrange(20_000, 32_000)  # noqa: S311 -- no secret
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            free.append(port)
    return free
