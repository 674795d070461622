"""Promises of the event log."""

import json
from datetime import datetime
from pathlib import Path

from engine.execution import EventLog, execute, plan_stage
from engine.store import Store
from tests.engine.execution.stages import SquareStage, fill


def test_the_log_holds_every_event_with_its_time(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    fill(store, parts=2)
    run = store.start_run("featurize", {})
    execute(plan_stage(store, SquareStage(), "inline"), EventLog(run))
    lines = [json.loads(line) for line in run.folder.open("events.jsonl").read().splitlines()]
    assert [line["event"] for line in lines] == ["StageStarted", "PartDone", "PartDone", "StageFinished"]
    assert [line["part"] for line in lines[1:3]] == ["part-001", "part-000"]
    times = [datetime.fromisoformat(line["time"]) for line in lines]
    assert times == sorted(times)
    assert lines[0]["description"] == "features_square: 10 rows in 2 parts, in this process"
    assert lines[-1]["rows"] == 10
