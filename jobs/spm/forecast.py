"""What strided pattern matching will take, said before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import CrysiftError

if TYPE_CHECKING:
    from engine.spm import SoapMode
    from jobs.settings import ExecutionSettings
    from jobs.spm.pipeline import SpmRequest

SECONDS_PER_PAIR: dict[SoapMode, float] = {"exact": 1.2e-7, "shared": 1.5e-7}
"""Of a core, per predicted neighbour pair; measured: exact 0.6e-7 with one species, 1.9e-7 with two."""
SECONDS_PER_BOX, SECONDS_PER_PASS = 4.0e-4, 3.6e-6
"""Of a core, for the classification of a box, and for each of its stochastic passes; measured."""
ADAPTIVE_PASSES = 400
"""What the passes of a box cost on average, in fixed ones, where each box gets as many as it needs."""
ATOM_BYTES = 110
"""In this process, per atom of the largest frame, while it is sorted into boxes and bricks; measured."""
BOX_BYTES = 210
"""In this process, per box of the grid, while the costs are predicted; measured, 60 to 200."""
WORKER_BYTES = 1024**3
"""Of one worker: what the stages declare."""
_GIB = 1024**3


@dataclass(frozen=True)
class Forecast:
    """What is to be done, and what it takes; `seconds` of all workers together at their best."""

    name: str
    atoms: int
    frames: int
    counts: tuple[int, int, int]
    size: float
    stride: tuple[float, float, float]
    occupied: int
    pairs: float
    seconds: float
    workers: int
    driver_bytes: int
    worker_bytes: int
    refined: bool
    spheres: bool

    @property
    def boxes(self) -> int:
        """Boxes of one frame."""
        nx, ny, nz = self.counts
        return nx * ny * nz

    def describe(self) -> str:
        """Say it in three lines."""
        of_frames = f" in {self.frames} frames" if self.frames > 1 else ""
        each = " each" if self.frames > 1 else ""
        stride = " × ".join(f"{s:g}" for s in (self.stride if len(set(self.stride)) > 1 else self.stride[:1]))
        most = "at most " if self.refined else "about "
        cores = "1 core" if self.workers == 1 else f"{self.workers} cores"
        enough = f"{'at most ' if self.spheres else ''}{self.occupied:,}"
        return (
            f"{self.name}: {self.atoms:,} atoms{of_frames}; {' × '.join(map(str, self.counts))} = "
            f"{self.boxes:,} boxes of {self.size:g} Å{each}, one every {stride} Å, {enough} of them with "
            f"enough atoms\n"
            f"cost: {most}{self.pairs:.2g} neighbour pairs, {most}{_duration(self.seconds)} on {cores}\n"
            f"memory: about {max(self.driver_bytes / _GIB, 0.1):.1f} GiB for the atoms and the grid, "
            f"and up to {self.worker_bytes / _GIB:.1f} GiB for each process at work"
        )


def forecast(request: SpmRequest, execution: ExecutionSettings) -> Forecast:
    """Predict cost and memory; raises CrysiftError where the memory that is free will not do."""
    from engine.execution.capacity import available_cores, available_memory
    from engine.spm import Grid
    from engine.spm.boxes import atoms_in_boxes, predicted_pairs

    low = np.min([frame.positions.min(axis=0) for frame in request.frames], axis=0)
    high = np.max([frame.positions.max(axis=0) for frame in request.frames], axis=0)
    grid = Grid.over(low, high, request.grid)
    request.network(grid)  # what it cannot do is said before anything else
    atoms = sum(map(len, request.frames))
    driver = ATOM_BYTES * max(map(len, request.frames)) + BOX_BYTES * grid.n_boxes
    if driver > available_memory():
        raise CrysiftError(
            f"{request.name}: {atoms:,} atoms and {grid.n_boxes:,} boxes need about {driver / _GIB:.1f} GiB "
            f"of memory beside what is read, and {available_memory() / _GIB:.1f} GiB are free: take a larger "
            "stride, a part of the structure, or a machine with more"
        )
    pairs, occupied = 0.0, 0
    for frame in request.frames:
        pairs += float(predicted_pairs(grid, frame.positions, request.mode).sum(dtype="float64"))
        occupied += int((atoms_in_boxes(grid, frame.positions) >= request.grid.min_atoms).sum())
    alone = execution.executor == "inline" or not execution.cluster.is_local
    workers = execution.workers or (1 if alone else available_cores())
    seconds = pairs * SECONDS_PER_PAIR[request.mode]
    passes = request.passes if isinstance(request.passes, int) else ADAPTIVE_PASSES
    seconds += occupied * (SECONDS_PER_BOX + passes * SECONDS_PER_PASS)
    return Forecast(
        name=request.name,
        atoms=atoms,
        frames=len(request.frames),
        counts=grid.counts,
        size=request.grid.box,
        stride=request.grid.stride,
        occupied=occupied,
        pairs=pairs,
        seconds=seconds / workers,
        workers=workers,
        driver_bytes=driver,
        worker_bytes=WORKER_BYTES,
        refined=request.refine is not None,
        spheres=request.grid.shape == "sphere",
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
