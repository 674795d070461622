"""What became of faults, kept for docs/reliability.md where CRYSIFT_RELIABILITY names a folder."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.clusters.kills import Kill


def keep(name: str, figures: dict[str, Any]) -> None:
    """Write the figures of one test."""
    folder = os.environ.get("CRYSIFT_RELIABILITY")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        Path(folder, f"{name}.json").write_text(json.dumps(figures, indent=2) + "\n")


def keep_fault(name: str, fault: str, expected: str, seen: str) -> None:
    """Write one line of the table of faults."""
    keep(f"fault-{name}", {"fault": fault, "expected": expected, "seen": seen})


def recoveries(kills: list[Kill], events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What each kill cost: parts that workers had, seconds to the next part and to all workers again.

    Seconds are None where the run ended before.
    """
    ends = [*(kill.time for kill in kills), datetime.max.replace(tzinfo=UTC)][1:]
    return [
        {
            "kind": kill.kind,
            "doing": kill.doing,
            "parts_lost": sum(
                event["event"] == "WorkerLost" and event["part"] != "" and kill.time < _time(event) <= end
                for event in events
            ),
            "to_next_part": seconds_until(kill.time, events, lambda event: event["event"] == "PartDone"),
            "to_full_strength": seconds_until(kill.time, events, has_all_workers),
        }
        for kill, end in zip(kills, ends, strict=True)
    ]


def most_lost_ahead_of_kills(kills: list[Kill], events: list[dict[str, Any]]) -> int:
    """By how many the parts lost with workers ever exceeded the kills of workers and raylets until then."""
    lost = [_time(event) for event in events if event["event"] == "WorkerLost" and event["part"]]
    killed = [kill.time for kill in kills if kill.kind != "driver"]
    ahead = (index + 1 - sum(kill <= moment for kill in killed) for index, moment in enumerate(sorted(lost)))
    return max(ahead, default=0)


def has_all_workers(event: dict[str, Any]) -> bool:
    """Whether an event says that all workers are ready."""
    return event["event"] == "WorkersChanged" and bool(event["workers"] >= event["wanted"])


def seconds_until(
    start: datetime, events: list[dict[str, Any]], holds: Callable[[dict[str, Any]], bool]
) -> float | None:
    """Seconds from a moment to the first event after it that a condition holds of."""
    later = (_time(event) for event in events if _time(event) > start and holds(event))
    first = next(later, None)
    return None if first is None else (first - start).total_seconds()


def _time(event: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(event["time"])
