"""Promises of a run's record: read while it is written, on every store, and kept when the run dies."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from engine.store import Run, Store, journal, runs
from engine.store.runs import Outcome, runs_in


@pytest.fixture(params=["local", "memory"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    url = str(tmp_path / "store") if request.param == "local" else f"memory://{uuid4().hex}/store"
    return Store.open(url, create=True).start_run("screen", {})


@pytest.fixture
def memory_run() -> Run:
    return Store.open(f"memory://{uuid4().hex}/store", create=True).start_run("screen", {})


def numbers(run: Run) -> list[int]:
    """The events as another process sees them."""
    return [event["number"] for event in Run(run.folder).events() if "number" in event]


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_events_can_be_read_while_the_run_is_at_work(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "SENDING_SECONDS", 0.02)
    with run.at_work():
        run.record({"event": "First", "number": 1})
        wait_until(lambda: numbers(run) == [1])
        run.record({"event": "Second", "number": 2})
        wait_until(lambda: numbers(run) == [1, 2])
    assert Run(run.folder).outcome == Outcome("unfinished")


def test_a_run_without_events_shows_signs_of_life(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "SENDING_SECONDS", 0.02)
    monkeypatch.setattr(runs, "HEARTBEAT_SECONDS", 0.1)
    with run.at_work():
        wait_until(lambda: len(list(run.events())) >= 2)
    beats = list(run.events())
    assert {beat["event"] for beat in beats} == {"Heartbeat"}
    time.sleep(0.2)
    assert list(run.events()) == beats


def test_a_failed_run_keeps_its_events_and_its_message(run: Run) -> None:
    run.record({"event": "First", "number": 1})
    run.fail(Outcome("failed", "no GPU"))
    assert numbers(run) == [1]
    assert Run(run.folder).outcome == Outcome("failed", "no GPU")


def test_a_run_finds_its_command_host_and_start_again(run: Run) -> None:
    (found,) = runs_in(run.folder.parent)
    assert (found.command, found.host) == ("screen", os.uname().nodename)
    assert 0 <= time.time() - found.started.timestamp() < 60
    assert found.outcome == Outcome("unfinished")


def test_a_long_log_in_an_object_store_is_cut_into_segments_in_order(
    memory_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SEGMENT_BYTES", 1000)
    for number in range(100):
        memory_run.record({"event": "Counted", "number": number})
        memory_run._journal.send()
    names = [name for name in memory_run.folder.names() if name.startswith("events")]
    assert names == [*(f"events-{index:06d}.jsonl" for index in range(2, len(names) + 1)), "events.jsonl"]
    assert len(names) > 5
    assert numbers(memory_run) == list(range(100))


def test_threads_that_write_while_others_send_lose_and_repeat_nothing(
    memory_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SEGMENT_BYTES", 2000)

    def write(thread: int) -> None:
        for index in range(250):
            memory_run.record({"event": "Counted", "number": 250 * thread + index})
            if index % 7 == 0:
                memory_run._journal.send()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    memory_run.finish({})
    assert sorted(numbers(memory_run)) == list(range(1000))


def test_an_object_store_that_fails_for_a_while_gets_the_events_later(
    memory_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "SENDING_SECONDS", 0.02)
    filesystem = type(fsspec.filesystem("memory"))
    put, failures = filesystem.pipe_file, iter(range(5))

    def unreliable(self: object, path: str, value: bytes, **options: object) -> None:
        if path.endswith(".jsonl") and next(failures, None) is not None:
            raise TimeoutError("the service did not answer")
        put(self, path, value, **options)

    monkeypatch.setattr(filesystem, "pipe_file", unreliable)
    with memory_run.at_work():
        memory_run.record({"event": "First", "number": 1})
        wait_until(lambda: numbers(memory_run) == [1])
    assert next(failures, None) is None


@pytest.mark.parametrize(("kept", "read"), [(0, [1]), (1, [1]), (40, [1]), (-2, [1]), (-1, [1, 2])])
def test_a_line_that_was_cut_off_hides_no_other(tmp_path: Path, kept: int, read: list[int]) -> None:
    run = Store.open(tmp_path / "store", create=True).start_run("screen", {})
    log = Path(run.folder.path("events.jsonl"))
    for number in (1, 2):
        run.record({"event": "Counted", "number": number})
    first, last = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(first + last[:kept])
    assert numbers(run) == read


def test_a_log_is_whole_up_to_the_last_line_when_its_writer_is_killed(tmp_path: Path) -> None:
    run = Store.open(tmp_path / "store", create=True).start_run("screen", {})
    write = (
        "import sys, itertools\n"
        "from engine.store import Folder, Run\n"
        "run = Run(Folder(sys.argv[1]))\n"
        "for number in itertools.count():\n"
        "    run.record({'event': 'Counted', 'number': number, 'text': 'x' * 5000})\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", write, run.folder.url])
    try:
        wait_until(lambda: len(numbers(run)) > 100)
    finally:
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
    read = numbers(run)
    assert read == list(range(len(read)))
