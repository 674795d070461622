"""A progress bar per stage: a listener of the events that the engine emits."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Self

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
from rich.text import Text

from engine.execution import events

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from jobs.console import Console
    from models.training.train import Epoch


_CONNECTORS = logging.getLogger("connectors")

INGEST = "ingest"
"""Name of the bar of the pages of a source; how many rows they hold together is not known beforehand."""


class _RateColumn(ProgressColumn):
    """Structures (or epochs) per second since the bar began."""

    def render(self, task: Task) -> Text:
        """Draw the rate of one bar."""
        elapsed = task.finished_time or task.elapsed
        if not elapsed or not task.completed:
            return Text("")
        rate = task.completed / elapsed
        return Text(f"{rate:,.{0 if rate >= 10 else 1}f} {task.fields['unit']}/s", style="cyan")


class _Notes(logging.Handler):
    """Passes on what connectors say while they wait for a server."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print one remark above the bars."""
        self._console.note(record.getMessage())


class ProgressBars:
    """Draws a run on stderr: for each stage the structures done, per second and failed, and the time left."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tasks: dict[str, TaskID] = {}
        self._failed: dict[str, int] = {}
        self._notes = _Notes(console)
        self._bars = Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description:<20}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:,.0f} of {task.fields[of]}"),
            _RateColumn(),
            TextColumn("{task.fields[failed]}", style="red"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console.err,
            disable=not console.shows_progress,
        )

    def __enter__(self) -> Self:
        """Start drawing."""
        self._bars.start()
        _CONNECTORS.addHandler(self._notes)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bars as they are."""
        if kind is None:
            self._end(INGEST)
        _CONNECTORS.removeHandler(self._notes)
        self._bars.stop()

    def __call__(self, event: events.Event) -> None:
        """Take one event of the run."""
        match event:
            case events.StageStarted():
                self._end(INGEST)
                if event.rows or event.skipped_rows:
                    self._console.note(event.description)
                if event.rows:
                    self._begin(event.stage, event.rows)
            case events.PassageStarted() | events.PageRead() | events.PageDone():
                self._count_entries(event)
            case events.PartDone():
                if event.stage in self._tasks:  # a stage without rows has no bar
                    self._advance(event.stage, event.rows, event.failed)
            case events.WorkerLost():
                again = f"{event.part} is done again" if event.part else "it is started again"
                self._console.note(f"{event.stage}: a worker was lost (time {event.losses}); {again}")
            case events.StageFinished():
                self._end(event.stage)

    def _count_entries(self, event: events.PassageStarted | events.PageRead | events.PageDone) -> None:
        """Count entries as they arrive, those of earlier runs when they are found, and rejects when known."""
        match event:
            case events.PassageStarted():
                if INGEST not in self._tasks:
                    self._begin(INGEST, None)
            case events.PageRead():
                self._advance(INGEST, event.entries, 0)
            case events.PageDone():
                found = event.rows + event.rejected + event.known if event.skipped else 0
                self._advance(INGEST, found, event.rejected)

    def count_epochs(self, network: str, epochs: int) -> Callable[[Epoch], None]:
        """Draw a bar for a training; return the listener that takes its epochs."""
        of = f"{epochs:,}"
        bar = self._bars.add_task(
            f"train {network}", total=epochs, visible=False, of=of, unit="epochs", failed=""
        )

        def count(epoch: Epoch) -> None:
            told = f"validation accuracy {epoch.validation_accuracy:.4f}"
            self._bars.update(bar, completed=epoch.number, visible=True, failed=told)

        return count

    def _begin(self, stage: str, rows: int | None) -> TaskID:
        of = "…" if rows is None else f"{rows:,}"
        self._failed[stage] = 0
        self._tasks[stage] = self._bars.add_task(stage, total=rows, of=of, failed="", unit="structures")
        return self._tasks[stage]

    def _advance(self, stage: str, rows: int, failed: int) -> None:
        self._failed[stage] += failed
        count, what = self._failed[stage], "rejected" if stage == INGEST else "failed"
        self._bars.update(self._tasks[stage], advance=rows, failed=f"{count:,} {what}" if count else "")

    def _end(self, stage: str) -> None:
        task = self._tasks.get(stage)
        if task is not None:
            done = self._bars.tasks[task].completed
            self._bars.update(task, total=done, of=f"{done:,.0f}")
