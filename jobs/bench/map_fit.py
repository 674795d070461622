"""Fit a map in a process of its own: seconds of each step, and the most memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

from engine.landscape.backend import backend_of
from engine.landscape.model import MapSettings, fit_map
from engine.landscape.quality import drawn_rows

STEPS = ("principal components", "neighbours", "clusters (HDBSCAN)", "embedding (UMAP)")
PLACED = 2_000
_LOOKS_PER_SECOND = 50.0


class Fitting(NamedTuple):
    """What a map of so many structures took."""

    rows: int
    seconds: tuple[float, ...]
    """Of the `STEPS`."""
    processor: tuple[float, ...]
    """Seconds that all cores together worked at them, which other work on the machine adds little to."""
    peak: float
    """Most memory of the process, GiB, the vectors included."""
    place: float
    """Seconds of processor time in which one more structure is placed in it."""
    clusters: int
    components: int
    backend: str

    @property
    def total(self) -> float:
        """Seconds in sum."""
        return sum(self.seconds)


def fitting(path: Path, rows: int, settings: MapSettings, seed: int) -> Fitting:
    """Fit a map to so many vectors, drawn at random from the file of an array (N, width)."""
    held = np.load(path, mmap_mode="r")
    vectors = np.asarray(held[drawn_rows(len(held), rows, seed)])
    backend = backend_of("auto", len(vectors))
    with _most_memory() as memory:
        times = [_now()]
        model, _ = fit_map(vectors, settings, backend, lambda _: times.append(_now()))
        times.append(_now())
    some = vectors[drawn_rows(len(vectors), PLACED, seed)]
    start = time.process_time()
    model.place(some)
    place = (time.process_time() - start) / len(some)
    seconds, processor = (tuple(np.diff(clock).tolist()) for clock in zip(*times, strict=True))
    count, width = model.points.shape
    clusters = model.hierarchy.count
    return Fitting(count, seconds, processor, memory[0] / 2**30, place, clusters, width, backend)


def _now() -> tuple[float, float]:
    """Return wall-clock and processor time, seconds."""
    return time.perf_counter(), time.process_time()


@contextmanager
def _most_memory() -> Iterator[list[float]]:
    """Yield the most bytes that this process has had since, as the only entry of a list."""
    process, done = psutil.Process(), threading.Event()
    most = [float(process.memory_info().rss)]

    def look() -> None:
        while not done.wait(1.0 / _LOOKS_PER_SECOND):
            most[0] = max(most[0], float(process.memory_info().rss))

    watch = threading.Thread(target=look, daemon=True)
    watch.start()
    try:
        yield most
    finally:
        done.set()
        watch.join()
