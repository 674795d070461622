"""SIGTERM stops a command in order, with exit status 143."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.jobs.running import crysift

START = """
import os, signal, sys
from jobs.termination import interrupt_status, stop_on_sigterm
stop_on_sigterm()
def terminate():
    os.kill(os.getpid(), signal.SIGTERM)
    for _ in range(1000): pass
try:
"""
END = """
    import time
    time.sleep(60)
except KeyboardInterrupt:
    terminate()  # a shell passes the same request on
    sys.exit(interrupt_status())
"""
IN_A_CALLBACK = """
    class Garbage:
        def __del__(self): terminate()
    Garbage()
"""


@pytest.mark.parametrize("body", ["    terminate()", IN_A_CALLBACK], ids=["", "in a callback"])
def test_a_termination_is_never_dropped_and_counts_once(body: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", START + body + END], capture_output=True, timeout=30, check=False
    )
    assert (ended.returncode, ended.stderr) == (143, b"")


@pytest.mark.slow
def test_a_terminated_screening_says_how_to_go_on_and_does(crystal_files: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    command = ["screen", str(crystal_files), "--store", str(store), "--executor", "inline"]
    command += ["--passes", "200000"]
    running = subprocess.Popen(
        [sys.executable, "-m", "crysift", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list(store.glob("features_soap-*/part-*")) and time.monotonic() < deadline:
        assert running.poll() is None, running.communicate()
        time.sleep(0.05)
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 143, err
    assert "run the same command to go on" in err
    assert "Traceback" not in err
    assert not list(store.glob("*/*.tmp"))
    [features] = store.glob("features_soap-*/part-*")
    before = features.stat().st_mtime_ns
    went_on = crysift(*command, "--json")
    assert went_on.json()["accounted"]
    assert features.stat().st_mtime_ns == before
