"""Compare the speed of several ways of doing the same work on a machine that also does other things."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def alternating_medians(ways: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median seconds of each way, over `repeats` rounds in which every way runs once.

    Alternating spreads drifts of the clock frequency and of other load over all ways alike, and the median
    drops the rounds that something else disturbed. Every way runs once beforehand, untimed.
    """
    if repeats < 1:
        raise ValueError(f"repeats = {repeats}: at least one round is needed")
    for way in ways.values():
        way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}
