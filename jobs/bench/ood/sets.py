"""The structures of the benchmark: known types as real crystals have them, and others in three strata.

* **Known**: the 108 prototypes with displaced, missing and exchanged atoms, under strain, and as crystals of
  the same types with other lattice parameters and free coordinates.
* **Near**: what is easily mistaken for a class. Types in a space group of a class, and classes that are
  distorted so far that they are others.
* **Mid**: all other types that AFLOW lists.
* **Far**: no crystal of few atoms at all. Packings, glasses, approximants of quasicrystals, crystals of
  molecules.

What is drawn depends on the seed and on a structure's name alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from itertools import count, islice
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from engine.execution.packing import predicted_pairs
from engine.structure import Structure
from jobs.bench.accuracy.sets import USED_SEEDS
from jobs.bench.drawn import write_structures
from jobs.bench.ood.distortive import strained, superstructure
from jobs.bench.ood.molecules import molecular_crystal
from jobs.bench.ood.packings import ATOMS, glass, random_packing
from jobs.bench.ood.quasicrystals import approximant
from jobs.bench.ood.unknown import unknown_types
from models.prototypes import Prototype, prototypes
from models.training.defects import Defect, nearest_neighbor_distance, variant
from models.training.distortions import all_distorted
from models.training.evaluate import USUAL_DISTORTION
from models.training.randomness import random_generator
from models.training.replicas import defect_hosts, name_of

if TYPE_CHECKING:
    from engine.execution import Listener
    from engine.store import Store

Stratum = Literal["known", "near", "mid", "far"]
Maker = Callable[[str, np.random.Generator], Structure]
"""Makes a structure of a name and random numbers."""
DistortionMaker = Callable[[Prototype, str, np.random.Generator], Structure]
"""Likewise of a prototype."""

MILD = (
    *(Defect(displacement=share) for share in (0.01, 0.02, 0.04)),
    *(Defect(vacancies=share) for share in (0.01, 0.05, 0.10)),
    Defect(0.02, 0.05),
    Defect(0.04, 0.10),
)
"""Disorder up to δ 4 % and η 10 %."""
OF_UNKNOWN = (Defect(), Defect(displacement=0.02), Defect(vacancies=0.05))
"""Unknown types are disordered as known ones are, so that disorder does not give them away."""
EXCHANGED = 0.04
"""Share of the atoms that change places with one of another species."""
STRAIN = 0.02
"""Of known types under strain: largest principal strain, in any direction."""
FAR_EACH = 60
DISTORTIONS_EACH = 3


@dataclass(frozen=True)
class Group:
    """Structures of one kind.

    `goal` says whether the goals of the benchmark are about them, `draw` makes them from a seed; `rows` is
    their number where drawing takes so long that it should be known before.
    """

    name: str
    stratum: Stratum
    draw: Callable[[int], Iterator[Structure]]
    goal: bool = True
    rows: int | None = None


def _disordered(seed: int) -> Iterator[Structure]:
    """Every cluster, supercell and nanotube with one kind of mild disorder after the other."""
    for number, host in enumerate(defect_hosts()):
        kind = MILD[(number + seed) % len(MILD)]
        yield variant(host, kind, _length(host), 0, seed)


def _other_parameters(seed: int) -> Iterator[Structure]:
    """Crystals of known types with lattice parameters and free coordinates of their own, some disordered."""
    for draw, kind in enumerate((Defect(), Defect(displacement=0.02))):
        changed = all_distorted(prototypes(), USUAL_DISTORTION, seed, draw)
        for new, old in zip(changed, prototypes(), strict=True):
            if new is not old:
                yield from (variant(host, kind, _length(host), draw, seed) for host in _crystals(new))


def _under_strain(seed: int) -> Iterator[Structure]:
    for prototype in prototypes():
        for host in _crystals(prototype):
            random = random_generator(seed, f"{host.structure_id}/strain")
            tensor = random.normal(size=(3, 3))
            tensor = (tensor + tensor.T) / 2
            strain = np.eye(3) + tensor * random.uniform(0, STRAIN) / np.abs(np.linalg.eigvalsh(tensor)).max()
            yield _changed(host, "strain", positions=host.positions @ strain, lattice=host.cell @ strain)


def _with_exchanged_atoms(seed: int) -> Iterator[Structure]:
    for prototype in prototypes():
        if len(set(prototype.species)) > 1:
            for host in _crystals(prototype):
                random = random_generator(seed, f"{host.structure_id}/exchange")
                yield _changed(host, "exchange", species_at_sites=_exchanged(host.species_at_sites, random))


def _unknown(seed: int, *, familiar: bool) -> Iterator[Structure]:
    """Crystals of unknown types, with parameters of their own, pristine and with mild disorder."""
    of = [each.prototype for each in unknown_types() if each.familiar == familiar]
    for draw, kind in enumerate(OF_UNKNOWN):
        for prototype in all_distorted(of, USUAL_DISTORTION, seed, draw, share=0.5):
            d_nn = nearest_neighbor_distance(prototype)
            yield from (variant(host, kind, d_nn, draw, seed) for host in _crystals(prototype))


def _distorted(make: DistortionMaker, word: str, seed: int) -> Iterator[Structure]:
    for prototype in prototypes():
        if all(prototype.periodic):
            for draw in range(DISTORTIONS_EACH):
                name = f"{word}/{prototype.name}/{draw}"
                yield make(prototype, name, random_generator(seed, name))


def _drawn(make: Maker, word: str, seed: int) -> Iterator[Structure]:
    for draw in range(FAR_EACH):
        name = f"{word}/{draw}"
        yield make(name, random_generator(seed, name))


GROUPS = (
    Group("displaced and missing atoms", "known", _disordered),
    Group("other lattice parameters", "known", _other_parameters, goal=False),
    Group("under strain", "known", _under_strain, goal=False),
    Group("exchanged atoms", "known", _with_exchanged_atoms, goal=False),
    Group("types in a known space group", "near", partial(_unknown, familiar=True)),
    Group("superstructures of classes", "near", partial(_distorted, superstructure, "superstructure")),
    Group("classes under large strain", "near", partial(_distorted, strained, "strained")),
    Group("other types", "mid", partial(_unknown, familiar=False)),
    Group("random packings", "far", partial(_drawn, random_packing, "packing"), rows=FAR_EACH),
    Group("glasses", "far", partial(_drawn, glass, "glass"), rows=FAR_EACH),
    Group("quasicrystal approximants", "far", partial(_drawn, approximant, "approximant"), rows=FAR_EACH),
    Group("molecular crystals", "far", partial(_drawn, molecular_crystal, "molecules"), rows=FAR_EACH),
)

BY_NAME = {group.name: group for group in GROUPS}
DISTORTED = ("superstructure", "strained")
"""Words before the prototype in the names of distorted classes."""


def _crystals(prototype: Prototype) -> list[Structure]:
    """The smallest periodic supercell of at least 100 atoms; none of a nanotube."""
    return [host for host in defect_hosts([prototype]) if host.source_id.endswith("supercell-0")]


def _length(host: Structure) -> float:
    """d_NN, Å, of the prototype that a structure was made of."""
    return nearest_neighbor_distance(_by_name()[name_of(host.structure_id)])


@lru_cache(maxsize=1)
def _by_name() -> dict[str, Prototype]:
    return {prototype.name: prototype for prototype in prototypes()}


def _exchanged(species: Sequence[str], random: np.random.Generator) -> tuple[str, ...]:
    """Let a few pairs of atoms of different species change places, at least one."""
    labels = np.array(species)
    for _ in range(max(1, round(EXCHANGED * len(labels) / 2))):
        first = random.integers(len(labels))
        second = random.choice(np.flatnonzero(labels != labels[first]))
        labels[[first, second]] = labels[[second, first]]
    return tuple(map(str, labels))


def _changed(host: Structure, how: str, **changes: Any) -> Structure:
    return replace(host, source_id=f"{host.source_id}/{how}", **changes)


REVISION = 1
"""Bumped when other structures come of the same settings."""
SEEDS = 5
CALIBRATION_FROM = 100
"""Seeds of calibration structures are as much larger than those of the test."""
LARGEST_FAR = predicted_pairs([ATOMS[1]], [2])[0]


@dataclass(frozen=True)
class GroupPart:
    """The structures of a group that one seed gives, or one in `every` of them, stored together."""

    group: Group
    seed: int
    every: int = 1

    @property
    def name(self) -> str:
        """The part's name in the table; the revision stands for the code that draws."""
        word = self.group.name.replace(" ", "-")
        return f"part-{word}-{self.seed}-{self.every}-{REVISION}"

    @cached_property
    def drawn(self) -> list[Structure]:
        """The structures, under ids that tell group and seed."""
        return [
            replace(structure, source="ood", source_id=f"{self.group.name}/{self.seed}/{structure.source_id}")
            for structure in islice(self.group.draw(self.seed), 0, None, self.every)
        ]

    @property
    def rows(self) -> int:
        """How many structures."""
        return len(self.drawn) if self.group.rows is None else -(-self.group.rows // self.every)

    @property
    def cost(self) -> float:
        """Predicted neighbour pairs; at most so many where drawing takes long."""
        if self.group.rows is not None:
            return float(self.rows * LARGEST_FAR)
        sizes = [len(structure.positions) for structure in self.drawn]
        species = [len(set(structure.species_at_sites)) for structure in self.drawn]
        return float(np.sum(predicted_pairs(sizes, species)))

    def structures(self) -> list[Structure]:
        """Draw them."""
        return self.drawn


@dataclass(frozen=True)
class OodSet:
    """Which structures: those of all groups for several seeds, and others that p-values are calibrated on."""

    first: int = 0
    """The first seed; those that models are made with are passed over."""
    seeds: int = SEEDS
    every: int = 1
    """Of the structures of a group one in so many."""
    groups: tuple[Group, ...] = GROUPS

    @cached_property
    def test_seeds(self) -> tuple[int, ...]:
        """Seeds of the structures that scores are judged by."""
        unused = (seed for seed in count(self.first) if seed not in USED_SEEDS)
        return tuple(islice(unused, self.seeds))

    def parts(self) -> list[GroupPart]:
        """Return how the structures are divided into parts of a table."""
        return [GroupPart(group, seed, self.every) for seed in self.test_seeds for group in self.groups]

    def calibration_parts(self) -> list[GroupPart]:
        """Structures with mild disorder, every one with every kind of it."""
        start = CALIBRATION_FROM + self.first
        seeds = islice((seed for seed in count(start) if seed not in USED_SEEDS), len(MILD))
        return [GroupPart(self.groups[0], seed, self.every) for seed in seeds]

    def write(self, store: Store, calibration: Store, listener: Listener, processes: int) -> None:
        """Bring all structures into two stores, see `jobs.bench.drawn.write_structures`."""
        what = f"seeds {', '.join(map(str, self.test_seeds))}, one structure in {self.every}"
        write_structures(store, self.parts(), what, listener, processes)
        write_structures(calibration, self.calibration_parts(), what, listener, processes)


class Facts(NamedTuple):
    """What the id of a structure tells."""

    group: Group
    seed: int
    origin: str
    """The prototype or the type that it was made of; its own name in the stratum "far"."""


def facts_of(structure_id: str) -> Facts:
    """Read the group, the seed and the origin from the id of a structure made here."""
    group, seed, *rest = structure_id.removeprefix("ood:").split("/")
    made_of = rest[1] if rest[0] in DISTORTED else rest[0]
    origin = "/".join(rest) if BY_NAME[group].stratum == "far" else made_of
    return Facts(BY_NAME[group], int(seed), origin)
