"""Promises of `crysift status`: what a store holds, and how far a run is that works elsewhere."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from engine.execution import (
    EngineStarted,
    Event,
    EventLog,
    PartDamaged,
    PartDone,
    PartIsolated,
    StageFinished,
    StageStarted,
    WorkerLost,
    WorkersChanged,
    execute,
    plan_stage,
)
from engine.execution.events import PageDone, PageRead, PassageStarted
from engine.store import Run, Store
from jobs import runs
from jobs.cli import app
from jobs.commands.status import duration
from jobs.contents import table_states
from jobs.runs import PACE_SECONDS, Pace, RunProgress, latest_runs
from tests.engine.execution.stages import SquareStage, fill
from tests.jobs.running import crysift

DRIVE = """
import sys
from engine.execution.events import ignore
from engine.store import Store
from jobs.pipeline import derive, recorded_run
from jobs.settings import ExecutionSettings
from tests.engine.execution.stages import SquareStage

store, stage = Store.open(sys.argv[1]), SquareStage(faults=sys.argv[2])
with recorded_run(store, "featurize", {}, ignore) as (run, tell):
    derive(store, stage, store.structures, ExecutionSettings("inline"), tell)
    run.finish({})
"""
"""A driver in a process of its own, as on another machine."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.open(tmp_path / "store", create=True)
    fill(store, parts=9)
    return store


@contextmanager
def driver_that_waits(store: Store, faults: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a driver that does 8 of 9 parts and waits at the last, until the sign is taken away."""
    faults.mkdir()
    sign = faults / "part-000"
    sign.write_text("wait")
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVE, store.folder.url, str(faults)], cwd=Path(__file__).parents[2]
    )
    try:
        deadline = time.monotonic() + 60
        while not list(faults.glob("part-000.met.*")):
            assert driver.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield driver
    finally:
        driver.kill()
        driver.wait()


def status(store: Store) -> dict[str, Any]:
    answer: dict[str, Any] = crysift("status", "--store", store.folder.url, "--json").json()
    return answer


def told(store: Store) -> str:
    return CliRunner().invoke(app, ["status", "--store", store.folder.url]).output


def unlucky(store: Store, parts: int) -> int:
    """Rows of 13 sites in the last parts, which are done first."""
    sites: list[int] = store.structures.scan(["nsites"]).to_table()["nsites"].to_pylist()
    return sites[-5 * parts :].count(13)


def test_status_tells_how_far_a_run_is_and_that_it_has_ended(store: Store, tmp_path: Path) -> None:
    with driver_that_waits(store, tmp_path / "faults") as driver:
        (run,) = status(store)["runs"]
        assert (run["state"], run["command"], run["host"]) == ("running", "featurize", os.uname().nodename)
        assert run["silent_seconds"] < 60
        (stage,) = run["stages"]
        assert (stage["rows_done"], stage["rows"]) == (40, 45)
        assert (stage["parts_done"], stage["parts"]) == (8, 9)
        assert stage["failures"] == {"UnluckyNumber": unlucky(store, parts=8)}
        assert stage["structures_per_second"] > 0
        assert stage["seconds_left"] > 0
        assert f"at work on {run['host']}, last heard of " in told(store)
        assert "40 of 45" in told(store)
        (tmp_path / "faults" / "part-000").unlink()
        assert driver.wait(timeout=60) == 0
    (run,) = status(store)["runs"]
    assert (run["state"], run["finished"]) == ("finished", True)
    assert "finished" in told(store)


def test_a_killed_run_is_told_from_one_at_work_by_its_silence(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with driver_that_waits(store, tmp_path / "faults") as driver:
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
    (run,) = latest_runs(store)
    assert run.state == "running"  # nobody can know yet
    monkeypatch.setattr(runs, "SILENT_AFTER_SECONDS", 0.0)
    (run,) = latest_runs(store)
    assert run.state == "unfinished"
    assert run.as_json()["stages"][0]["rows_done"] == 40
    assert "the same command goes on" in told(store)


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_failures_of_the_whole_store_are_grouped_by_class(kind: str, tmp_path: Path) -> None:
    url = str(tmp_path / "store") if kind == "local" else f"memory://{uuid4().hex}/store"
    store = Store.open(url, create=True)
    fill(store, parts=9)
    execute(plan_stage(store, SquareStage(), "inline"))
    structures, features = table_states(store)
    failed = unlucky(store, parts=9)
    assert (structures["rows"], structures["failures"], structures["failed"]) == (45, {}, None)
    assert (features["rows"], features["failed"]) == (45, failed)
    assert features["failures"] == {"UnluckyNumber": failed}
    assert features["missing_parts"] == 0


def test_a_damaged_part_is_named_and_all_others_are_counted(store: Store) -> None:
    execute(plan_stage(store, SquareStage(), "inline"))
    folder = store.latest("features_square").folder
    path = Path(folder.path("part-004.parquet"))
    path.write_bytes(path.read_bytes()[:-20])
    structures, features = table_states(store)
    assert (structures["rows"], structures["damaged_parts"]) == (45, {})
    assert list(features["damaged_parts"]) == ["part-004"]
    assert (features["parts"], features["rows"], features["missing_parts"]) == (9, 40, 1)
    said = crysift("status", "--store", store.folder.url)
    assert said.status == 0
    assert f"{folder.name} has 1 damaged part, such as part-004" in said.err


def record(store: Store, *events: Event) -> Run:
    run = store.start_run("screen", {})
    log = EventLog(run)
    for event in events:
        log(event)
    return run


def test_status_tells_the_fate_of_workers_and_parts_and_where_the_dashboard_is(store: Store) -> None:
    record(
        store,
        PartDamaged("features_soap-01234567", "part-x", "truncated"),
        StageStarted("features_soap", 10, 1000, 24, "dask", 4, 100.0, "10 parts"),
        EngineStarted("features_soap", "dask", "http://head:8787/status"),
        WorkersChanged("features_soap", 1, 4),
        WorkersChanged("features_soap", 3, 4),
        PartDone("features_soap", "part-a", 100, {"Disordered": 2}, 1.0, 10.0),
        PartDone("features_soap", "part-b", 100, {"Disordered": 1, "NoNeighbours": 2}, 1.0, 10.0),
        WorkerLost("features_soap", "part-c", 1),
        WorkerLost("features_soap", "part-c", 2),
        PartIsolated("features_soap", "part-c", 2),
    )
    said = told(store)
    assert "200 of 1,000" in said
    assert "3 of 4" in said
    assert "features_soap: 3 Disordered, 2 NoNeighbours" in said
    assert "features_soap: 2 workers lost" in said
    assert "features_soap: part-c cost several workers" in said
    assert "dask dashboard http://head:8787/status" in said
    assert "part-x was damaged (truncated)" in said
    (run,) = status(store)["runs"]
    assert (run["stages"][0]["workers"], run["stages"][0]["skipped_rows"]) == (3, 24)
    assert run["damaged_parts"][0]["part"] == "part-x"


def test_an_ingest_counts_entries_and_rejects_and_ends_with_the_next_stage(store: Store) -> None:
    record(
        store,
        PassageStarted("db", 0),
        PageDone("db", "old", rows=90, rejected=5, known=5, skipped=True, seconds=0.1),
        PageRead("db", "new", entries=20, announced=None),
        PageDone("db", "new", rows=19, rejected=1, known=0, skipped=False, seconds=0.1),
        StageStarted("features_soap", 1, 19, 0, "inline", 1, 5.0, "1 part"),
    )
    ingest, soap = latest_runs(store)[0].as_json()["stages"]
    assert (ingest["rows_done"], ingest["skipped_rows"], ingest["failures"]) == (20, 100, {"rejected": 6})
    assert (ingest["finished"], soap["finished"]) == (True, False)


def test_records_of_another_version_are_signs_of_life_and_no_error(store: Store) -> None:
    run = record(store, StageFinished("features_soap", 1, 10, 0, 0, 1.0))
    run.record({"event": "FutureEvent", "surprise": 1})
    run.record({"event": "PartDone", "stage": "features_soap", "failed": 3})
    *_, last = run.events()
    progress = RunProgress(run.started)
    for entry in run.events():
        progress.take(entry)
    assert progress.heard == datetime.fromisoformat(last["time"]).timestamp()


def test_many_newer_runs_do_not_hide_one_at_work(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    long = record(store, StageStarted("features_soap", 1, 19, 0, "inline", 1, 5.0, "1 part"))
    later = Store(store.folder)
    for second in range(8):
        name = f"29990101T00000{second}Z-00000{second}"
        Run(later.folder.child("runs").child(name)).finish({})
    shown = [run.run.folder.name for run in latest_runs(store)]
    assert len(shown) == runs.RUNS_SHOWN + 1
    assert shown[-1] == long.folder.name


def test_the_pace_is_that_of_the_last_minutes() -> None:
    pace = Pace(begun=0.0)
    for second in range(1000):
        pace.add(second, rows=10, cost=1.0)
    for second in range(1000, 2000):
        pace.add(second, rows=1000, cost=100.0)
    assert pace.at(2000.0) == pytest.approx((1000.0, 100.0), rel=0.01)
    assert pace.at(2000.0 + PACE_SECONDS)[0] == pytest.approx(500.0, rel=0.01)


def test_the_pace_of_few_long_parts_is_their_mean() -> None:
    pace = Pace(begun=0.0)
    for part in range(1, 4):
        pace.add(600.0 * part, rows=1200, cost=6.0)
    assert pace.at(1800.0) == pytest.approx((2.0, 0.01))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (75, "75 s"),
        (180, "3 min"),
        (5700, "1 h 35 min"),
        (50_000, "14 h"),
        (400_000, "5 days"),
    ],
)
def test_a_duration_is_said_as_a_person_does(seconds: float, words: str) -> None:
    assert duration(seconds) == words
