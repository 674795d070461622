"""The structures that accuracies are measured on: prototypes, and defective variants drawn from a seed."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from engine.errors import CrysiftError
from engine.execution.events import PartDone, StageFinished, StageStarted
from engine.execution.packing import pack, predicted_pairs
from engine.structure import structures_table
from jobs.bench.processes import workers
from models.training.arise import CALIBRATION_SEED, DETECTION_SEED
from models.training.defects import BENCHMARK_DEFECTS, DRAWS, VALIDATION_SEED, Defect, defective
from models.training.recipe import SEED as TRAINING_SEED
from models.training.replicas import defect_hosts, label_of, pristine_structures

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from engine.execution import Listener
    from engine.store import Store, Table
    from engine.structure import Structure

PRISTINE = Defect()
KINDS = (PRISTINE, *BENCHMARK_DEFECTS)
"""What is measured, in the order of the published table (Leitherer et al. 2021)."""
STAGE = "structures"
REVISION = 1
"""Bumped when other structures come of the same settings."""
ROWS_PER_PART = 1024
USED_SEEDS = {CALIBRATION_SEED, DETECTION_SEED, VALIDATION_SEED, TRAINING_SEED}
PAIRS_PER_PART = 2e7
"""Predicted neighbour pairs: some seconds of work for the descriptor."""


def check_unseen(seed: int) -> None:
    """Raise CrysiftError for a seed whose structures the shipped models were made with."""
    if seed in USED_SEEDS:
        raise CrysiftError(
            f"--seed {seed} draws structures that models are trained, calibrated or chosen with (the seeds "
            f"{', '.join(map(str, sorted(USED_SEEDS)))}): take another, so that the test is unseen"
        )


@dataclass(frozen=True)
class BenchmarkSet:
    """Which structures: every pristine one, and `draws` variants of every host with each kind of defect."""

    seed: int = 0
    draws: int = DRAWS
    kinds: tuple[Defect, ...] = KINDS
    labels: tuple[str, ...] = ()
    """Only these prototypes; all where none is named."""
    pairs_per_part: float = PAIRS_PER_PART

    def parts(self) -> list[SetPart]:
        """Return how the structures are divided into parts of a table."""
        return [part for kind in self.kinds for part in self._parts_of(kind)]

    def _parts_of(self, kind: Defect) -> Iterator[SetPart]:
        hosts = self._chosen(_hosts(pristine=kind == PRISTINE))
        draws = 1 if kind == PRISTINE else self.draws
        costs = draws * predicted_pairs(
            [len(host.positions) for host in hosts], [len(set(host.species_at_sites)) for host in hosts]
        )
        for rows in pack(costs, self.pairs_per_part, max(1, ROWS_PER_PART // draws)):
            some = tuple(hosts[rows.start : rows.stop])
            yield SetPart(kind, some, draws, self.seed, float(costs[rows.start : rows.stop].sum()))

    def _chosen(self, structures: Iterable[Structure]) -> list[Structure]:
        return [s for s in structures if not self.labels or label_of(s.structure_id) in self.labels]


@dataclass(frozen=True)
class SetPart:
    """Structures that are drawn and stored together."""

    kind: Defect
    hosts: tuple[Structure, ...]
    draws: int
    seed: int
    cost: float
    """Predicted neighbour pairs."""

    @property
    def rows(self) -> int:
        """How many structures."""
        return self.draws * len(self.hosts)

    @cached_property
    def name(self) -> str:
        """The part's name in the table, which tells its content: it is known before anything is drawn."""
        content = hashlib.blake2b(f"{REVISION}:{self.seed}:{self.draws}:{self.kind.name}".encode())
        for host in self.hosts:
            content.update(host.structure_id.encode() + _content(host))
        return f"part-{self.kind.name}-{content.hexdigest()[:16]}"

    def structures(self) -> list[Structure]:
        """Draw them."""
        if self.kind == PRISTINE:
            return list(self.hosts)
        return list(defective(self.hosts, self.kind, self.draws, self.seed))


@lru_cache(maxsize=2)
def _hosts(*, pristine: bool) -> list[Structure]:
    return pristine_structures() if pristine else defect_hosts()


@lru_cache(maxsize=1024)
def _content(host: Structure) -> bytes:
    return host.content_hash


class Facts(NamedTuple):
    """What the ids (N,) of structures tell: their prototypes, and the places of their kinds in `KINDS`."""

    labels: list[str]
    kinds: list[int]


def facts_of(structure_ids: Iterable[str]) -> Facts:
    """Read the prototypes and the kinds of defect from the ids of structures made here."""
    places = {kind.name: place for place, kind in enumerate(KINDS)}
    labels, kinds = [], []
    for structure_id in structure_ids:
        _, *drawn = structure_id.split("/")
        labels.append(label_of(structure_id))
        kinds.append(places[drawn[1]] if len(drawn) > 1 else places[PRISTINE.name])
    return Facts(labels, kinds)


def write_structures(store: Store, chosen: BenchmarkSet, listener: Listener, processes: int) -> None:
    """Bring all structures into the store; an interrupted call goes on where it stopped.

    Raises CrysiftError where the store holds other structures.
    """
    parts = {part.name: part for part in chosen.parts()}
    present = store.structures.part_names()
    if present - parts.keys():
        raise CrysiftError(
            f"{store.folder.url} holds structures that are none of seed {chosen.seed} with {chosen.draws} "
            "draws of each: name another folder with --store"
        )
    missing = [part for name, part in parts.items() if name not in present]
    done = sum(part.rows for name, part in parts.items() if name in present)
    _commit_all(store.structures, missing, done, listener, min(processes, len(missing)))


def _commit_all(
    table: Table, parts: Sequence[SetPart], done: int, listener: Listener, processes: int
) -> None:
    rows = sum(part.rows for part in parts)
    words = f"{STAGE}: {rows:,} to draw, {done:,} drawn before"
    cost = sum(part.cost for part in parts)
    listener(StageStarted(STAGE, len(parts), rows, done, "inline", max(1, processes), cost, words))
    seconds = 0.0
    for event in _committed(table, parts, processes):
        seconds += event.seconds
        listener(event)
    listener(StageFinished(STAGE, len(parts), rows, 0, done, seconds / max(1, processes)))


def _committed(table: Table, parts: Sequence[SetPart], processes: int) -> Iterator[PartDone]:
    if processes < 2 or len(parts) < 4 * processes:
        yield from (_commit((table, part)) for part in parts)
        return
    with workers(processes) as apply:
        step = 4 * processes
        for start in range(0, len(parts), step):
            yield from apply(_commit, [(table, part) for part in parts[start : start + step]])


def _commit(task: tuple[Table, SetPart]) -> PartDone:
    table, part = task
    started = time.perf_counter()
    rows = _undated(structures_table(part.structures()))
    table.commit(part.name, rows, source_part=None, rows_in=len(rows), failed=0, cost=part.cost)
    return PartDone(STAGE, part.name, len(rows), {}, time.perf_counter() - started, part.cost)


def _undated(rows: pa.Table) -> pa.Table:
    """Put one time for all, so that the same draw is the same part, byte for byte."""
    place = rows.schema.get_field_index("fetched_at")
    field = rows.schema.field(place)
    return rows.set_column(place, field, pa.array([0] * len(rows), field.type))
