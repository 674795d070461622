"""The folder of one run: what was asked, with which versions, what happened, and how it ended."""

import json
import os
import platform
import secrets
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import distributions
from io import StringIO
from pathlib import Path
from typing import Any, Self

from engine.store.folder import Folder, full_disk_explained, matches
from engine.store.footer import package_version

SETTINGS, VERSIONS, EVENTS, SUMMARY = "settings.json", "versions.json", "events.jsonl", "summary.json"


@dataclass
class Run:
    """One invocation's folder ``runs/<utc>-<id>``; ``summary.json``, written last, is its completion mark."""

    folder: Folder
    _unsent: StringIO = field(default_factory=StringIO)

    @classmethod
    def start(cls, runs: Folder, command: str, settings: dict[str, Any]) -> Self:
        """Make the folder and write the settings and versions; raises CrysiftError when the disk is full."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        run = cls(runs.child(f"{stamp}-{secrets.token_hex(3)}"))
        run._put(SETTINGS, {"command": command, "settings": settings})
        run._put(VERSIONS, installed_versions())
        return run

    def record(self, event: dict[str, Any]) -> None:
        """Append one event to ``events.jsonl``; an object store gets the file in ``finish``."""
        line = json.dumps(event) + "\n"
        if not self.folder.is_local:
            self._unsent.write(line)
            return
        with (
            full_disk_explained(self.folder, len(line)),
            Path(self.folder.path(EVENTS)).open("a", encoding="utf-8") as log,
        ):
            log.write(line)

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the summary, the last file of a run."""
        unsent = self._unsent.getvalue()
        if unsent:
            self.folder.put(EVENTS, unsent.encode())
        self._put(SUMMARY, summary)

    def _put(self, name: str, document: dict[str, Any]) -> None:
        data = (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()
        self.folder.put(name, data, matches(data))


def installed_versions() -> dict[str, Any]:
    """Versions of crysift, Python and every installed distribution, and the machine they run on."""
    return {
        "crysift": package_version(),
        "python": sys.version,
        "platform": platform.platform(),
        "machine": {"processor": platform.machine(), "cpus": os.cpu_count(), "host": platform.node()},
        "packages": {entry.name: entry.version for entry in sorted(distributions(), key=lambda d: d.name)},
    }
