"""`crysift screen` as a user starts it on a cluster, and the comparison of two stores."""

import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from engine.store import Store
from engine.store.runs import runs_in
from tests.clusters.ray_nodes import WITH_ITS_PARENT, RayCluster, kill_all, processes_of_sessions, wait_until

CRYSIFT = [sys.executable, "-m", "crysift"]
DERIVED = ("features_soap", "predictions_arise")
PASSES = 500


@dataclass
class Screening:
    """A command that goes on where it stopped, however often it is started."""

    source: Path
    store: Path
    cluster: RayCluster
    workers: int | None = None
    _sessions: list[int] = field(default_factory=list)

    def start(self) -> "subprocess.Popen[bytes]":
        """Start the command on the cluster's head; what it says goes to the file ``said``."""
        command = ["screen", str(self.source), "--store", str(self.store), "--ray", self.cluster.address]
        command += ["--passes", str(PASSES), "--top", "0"]
        asked = ["--workers", str(self.workers)] if self.workers else []
        with self.said.open("wb") as said:
            self.driver = subprocess.Popen(
                self.cluster.head.host.command(*WITH_ITS_PARENT, *CRYSIFT, *command, *asked),
                env=self.cluster.environment,
                cwd=self.source.parent,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        self._sessions.append(self.driver.pid)
        return self.driver

    @property
    def said(self) -> Path:
        """What the last start printed."""
        return self.source.with_suffix(".log")

    def end(self) -> None:
        """End whatever was started."""
        kill_all(self.processes)
        self.driver.wait()

    def processes(self) -> list[psutil.Process]:
        """Living processes of the command, those that outlived an earlier start too."""
        return processes_of_sessions(self._sessions)

    def parts(self, table: str) -> int:
        """Parts that a table holds at the moment."""
        return sum(1 for _ in self.store.glob(f"{table}*/part-*.parquet"))

    def wait_for_parts(self, table: str, count: int) -> None:
        """Wait until a table holds so many parts; fails where the command ends before."""

        def are_there() -> bool:
            assert self.driver.poll() is None, self.said.read_text()
            return self.parts(table) >= count

        wait_until(are_there, f"{count} parts of {table}", self.said.read_text)

    def finish(self) -> None:
        """Wait for the end of the command, and hold it to be a good one."""
        wait_until(lambda: self.driver.poll() is not None, "the end of the run", self.said.read_text, 600.0)
        assert self.driver.returncode == 0, self.said.read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        """Events of a name, of all starts, as the store recorded them."""
        return [event for event in all_events(self.store) if event["event"] == name]


def all_events(store: Path) -> list[dict[str, Any]]:
    """Every event of every run in a store, in the order of time."""
    runs = runs_in(Store.open(store).folder.child("runs"))
    return sorted((event for run in runs for event in run.events()), key=lambda event: str(event["time"]))


def screen_undisturbed(source: Path, store: Path) -> None:
    """The same screening in one process, which nothing happens to."""
    command = ["screen", str(source), "--store", str(store), "--passes", str(PASSES), "--executor", "inline"]
    subprocess.run([*CRYSIFT, *command, "--quiet"], cwd=store.parent, env=os.environ, check=True)


def assert_same_tables(store: Path, undisturbed: Path, rows: int) -> None:
    """Hold the tables to be equal: the parts of derived ones to the byte, structures but for their times."""
    assert content(store) == content(undisturbed)
    assert len(content(store)) == rows
    for name in DERIVED:
        assert contents_of_parts(store, name) == contents_of_parts(undisturbed, name)
    assert predictions(store) == predictions(undisturbed)


def content(store: Path) -> list[tuple[str, bytes]]:
    """Every structure's name and hash, sorted."""
    table = Store.open(store).structures.scan(["structure_id", "content_hash"]).to_table()
    return sorted(zip(table["structure_id"].to_pylist(), table["content_hash"].to_pylist(), strict=True))


def contents_of_parts(store: Path, name: str) -> dict[str, tuple[str, int]]:
    """Hash of the encoded columns, read again and found undamaged, and rows of each part of a table."""
    table = Store.open(store).latest(name)
    rows = {part: len(table.read(part)) for part in table.part_names()}
    return {part: (table.footer(part).content_hash, rows[part]) for part in rows}


def predictions(store: Path) -> dict[str, bytes]:
    """The parts of the predictions, byte by byte: nothing in them depends on when they were made."""
    [table] = store.glob("predictions_arise-*")
    return {part.name: part.read_bytes() for part in table.glob("part-*.parquet")}


def repetitions(store: Path) -> int:
    """How often a part of a derived table was done though it was done before."""
    done = Counter(
        (event["stage"], event["part"]) for event in all_events(store) if event["event"] == "PartDone"
    )
    return sum(done.values()) - len(done)
