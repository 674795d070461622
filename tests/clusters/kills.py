"""Kills without warning, drawn from a seed: workers of either engine, raylets, drivers."""

import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import psutil

from tests.clusters.ray_nodes import wait_until
from tests.clusters.screening import Screening

Kind = Literal["Dask worker", "model actor", "raylet", "driver"]
ACTORS: dict[Kind, str] = {"Dask worker": "DaskWorkerActor", "model actor": "StageActor"}
"""The class of each kind of worker, by which Ray names its process."""

SHARES = {"worker": 0.65, "raylet": 0.2, "driver": 0.15}
LONGEST_DELAY_SECONDS = 1.0
AT_ONCE = 0.25
"""Share of the kills that do not wait until a part is done after the last one."""


@dataclass(frozen=True)
class Kill:
    """One process that was killed; ``doing`` is what Ray says it did."""

    kind: Kind
    time: datetime
    doing: str


@dataclass
class Killer:
    """Kills what a screening runs on until it is finished, or until ``limit`` kills are done."""

    screening: Screening
    limit: int
    seed: int
    kills: list[Kill] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin the sequence that the seed stands for."""
        self._generator = np.random.default_rng(self.seed)
        self._committed = 0

    def run(self) -> list[Kill]:
        """Start the screening, kill, start it again where it was the driver; return the kills."""
        self.screening.start()
        try:
            while len(self.kills) < self.limit and self._wait():
                if (kill := self._strike()) is None:
                    break
                self.kills.append(kill)
                self._committed = self._parts()
                if kill.kind == "driver":
                    self.screening.start()
            self.screening.finish()
        finally:
            self.screening.end()
        return self.kills

    def _parts(self) -> int:
        return sum(self.screening.parts(table) for table in ("structures", "features", "predictions"))

    def _wait(self) -> bool:
        """Let the run do something, usually a part at least; whether it is still at work."""
        delay = self._generator.uniform(0.0, LONGEST_DELAY_SECONDS)
        at_once = self._generator.random() < AT_ONCE
        if not at_once:
            said = self.screening.said.read_text
            wait_until(lambda: not self._is_running() or self._parts() != self._committed, "a part", said)
        with suppress(subprocess.TimeoutExpired):
            self.screening.driver.wait(timeout=delay)
        return self._is_running()

    def _is_running(self) -> bool:
        return self.screening.driver.poll() is None

    def _strike(self) -> Kill | None:
        """Kill a process of the kind that is drawn, when there is one; None where the run ends first."""
        drawn = self._generator.choice(list(SHARES), p=list(SHARES.values()))
        while self._is_running():
            with suppress(psutil.NoSuchProcess):
                if targets := self._targets(drawn):
                    kind, process = targets[self._generator.integers(len(targets))]
                    doing = " ".join(process.cmdline()[:1]) if drawn == "worker" else ""
                    moment = datetime.now(UTC)
                    process.kill()
                    if drawn == "driver":
                        self.screening.driver.wait()
                    return Kill(kind, moment, doing)
            time.sleep(0.05)
        return None

    def _targets(self, drawn: str) -> list[tuple[Kind, psutil.Process]]:
        nodes = self.screening.cluster.workers
        if drawn == "driver":
            return [("driver", psutil.Process(self.screening.driver.pid))]
        if drawn == "raylet":
            return [("raylet", raylet) for node in nodes if (raylet := node.raylet()) is not None]
        return [
            (kind, process)
            for kind, name in ACTORS.items()
            for node in nodes
            for process in node.actors(name)
        ]
