"""What a run shows of its progress: a bar per stage on a terminal, plain lines in a file."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from engine.execution import events

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from jobs.console import Console
    from models.training.train import Epoch


_CONNECTORS = logging.getLogger("connectors")

PROGRESS_MARK = "▸ "
"""Begins a line of progress in a file; what stands before the colon names the stage."""
_LINE_EVERY_SECONDS = 5.0


class _RateColumn(ProgressColumn):
    """Structures (or epochs) per second since the bar began."""

    def render(self, task: Task) -> Text:
        """Draw the rate of one bar."""
        return Text(_rate(task), style="cyan")


class _Notes(logging.Handler):
    """Passes on what connectors say while they wait for a server."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print one remark above the bars."""
        self._console.note(record.getMessage())


class _Lines:
    """Prints every few seconds the bars that have changed: for the logs of batch systems and jobs."""

    def __init__(self, bars: Progress, console: Console) -> None:
        self._bars = bars
        self._console = console
        self._printed: dict[TaskID, float] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._print_at_times, name="progress", daemon=True)

    def start(self) -> None:
        """Begin to print."""
        self._thread.start()

    def stop(self) -> None:
        """Print what has changed since, and no more."""
        self._stopped.set()
        self._thread.join()
        self._print()

    def _print_at_times(self) -> None:
        while not self._stopped.wait(_LINE_EVERY_SECONDS):
            self._print()

    def _print(self) -> None:
        for task in self._bars.tasks:
            if task.visible and task.completed != self._printed.get(task.id, 0):
                self._printed[task.id] = task.completed
                self._console.note(progress_line(task))


class ProgressBars:
    """Shows a run on stderr: for each stage the structures done, per second and failed, and the time left."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tasks: dict[str, TaskID] = {}
        self._failed: dict[str, int] = {}
        self._notes = _Notes(console)
        drawn = console.shows_progress and console.err.is_terminal
        self._bars = Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.fields[title]}", table_column=Column(min_width=20, no_wrap=True)),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:,.0f} of {task.fields[of]}"),
            _RateColumn(),
            TextColumn("{task.fields[failed]}", style="red"),
            TextColumn("{task.fields[workers]}", style="yellow"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console.err,
            disable=not drawn,
        )
        self._lines = None if drawn or not console.shows_progress else _Lines(self._bars, console)

    def __enter__(self) -> Self:
        """Start drawing."""
        self._bars.start()
        if self._lines:
            self._lines.start()
        _CONNECTORS.addHandler(self._notes)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bars as they are."""
        if kind is None:
            self._end(events.INGEST)
        _CONNECTORS.removeHandler(self._notes)
        self._bars.stop()
        if self._lines:
            self._lines.stop()

    def __call__(self, event: events.Event) -> None:
        """Take one event of the run."""
        match event:
            case events.StageStarted():
                self._end(events.INGEST)
                if event.rows or event.skipped_rows:
                    self._console.note(event.description)
                if event.rows:
                    self._begin(event.stage, event.rows)
            case events.PassageStarted() | events.PageRead() | events.PageDone():
                self._count_entries(event)
            case events.PartDone():
                if event.stage in self._tasks:  # a stage without rows has no bar
                    self._advance(event.stage, event.rows, event.failed)
            case events.EngineStarted() | events.WorkersChanged():
                self._show_cluster(event)
            case events.WorkerLost() | events.PartIsolated() | events.PartDamaged():
                self._console.note(_remark(event))
            case events.StageFinished():
                self._end(event.stage)

    def _count_entries(self, event: events.PassageStarted | events.PageRead | events.PageDone) -> None:
        """Count entries as they arrive, those of earlier runs when they are found, and rejects when known."""
        match event:
            case events.PassageStarted():
                if events.INGEST not in self._tasks:
                    self._begin(events.INGEST, None)
            case events.PageRead():
                self._advance(events.INGEST, event.entries, 0)
            case events.PageDone():
                found = event.rows + event.rejected + event.known if event.skipped else 0
                self._advance(events.INGEST, found, event.rejected)

    def _show_cluster(self, event: events.EngineStarted | events.WorkersChanged) -> None:
        """Link the bar to the engine's dashboard; show how many workers there are while some are missing."""
        task = self._tasks.get(event.stage)
        if task is None:
            return
        match event:
            case events.EngineStarted(dashboard=str(url)):
                self._console.note(f"{event.stage}: {event.engine.capitalize()}'s dashboard is {url}")
                self._bars.update(task, title=f"[link={url}]{escape(event.stage)}[/link]", dashboard=url)
            case events.WorkersChanged():
                missing = event.workers < event.wanted
                told = f"{event.workers:,} of {event.wanted:,} workers" if missing else ""
                self._bars.update(task, workers=told)

    def count_epochs(self, network: str, epochs: int) -> Callable[[Epoch], None]:
        """Draw a bar for a training; return the listener that takes its epochs."""
        bar = self._add(f"train {network}", epochs, "epochs", visible=False)

        def count(epoch: Epoch) -> None:
            told = f"validation accuracy {epoch.validation_accuracy:.4f}"
            self._bars.update(bar, completed=epoch.number, visible=True, failed=told)

        return count

    def _begin(self, stage: str, rows: int | None) -> None:
        self._failed[stage] = 0
        self._tasks[stage] = self._add(stage, rows, "boxes" if stage.startswith("spm_") else "structures")

    def _add(self, name: str, total: int | None, unit: str, *, visible: bool = True) -> TaskID:
        fields: dict[str, Any] = dict.fromkeys(("failed", "workers", "dashboard"), "")
        fields |= {"title": escape(name), "unit": unit, "of": "…" if total is None else f"{total:,}"}
        return self._bars.add_task(name, total=total, visible=visible, **fields)

    def _advance(self, stage: str, rows: int, failed: int) -> None:
        self._failed[stage] += failed
        count, what = self._failed[stage], "rejected" if stage == events.INGEST else "failed"
        self._bars.update(self._tasks[stage], advance=rows, failed=f"{count:,} {what}" if count else "")

    def _end(self, stage: str) -> None:
        task = self._tasks.get(stage)
        if task is not None:
            done = self._bars.tasks[task].completed
            self._bars.update(task, total=done, of=f"{done:,.0f}", workers="")


def progress_line(task: Task) -> str:
    """Return the state of a bar in words: done of total, rate, failures, workers, time left, dashboard."""
    done = f"{task.completed:,.0f}" if task.total is None else f"{task.completed:,.0f} of {task.fields['of']}"
    said = [f"{done} {task.fields['unit']}"]
    if task.total and not task.finished:
        said.append(f"{task.percentage:.0f} %")
    said += [_rate(task), task.fields["failed"], task.fields["workers"]]
    if task.finished:
        said.append(f"done in {_clock(task.finished_time)}")
    elif task.time_remaining is not None:
        said.append(f"{_clock(task.time_remaining)} left")
    said.append(task.fields["dashboard"])
    return f"{PROGRESS_MARK}{task.description}: {', '.join(filter(None, said))}"


def _remark(event: events.WorkerLost | events.PartIsolated | events.PartDamaged) -> str:
    match event:
        case events.WorkerLost():
            again = f"{event.part} is done again" if event.part else "it is started again"
            return f"{event.stage}: a worker was lost (time {event.losses}); {again}"
        case events.PartIsolated():
            return (
                f"{event.stage}: {event.part} has cost {event.losses} workers; it is done apart from the "
                "others, to find the structure that does it"
            )
        case events.PartDamaged():
            return f"{event.table}: {event.part} is damaged ({event.reason}) and is made again"


def _rate(task: Task) -> str:
    elapsed = task.finished_time or task.elapsed
    if not elapsed or not task.completed:
        return ""
    rate = task.completed / elapsed
    return f"{rate:,.{0 if rate >= 10 else 1}f} {task.fields['unit']}/s"


def _clock(seconds: float | None) -> str:
    return str(timedelta(seconds=round(seconds or 0)))
