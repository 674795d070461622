"""What the progress bars tell."""

import logging

import pytest

from engine.execution import PageDone, PageRead, PartDone, PassageStarted, StageFinished, StageStarted
from jobs.console import Console
from jobs.progress import INGEST, ProgressBars


def test_an_ingest_counts_pages_as_they_arrive_and_what_was_there_before() -> None:
    with ProgressBars(Console(quiet=True)) as bars:
        bars(PassageStarted("db", 0))
        (task,) = bars._bars.tasks
        assert (task.description, task.completed) == (INGEST, 0)
        bars(PageDone("db", "a", rows=90, rejected=5, known=5, skipped=True, seconds=0.1))
        bars(PageRead("db", "b", entries=20, announced=1000))
        bars(PageDone("db", "b", rows=19, rejected=1, known=0, skipped=False, seconds=0.1))
        assert task.completed == 120
        assert task.fields["failed"] == "6 rejected"


def started(rows: int, description: str) -> StageStarted:
    return StageStarted("stage", 1, rows, 0, "inline", 1, 1.0, description)


def test_a_stage_begins_with_what_its_plan_says(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBars(Console()) as bars:
        bars(started(5, "stage: 5 rows in 1 part, 3 of 8 workers fit into 4.0 GiB"))
    assert "stage: 5 rows in 1 part, 3 of 8 workers fit into 4.0 GiB" in capsys.readouterr().err


def test_a_stage_without_rows_has_neither_bar_nor_note(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBars(Console()) as bars:
        bars(started(0, "stage: 0 rows in 1 part"))
        bars(PartDone("stage", "part-a", rows=0, failures={}, seconds=0.1, cost=0.0))
        bars(StageFinished("stage", 1, 0, 0, 0, 0.1))
        assert not bars._bars.tasks
    assert "stage" not in capsys.readouterr().err


def test_what_a_connector_says_while_it_waits_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("connectors.http")
    with ProgressBars(Console()):
        log.warning("db.example: 503 Service Unavailable; attempt %d of 8 in 2.0 s", 2)
    assert capsys.readouterr().err.count("attempt 2 of 8") == 1
    assert not logging.getLogger("connectors").handlers
