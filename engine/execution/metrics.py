"""The events of a run as Prometheus metrics, exported by Ray beside its own."""

from __future__ import annotations

import sys
from threading import Event, Thread
from typing import TYPE_CHECKING, Self

from engine.execution import events

if TYPE_CHECKING:
    from types import TracebackType

    from ray.util.metrics import Gauge

PART_SECONDS = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0]
"""Upper bounds of the classes of a part's duration, s."""
REFRESH_SECONDS = 5.0
CLASSES_PER_STAGE = 50
OTHER_CLASS = "other"
"""Label of further error classes: each one is a time series that Prometheus keeps."""


class RayMetrics:
    """A listener that counts what happens, as long as Ray is initialised in this process; else it is silent.

    Ray prefixes the names with ``ray_`` and exports them, within 10 s, at the metrics port of the node. As a
    context manager it keeps the gauges alive: Ray forgets one that is not set again within 20 s.
    """

    def __init__(self) -> None:
        self._meters: _Meters | None = None
        self._over = Event()
        self._refreshing = Thread(target=self._refresh_gauges, daemon=True)

    def __enter__(self) -> Self:
        """Begin to keep gauges alive."""
        self._refreshing.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let Ray forget the gauges."""
        self._over.set()
        self._refreshing.join()

    def __call__(self, event: events.Event) -> None:
        """Count one event."""
        if not _ray_is_initialized():
            return
        if self._meters is None:
            self._meters = _Meters()
        self._meters.take(event)

    def _refresh_gauges(self) -> None:
        while not self._over.wait(REFRESH_SECONDS):
            if self._meters is not None and _ray_is_initialized():
                self._meters.refresh()


def _ray_is_initialized() -> bool:
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()


class _Meters:
    def __init__(self) -> None:
        from ray.util.metrics import Counter, Gauge, Histogram

        stage = ("stage",)
        self._rows = Counter("crysift_rows_total", "Rows done, failed ones among them.", stage)
        self._failed = Counter("crysift_failed_rows_total", "Rows that failed.", ("stage", "error_class"))
        self._parts = Counter("crysift_parts_total", "Parts committed.", stage)
        self._seconds = Histogram("crysift_part_seconds", "A worker's time for a part.", PART_SECONDS, stage)
        self._lost = Counter("crysift_workers_lost_total", "Workers that died.", stage)
        self._isolated = Counter("crysift_isolated_parts_total", "Parts that cost several workers.", stage)
        self._damaged = Counter("crysift_damaged_parts_total", "Parts found damaged.", ("table",))
        self._planned = Gauge("crysift_planned_rows", "Rows that the run has to do.", stage)
        self._ready = Gauge("crysift_workers", "Workers that are ready.", stage)
        self._wanted = Gauge("crysift_workers_wanted", "Workers asked for.", stage)
        self._levels: dict[tuple[Gauge, str], float] = {}
        self._classes: dict[str, set[str]] = {}

    def refresh(self) -> None:
        """Set the gauges of the stages at work again."""
        for (gauge, stage), level in self._levels.copy().items():
            gauge.set(level, {"stage": stage})

    def take(self, event: events.Event) -> None:
        match event:
            case events.StageStarted() | events.WorkersChanged() | events.StageFinished():
                self._take_levels(event)
            case events.PartDone():
                self._count_part(event.stage, event.rows, event.seconds)
                for error_class, rows in event.failures.items():
                    self._count_failures(event.stage, error_class, rows)
            case events.PageDone() if not event.skipped:
                self._count_part(events.INGEST, event.rows + event.rejected, event.seconds)
                self._count_failures(events.INGEST, "rejected", event.rejected)
            case events.WorkerLost():
                self._lost.inc(1, {"stage": event.stage})
            case events.PartIsolated():
                self._isolated.inc(1, {"stage": event.stage})
            case events.PartDamaged():
                self._damaged.inc(1, {"table": event.table})

    def _take_levels(self, event: events.StageStarted | events.WorkersChanged | events.StageFinished) -> None:
        match event:
            case events.StageStarted():
                self._set(self._planned, event.stage, event.rows)
            case events.WorkersChanged():
                self._set(self._ready, event.stage, event.workers)
                self._set(self._wanted, event.stage, event.wanted)
            case events.StageFinished():
                for gauge in (self._planned, self._ready, self._wanted):
                    self._levels.pop((gauge, event.stage), None)

    def _set(self, gauge: Gauge, stage: str, level: float) -> None:
        self._levels[gauge, stage] = level
        gauge.set(level, {"stage": stage})

    def _count_part(self, stage: str, rows: int, seconds: float) -> None:
        labels = {"stage": stage}
        self._parts.inc(1, labels)
        self._seconds.observe(seconds, labels)
        if rows:  # Ray takes no increment of zero
            self._rows.inc(rows, labels)

    def _count_failures(self, stage: str, error_class: str, rows: int) -> None:
        known = self._classes.setdefault(stage, set())
        if error_class not in known and len(known) >= CLASSES_PER_STAGE:
            error_class = OTHER_CLASS
        known.add(error_class)
        if rows:
            self._failed.inc(rows, {"stage": stage, "error_class": error_class})
