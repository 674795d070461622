"""Structures in files of named formats: CIF, POSCAR, extended XYZ, FHI-aims and whatever ASE reads."""

import hashlib
import multiprocessing
import os
import weakref
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessPool

from connectors.entries import Failure, digest_of, rejects_table
from connectors.parsing import (
    BYTES_PER_SITE,
    FRAMED,
    NAMED,
    TRAJECTORY,
    FileTask,
    Frame,
    failure,
    format_of,
    index_frames,
    index_images,
    parse,
    readable,
)
from engine.errors import CrysiftError
from engine.execution.packing import TYPICAL_SPECIES, pack, predicted_pairs
from engine.source import PAGE_PAIRS, PAGE_ROWS, Harvest, Page, PageContent
from engine.structure import Structure, candidates_table

UNGUARDED = (
    "the processes that read files did not start; in a Python script, call crysift under "
    '`if __name__ == "__main__":`, because each of them imports the script again'
)


@dataclass(eq=False)
class FilesConnector:
    """Files below ``root``; each gives the structures it holds, or one reject with the reason.

    ``source_id`` is the path relative to ``root``, and ``#frame`` where a file holds several structures;
    ``url`` is the file's own URI, by which an edited file is told from another one of the same path.
    ``format`` names the format of all files; without it the name of each must tell. A file, or what a page
    holds of its frames, gets ``timeout`` seconds of a worker process. Files that were ``named`` one by one
    share no pages, so that naming one more reads no other again.
    """

    paths: list[Path]
    root: Path
    format: str | None = None
    timeout: float = 60.0
    named: bool = False
    source: str = "files"
    concurrency: int = field(default=1, init=False)
    live: bool = field(default=False, init=False)
    _pool: ProcessPool | None = field(default=None, init=False, repr=False)
    _stop: "weakref.finalize[..., Any] | None" = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse an unknown format, and files that were named, or are all there is, and tell no format."""
        if self.format is not None:
            _require_format(self.format)
            return
        untold = [path for path in self.paths if not format_of(path)]
        if untold and (self.named or len(untold) == len(self.paths)):
            raise CrysiftError(
                f"the name of {untold[0]} does not tell its format and formats are never guessed; "
                f"pass --format with one of ASE's names (cif, extxyz, vasp, aims, ...). {NAMED}"
            )

    def describe(self) -> dict[str, Any]:
        """Tell how many files of which format are read from where."""
        return {
            "connector": "files",
            "root": str(self.root),
            "files": len(self.paths),
            "format": self.format,
            "timeout_seconds": self.timeout,
        }

    def pages(self, previous: Harvest | None) -> Iterator[Page]:
        """Yield pages of whole files and frames, keyed by their names, formats and bytes."""
        if previous is None:
            for paths in [[path] for path in self.paths] if self.named else [self.paths]:
                yield from self._pages_of(paths)

    def _pages_of(self, paths: list[Path]) -> Iterator[Page]:
        """Yield pages that these files share."""
        waiting: list[_Unit] = []
        for path in paths:
            for unit in self._units(path):
                waiting.append(unit)
                if len(waiting) > PAGE_ROWS:
                    *full, last = pack([u.cost for u in waiting], PAGE_PAIRS, PAGE_ROWS)
                    yield from (_page([waiting[i] for i in rows]) for rows in full)
                    waiting = [waiting[i] for i in last]
        for rows in pack([unit.cost for unit in waiting], PAGE_PAIRS, PAGE_ROWS):
            yield _page([waiting[i] for i in rows])

    def read(self, page: Page) -> PageContent:
        """Parse the page's files in worker processes."""
        tasks: list[FileTask] = page.payload
        pool = self._workers(len(tasks))
        futures = [pool.schedule(parse, args=(task, self.source), timeout=self.timeout) for task in tasks]
        results: list[Structure | Failure] = []
        for task, future in zip(tasks, futures, strict=True):
            try:
                results += future.result()
            except TimeoutError:
                results += [Failure(row, "TimeOut", self._too_slow(task)) for row in task.row_ids]
            except BrokenProcessPool as error:
                raise CrysiftError(UNGUARDED) from error
            except ProcessExpired as error:
                crashed = (failure(task, row, error) for row in task.row_ids)
                results += [replace(reason, error_class="ParserCrash") for reason in crashed]
        structures = [result for result in results if isinstance(result, Structure)]
        failures = [result for result in results if isinstance(result, Failure)]
        return PageContent(candidates_table(structures), rejects_table(self.source, failures))

    def close(self) -> None:
        """End the worker processes."""
        if self._stop is not None:
            self._stop()
        self._pool = None

    def _units(self, path: Path) -> Iterator["_Unit"]:
        name = self.format or format_of(path)
        task = FileTask(path, readable(path.relative_to(self.root)), name)
        try:
            digest, size = digest_of(path), path.stat().st_size
        except OSError:  # the worker meets it again and tells the reason
            yield _Unit(task, "unreadable", 0.0)
            return
        if name not in FRAMED or size == 0:
            yield _Unit(task, digest, _predicted_cost(size / BYTES_PER_SITE))
            return
        frames = iter(index_images(path) if name == TRAJECTORY else index_frames(path))
        first_two = list(islice(frames, 2))
        if not first_two:  # blank lines only, or no trajectory: a reject, as an empty file is
            yield _Unit(task, digest, 0.0)
        numbered = replace(task, numbered=len(first_two) > 1)
        for frame in chain(first_two, frames):
            yield _Unit(replace(numbered, frames=(frame,)), digest, _predicted_cost(frame.sites))

    def _workers(self, n_tasks: int) -> ProcessPool:
        """Start the worker processes once; they end with the connector."""
        if self._pool is None:
            tasks = len(self.paths) if self.named else max(n_tasks, 1)
            workers = min(len(os.sched_getaffinity(0)), tasks)
            self._pool = ProcessPool(workers, context=multiprocessing.get_context("spawn"))
            self._stop = weakref.finalize(self, self._pool.stop)
        return self._pool

    def _too_slow(self, task: FileTask) -> str:
        advice = "leave it out"
        if task.format not in FRAMED:
            advice += ", or convert it to extxyz, whose frames are read page by page, if it holds many"
        return f"{task.place} took longer than {self.timeout:g} s to read as {task.format}; {advice}"


@dataclass(frozen=True)
class _Unit:
    """The least that a page can hold: a file, or a frame of one."""

    task: FileTask
    digest: str
    cost: float


def _predicted_cost(sites: float) -> float:
    return float(predicted_pairs(sites, TYPICAL_SPECIES))


def _page(units: list[_Unit]) -> Page:
    """One page; frames of the same file become one task."""
    identity = hashlib.sha256()
    tasks: list[FileTask] = []
    for _, group in groupby(units, key=lambda unit: unit.task.path):
        members = list(group)
        frames = tuple(frame for unit in members for frame in unit.task.frames or ())
        task = members[0].task
        tasks.append(replace(task, frames=frames) if task.frames is not None else task)
        span = _span(frames)
        identity.update(f"{task.source_id}\0{task.format}\0{members[0].digest}\0{span}\0".encode())
    first, last = tasks[0].source_id, tasks[-1].source_id
    label = first if first == last else f"{first} to {last}"
    return Page(key=f"files:{identity.hexdigest()}", label=label, payload=tasks)


def _span(frames: tuple[Frame, ...]) -> str:
    return f"{frames[0].index}-{frames[-1].index}" if frames else "all"


def _require_format(name: str) -> None:
    from ase.io.formats import ioformats

    if name not in ioformats:
        raise CrysiftError(
            f"format {name!r} is not known; name one that ASE reads, such as cif, extxyz, vasp, aims, "
            "espresso-in, castep-cell, traj (all of them: `ase info --formats`)"
        )
