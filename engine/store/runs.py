"""The folder of one run: what was asked, with which versions, what happened, and how it ended."""

import json
import os
import platform
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import distributions
from threading import Event, Thread
from typing import Any, Literal, Self

from engine.store.folder import Folder, matches
from engine.store.footer import package_version
from engine.store.journal import Journal, read_journal

SETTINGS, VERSIONS, FAILURE, SUMMARY = "settings.json", "versions.json", "failure.json", "summary.json"
SENDING_SECONDS = 5.0
HEARTBEAT_SECONDS = 15.0
HEARTBEAT = "Heartbeat"
"""The event of a run that is at work while nothing else happens."""

State = Literal["finished", "failed", "interrupted", "unfinished"]
_STAMP = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"^\d{8}T\d{6}Z-[0-9a-f]{6}$")


@dataclass(frozen=True)
class Outcome:
    """How a run ended; "unfinished" is one at work, or one whose process was killed and could say no more."""

    state: State
    message: str = ""


@dataclass
class Run:
    """One invocation's folder ``runs/<utc>-<id>``; ``summary.json``, written last, is its completion mark."""

    folder: Folder
    _journal: Journal = field(init=False)

    def __post_init__(self) -> None:
        """Begin no file before the first event."""
        self._journal = Journal(self.folder)

    @classmethod
    def start(cls, runs: Folder, command: str, settings: dict[str, Any]) -> Self:
        """Make the folder and write the settings and versions; raises CrysiftError when the disk is full."""
        run = cls(runs.child(f"{datetime.now(UTC).strftime(_STAMP)}-{secrets.token_hex(3)}"))
        run._put(SETTINGS, {"command": command, "settings": settings})
        run._put(VERSIONS, installed_versions())
        return run

    @property
    def started(self) -> datetime:
        """When the run began, in UTC."""
        return datetime.strptime(self.folder.name.partition("-")[0], _STAMP).replace(tzinfo=UTC)

    @property
    def command(self) -> str | None:
        """The command that was given; None where the process died before it wrote it down."""
        command: str | None = self._read(SETTINGS).get("command")
        return command

    @property
    def host(self) -> str | None:
        """The machine that drives the run."""
        host: str | None = self._read(VERSIONS).get("machine", {}).get("host")
        return host

    @property
    def outcome(self) -> Outcome:
        """How the run ended."""
        files = self.folder.names()
        if SUMMARY in files:
            return Outcome("finished")
        return Outcome(**self._read(FAILURE)) if FAILURE in files else Outcome("unfinished")

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Show signs of life meanwhile: send the events, and a heartbeat where there are none."""
        over = Event()
        signs = Thread(target=self._give_signs_of_life, args=(over,), daemon=True)
        signs.start()
        try:
            yield
        finally:
            over.set()
            signs.join()

    def record(self, event: dict[str, Any]) -> None:
        """Write down one event with the UTC time, readable at once, in object stores after seconds."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._journal.write({"time": now, **event})

    def events(self) -> Iterator[dict[str, Any]]:
        """Read what was recorded until now, in whichever process or on whichever machine."""
        return read_journal(self.folder)

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the summary, the last file of a run."""
        self._journal.send()
        self._put(SUMMARY, summary)

    def fail(self, outcome: Outcome) -> None:
        """Write down how a run ended that comes to no summary."""
        self._journal.send()
        self._put(FAILURE, {"state": outcome.state, "message": outcome.message})

    def _give_signs_of_life(self, over: Event) -> None:
        while not over.wait(SENDING_SECONDS):
            with suppress(
                Exception
            ):  # what cannot be written now is sent the next time, or reported by finish
                if self._journal.silence >= HEARTBEAT_SECONDS:
                    self.record({"event": HEARTBEAT})
                self._journal.send()

    def _put(self, name: str, document: dict[str, Any]) -> None:
        data = (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()
        self.folder.put(name, data, matches(data))

    def _read(self, name: str) -> dict[str, Any]:
        with suppress(FileNotFoundError), self.folder.open(name) as handle:
            document: dict[str, Any] = json.load(handle)
            return document
        return {}


def runs_in(folder: Folder) -> list[Run]:
    """All runs recorded in a folder, the newest first."""
    return [Run(folder.child(name)) for name in reversed(folder.names()) if _NAME.match(name)]


def installed_versions() -> dict[str, Any]:
    """Versions of crysift, Python and every installed distribution, and the machine they run on."""
    return {
        "crysift": package_version(),
        "python": sys.version,
        "platform": platform.platform(),
        "machine": {"processor": platform.machine(), "cpus": os.cpu_count(), "host": platform.node()},
        "packages": {entry.name: entry.version for entry in sorted(distributions(), key=lambda d: d.name)},
    }
