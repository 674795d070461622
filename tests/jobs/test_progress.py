"""What the progress bars tell."""

import io
import logging
import re
import time

import pytest
from rich.console import Console as RichConsole

from engine.execution import (
    EngineStarted,
    PageDone,
    PageRead,
    PartDamaged,
    PartDone,
    PartIsolated,
    PassageStarted,
    StageFinished,
    StageStarted,
    WorkersChanged,
)
from engine.execution.events import INGEST
from jobs import progress
from jobs.console import Console
from jobs.progress import ProgressBars, progress_line


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


def test_a_file_gets_a_line_every_few_seconds_and_one_at_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_LINE_EVERY_SECONDS", 0.05)
    with ProgressBars(Console()) as bars:
        bars(started(3000, "stage: 3,000 rows in 3 parts"))
        bars(EngineStarted("stage", "ray", "http://127.0.0.1:8265"))
        bars(WorkersChanged("stage", 1, 4))
        bars(PartDone("stage", "part-a", rows=1000, failures={"NoNeighbors": 2}, seconds=0.1, cost=1.0))
        assert bars._lines is not None
        deadline = time.monotonic() + 30
        while not bars._lines._printed and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)  # the line is written, and as there is nothing new, no second one
        said = capsys.readouterr().err  # once: a line written meanwhile would be lost
        assert re.search(
            r"^▸ stage: 1,000 of 3,000 structures, 33 %, [\d,.]+ structures/s, 2 failed, 1 of 4 workers, "
            r"(\d+:\d\d:\d\d left, )?http://127\.0\.0\.1:8265$",
            said,
            re.MULTILINE,
        )
        bars(WorkersChanged("stage", 4, 4))
        bars(PartDone("stage", "part-b", rows=2000, failures={}, seconds=0.1, cost=1.0))
        bars(StageFinished("stage", 3, 3000, 2, 0, 0.1))
    lines = [line for line in (said + capsys.readouterr().err).splitlines() if line.startswith("▸")]
    assert len(lines) == 2
    assert re.search(r"3,000 of 3,000 structures, .* 2 failed, done in \d+:\d\d:\d\d, http", lines[1])


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBars(Console(quiet=True)) as bars:
        bars(started(5, "stage: 5 rows"))
        bars(PartDone("stage", "part-a", rows=5, failures={}, seconds=0.1, cost=1.0))
    assert capsys.readouterr().err == ""


def test_parts_that_need_care_are_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBars(Console()) as bars:
        bars(PartIsolated("stage", "part-a", 2))
        bars(PartDamaged("features", "part-b", "its checksum differs"))
    said = capsys.readouterr().err
    assert "stage: part-a has cost 2 workers" in said
    assert "features: part-b is damaged (its checksum differs) and is made again" in said


def test_a_terminal_links_the_bar_to_the_dashboard() -> None:
    console = Console()
    screen = io.StringIO()
    console.err = RichConsole(file=screen, force_terminal=True, width=160, highlight=False)
    with ProgressBars(console) as bars:
        bars(started(10, "stage: 10 rows"))
        bars(EngineStarted("stage", "dask", "http://127.0.0.1:8787/status"))
        bars(WorkersChanged("stage", 1, 2))
        bars(PartDone("stage", "part-a", rows=5, failures={}, seconds=0.1, cost=1.0))
        assert "5 of 10 structures" in progress_line(bars._bars.tasks[0])
    shown = screen.getvalue()
    assert "Dask's dashboard is http://127.0.0.1:8787/status" in shown
    assert "\x1b]8;" in shown  # a hyperlink
    assert "1 of 2 workers" in shown
    assert "▸" not in shown
