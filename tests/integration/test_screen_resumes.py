"""The whole screening, on real crystals and real clusters, killed without warning and started again."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from engine.store import Store
from jobs import screen
from jobs.settings import ExecutionSettings, ScreenSettings
from models.stage import PredictArise

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PASSES = 50
KILLS = 6
ROOT = Path(__file__).parents[2]


def start(store: Path) -> "subprocess.Popen[bytes]":
    command = ["screen", "examples:", "--store", str(store), "--passes", str(PASSES), "--executor", "cluster"]
    return subprocess.Popen(
        [sys.executable, "-m", "crysift", *command, "--quiet"], cwd=ROOT, start_new_session=True
    )


def prediction_parts(store: Path) -> dict[str, bytes]:
    [table] = store.glob("predictions_arise-*")
    return {part.name: part.read_bytes() for part in table.iterdir()}


def identities(store: Path) -> list[tuple[str, bytes]]:
    table = Store.open(store).structures.scan(["structure_id", "content_hash"]).to_table()
    return sorted(zip(table["structure_id"].to_pylist(), table["content_hash"].to_pylist(), strict=True))


def test_a_screening_killed_again_and_again_ends_with_the_rows_of_one_that_was_not(tmp_path: Path) -> None:
    settings = ScreenSettings(
        models=(PredictArise(passes=PASSES),), execution=ExecutionSettings(executor="inline")
    )
    whole = screen("examples:", tmp_path / "whole", settings)
    assert whole.summary["accounted"]
    moments = np.random.default_rng(11)
    killed = 0
    for _ in range(KILLS):
        driver = start(tmp_path / "killed")
        try:
            driver.wait(timeout=moments.uniform(2.0, 14.0))
            break
        except subprocess.TimeoutExpired:
            os.kill(driver.pid, signal.SIGKILL)
            driver.wait()
            killed += 1
        finally:
            with suppress(ProcessLookupError):  # workers that outlived their driver
                os.killpg(driver.pid, signal.SIGKILL)
    assert killed >= 2
    assert start(tmp_path / "killed").wait() == 0
    assert identities(tmp_path / "killed") == identities(tmp_path / "whole")
    assert prediction_parts(tmp_path / "killed") == prediction_parts(tmp_path / "whole")
