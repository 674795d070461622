"""The structures that accuracies are measured on: prototypes, and defective variants drawn from a seed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from engine.errors import CrysiftError
from engine.execution.packing import pack, predicted_pairs
from jobs.bench.drawn import write_structures
from models.training.arise import CALIBRATION_SEED, DETECTION_SEED
from models.training.defects import BENCHMARK_DEFECTS, DRAWS, VALIDATION_SEED, Defect, defective
from models.training.recipe import SEED as TRAINING_SEED
from models.training.replicas import defect_hosts, label_of, pristine_structures

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from engine.execution import Listener
    from engine.store import Store
    from engine.structure import Structure

PRISTINE = Defect()
KINDS = (PRISTINE, *BENCHMARK_DEFECTS)
"""What is measured, in the order of the published table (Leitherer et al. 2021)."""
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

    def write(self, store: Store, listener: Listener, processes: int) -> None:
        """Bring all structures into the store, see `jobs.bench.drawn.write_structures`."""
        what = f"seed {self.seed} with {self.draws} draws of each"
        write_structures(store, self.parts(), what, listener, processes)

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
