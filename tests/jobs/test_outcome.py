"""What `crysift status` says of runs that did not come to their end."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.errors import CrysiftError
from engine.execution import InterruptedRunError
from engine.execution.events import ignore
from engine.store import Store
from engine.store.folder import Folder
from jobs import runs
from jobs.cli import app
from jobs.pipeline import recorded_run
from jobs.runs import latest_runs


@pytest.mark.parametrize(
    ("error", "state", "message", "words"),
    [
        (CrysiftError("no [GPU] here\nsecond line"), "failed", "no [GPU] here", "failed: no [GPU] here"),
        (
            ZeroDivisionError("a defect"),
            "failed",
            "ZeroDivisionError: a defect",
            "failed: ZeroDivisionError: a defect",
        ),
        (
            InterruptedRunError("after 3 of 9 parts"),
            "interrupted",
            "after 3 of 9 parts",
            "interrupted: the same command goes on",
        ),
        (KeyboardInterrupt(), "interrupted", "", "interrupted: the same command goes on"),
        (SystemExit(15), "interrupted", "15", "interrupted: the same command goes on"),
    ],
)
def test_an_error_that_ends_a_run_is_recorded_and_passes_through(
    tmp_path: Path, error: BaseException, state: str, message: str, words: str
) -> None:
    store = Store.open(tmp_path / "store", create=True)
    with pytest.raises(type(error)), recorded_run(store, "screen", {}, ignore):
        raise error
    (run,) = latest_runs(store)
    assert (run.state, run.message.partition("\n")[0]) == (state, message)
    told = CliRunner().invoke(app, ["status", "--store", store.folder.url])
    assert words in told.output
    assert "second line" not in told.output


def test_a_run_whose_process_was_killed_goes_on_with_the_same_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(tmp_path / "store", create=True)
    store.start_run("screen", {})
    assert latest_runs(store)[0].state == "running"
    monkeypatch.setattr(runs, "SILENT_AFTER_SECONDS", 0.0)
    assert latest_runs(store)[0].state == "unfinished"
    told = CliRunner().invoke(app, ["status", "--store", store.folder.url])
    assert "not finished: last heard of" in told.output
    assert "ago; the same command goes on" in told.output


def test_a_record_that_cannot_be_written_hides_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(tmp_path / "store", create=True)

    def full(self: Folder, name: str, data: bytes) -> None:
        raise CrysiftError(f"the disk is full: {name}")

    def fail_on_a_full_disk() -> None:
        monkeypatch.setattr(Folder, "put", full)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), recorded_run(store, "screen", {}, ignore):
        fail_on_a_full_disk()
    assert latest_runs(store)[0].run.outcome.state == "unfinished"
