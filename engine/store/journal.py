"""The events of a run, a line of JSON each: appended on a disk, sent in segments to an object store."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any

import orjson

from engine.store.folder import Folder, full_disk_explained

LOG = "events.jsonl"
SEGMENT_BYTES = 2**18
_SEGMENT = re.compile(r"^events(?:-(\d{6}))?\.jsonl$")
_SEGMENTS_AT_ONCE = 8


class Journal:
    """Writes the events of one run; safe to share between threads.

    An object store cannot append: there the file is put again, longer, with every ``send``, until it holds
    ``SEGMENT_BYTES``, and ``events-000002.jsonl`` goes on. A reader sees whole lines at all times.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._segment = bytearray()
        self._number = 1
        self._sent = 0
        self._wrote_at = monotonic()
        self._writing, self._sending = Lock(), Lock()

    @property
    def silence(self) -> float:
        """Seconds since an event was written."""
        return monotonic() - self._wrote_at

    def write(self, document: dict[str, Any]) -> None:
        """Add one event; raises CrysiftError when the disk is full."""
        line = (json.dumps(document) + "\n").encode()
        with self._writing:
            self._wrote_at = monotonic()
            if not self._folder.is_local:
                self._segment += line
                return
            with (
                full_disk_explained(self._folder, len(line)),
                Path(self._folder.path(LOG)).open("ab", buffering=0) as log,
            ):
                log.write(line)

    def send(self) -> None:
        """Bring what is new to the object store; nothing is left to do on a disk."""
        with self._sending:
            with self._writing:
                data = bytes(self._segment)
            if len(data) == self._sent:
                return
            self._folder.put(LOG if self._number == 1 else f"events-{self._number:06d}.jsonl", data)
            self._sent = len(data)
            if len(data) >= SEGMENT_BYTES:
                with self._writing:
                    del self._segment[: len(data)]
                self._number, self._sent = self._number + 1, 0


def read_journal(folder: Folder) -> Iterator[dict[str, Any]]:
    """Read the events of a run in their order, also while it writes and where it was killed writing one."""
    segments = {name: match[1] or "" for name in folder.names() if (match := _SEGMENT.match(name))}
    paths = [folder.path(name) for name in sorted(segments, key=segments.__getitem__)]
    read = folder.filesystem.cat_file  # in one request: a segment may be replaced by a longer one meanwhile
    with ThreadPoolExecutor(_SEGMENTS_AT_ONCE) as pool:
        for data in pool.map(read, paths):
            for line in data.splitlines():
                try:
                    document = orjson.loads(line)
                except orjson.JSONDecodeError:  # the last line, of which a part has been written
                    continue
                yield document
