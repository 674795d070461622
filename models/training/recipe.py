"""What networks are trained on: pristine prototypes seen through many descriptors, and defective ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.descriptors.soap import SOAP_WIDTH
from engine.errors import CrysiftError, check_between
from engine.execution.events import Listener, ignore
from engine.structure import Structure
from models.prototypes import Prototype, prototypes
from models.training.defects import Defect, nearest_neighbor_distances, variant
from models.training.distortions import Distortion, all_distorted
from models.training.grid import GridSettings, grid_vectors
from models.training.randomness import random_generator
from models.training.replicas import (
    defect_hosts,
    is_smallest,
    label_of,
    name_of,
    pieces_of,
    pristine_structures,
)

Floats = NDArray[np.float32]
Classes = NDArray[np.int64]

SEED = 1000
"""Of training structures; structures that networks are tested, calibrated and chosen by have other seeds."""


MOST = 100_000
"""Of anything that is drawn for a prototype."""


@dataclass(frozen=True)
class Recipe:
    """How training vectors are made of prototypes.

    Every pristine structure gives one vector for each point of the grid. The grid of the publication varies
    cutoff, σ and scale over ± 25, 20 and 5 %. Here it follows what disorder does to a vector that is read at
    the central cutoff and σ: displacements smear the density and shorten d_NN, for each pair of species by
    itself. So smearings, scales below 1 and mixed scales stand for disorder, though no defective structure
    is drawn.
    """

    grid: GridSettings = field(
        default_factory=lambda: GridSettings(
            cutoffs=(3.8, 4.0, 4.2),
            sigmas=(0.1,),
            scales=(0.85, 0.875, 0.9, 0.925, 0.95, 0.975, 1.0, 1.025, 1.05),
            smearings=(0.0, 0.04, 0.06, 0.08, 0.1),
            mixed=90,
        )
    )
    pieces: int = 0
    """Pieces with other faces, edges and corners of every periodic prototype, see `pieces_of`."""
    vectors_of_piece: int = 10
    """Vectors of a piece in which each pair of species has its own scale, beside one for each smearing."""
    draws: int = 0
    """Variants, read at the grid's centre, of every cluster and supercell: defective ones, distorted ones."""
    draws_of_smallest: int = 0
    """Further ones of nanotubes and of every smallest cluster and supercell, the hardest to tell."""
    distorted: float = 0.0
    """Share of the draws in which a prototype has lattice parameters and free coordinates of its own."""
    distortion: Distortion = field(default_factory=lambda: Distortion(0.1, 0.1))
    """How far these are varied."""
    undisturbed: float = 0.0
    """Share of the variants without any defect."""
    strongest: Defect = field(default_factory=lambda: Defect(displacement=0.12, vacancies=0.35))
    """Up to here displacements and shares of missing atoms are drawn, uniformly."""
    only_displaced: float = 0.35
    """Share of the defective variants in which no atom is missing."""
    only_vacant: float = 0.15
    """Share of the defective variants in which no atom is displaced."""

    def __post_init__(self) -> None:
        for count in ("pieces", "vectors_of_piece", "draws", "draws_of_smallest"):
            check_between(f"recipe: {count}", getattr(self, count), 0, MOST)
        for share in ("distorted", "undisturbed", "only_displaced", "only_vacant"):
            check_between(f"recipe: {share}", getattr(self, share), 0.0, 1.0)
        of_one_kind = self.only_displaced + self.only_vacant
        check_between("recipe: only_displaced + only_vacant", of_one_kind, 0.0, 1.0)

    @property
    def center(self) -> GridSettings:
        """The grid of one point at which structures are read: its middle, of atoms at rest."""
        grid = self.grid
        cutoff, sigma = (values[len(values) // 2] for values in (grid.cutoffs, grid.sigmas))
        return GridSettings((cutoff,), (sigma,), (1.0,), grid.basis)

    @property
    def grid_of_pieces(self) -> GridSettings:
        """The descriptor settings at which pieces are seen."""
        return replace(
            self.center,
            smearings=self.grid.smearings,
            mixed=self.vectors_of_piece,
            mixed_scales=self.grid.mixed_scales or self.grid.scales,
        )

    def variants(self, of: Sequence[Prototype]) -> Iterator[Structure]:
        """Draw the defective and the distorted structures; what is neither is among the pristine ones."""
        lengths = nearest_neighbor_distances(of)
        for draw in range(self.draws + self.draws_of_smallest):
            drawn = all_distorted(of, self.distortion, SEED, draw, self.distorted)
            as_known = {new.name for new, old in zip(drawn, of, strict=True) if new is old}
            for host in defect_hosts(drawn):
                if draw >= self.draws and not is_smallest(host):
                    continue
                name = name_of(host.structure_id)
                defect = self._defect(random_generator(SEED, f"{host.structure_id}/{draw}"))
                if defect != Defect() or name not in as_known:
                    yield variant(host, defect, lengths[name], draw, SEED)

    def _defect(self, random: np.random.Generator) -> Defect:
        if random.random() < self.undisturbed:
            return Defect()
        which = random.random()
        displacement = random.uniform(0.0, self.strongest.displacement)
        vacancies = random.uniform(0.0, self.strongest.vacancies)
        if which < self.only_displaced:
            vacancies = 0.0
        elif which < self.only_displaced + self.only_vacant:
            displacement = 0.0
        return Defect(round(displacement, 4), round(vacancies, 4))


class TrainingVectors(NamedTuple):
    """Vectors that a network is trained on.

    `pristine` (structures, size, 316) belong to the structures `ids` (structures,) of `classes` (structures,)
    and are as the recipe's grid asks; `further` (M, 316) are those of pieces and of variants and belong to
    `further_classes` (M,). `crystals` are the rows of the latter that belong to distorted crystals without
    defects, `crystal_ids` those of the crystals.
    """

    pristine: Floats
    classes: Classes
    ids: tuple[str, ...]
    further: Floats
    further_classes: Classes
    crystals: NDArray[np.int64]
    crystal_ids: tuple[str, ...]

    @property
    def all(self) -> tuple[Floats, Classes]:
        """All vectors (N, 316) and their classes (N,), pristine ones first."""
        rows = self.pristine.reshape(-1, self.pristine.shape[-1])
        classes = np.repeat(self.classes, self.pristine.shape[1])
        return np.concatenate([rows, self.further]), np.concatenate([classes, self.further_classes])

    def at_rest(self, recipe: Recipe) -> tuple[Floats, Classes, tuple[str, ...]]:
        """Vectors (M, 316) of crystals at rest, without defects, their classes (M,) and names (M,).

        These are the pristine structures at all scales of the recipe, but nothing else varied, and the
        distorted crystals.
        """
        [center] = recipe.center.points
        chosen = {
            number: f"/scale-{point.scale:g}" if point.scale != center.scale else ""
            for number, point in enumerate(recipe.grid.points)
            if (point.cutoff, point.sigma, point.smearing) == (center.cutoff, center.sigma, 0.0)
        }
        rows = self.pristine[:, list(chosen)]
        vectors = [rows.reshape(-1, rows.shape[-1]), self.further[self.crystals]]
        classes = [np.repeat(self.classes, len(chosen)), self.further_classes[self.crystals]]
        names = (f"{name}{scale}" for name in self.ids for scale in chosen.values())
        return np.concatenate(vectors), np.concatenate(classes), (*names, *self.crystal_ids)


@dataclass(frozen=True)
class Workplace:
    """Where vectors are kept between interruptions, and who is told of their progress."""

    folder: Path
    listener: Listener = ignore

    def vectors(self, name: str, structures: Sequence[Structure], grid: GridSettings) -> Floats:
        """Vectors (structures, size, 316), through a store under a name that no other structures have."""
        digest = hashlib.sha256(repr(grid).encode()).hexdigest()[:8]  # parts are cut as suits the grid
        return grid_vectors(self.folder / f"{name}-{digest}", structures, grid, self.listener)

    def central_vectors(self, name: str, structures: Sequence[Structure], center: GridSettings) -> Floats:
        """Vectors (structures, 316) at the only point of `center`."""
        return self.vectors(name, structures, center)[:, 0]

    def training_vectors(
        self, recipe: Recipe, of: Sequence[Prototype], labels: Sequence[str]
    ) -> TrainingVectors:
        """Vectors of all that the recipe makes of prototypes, whose classes are numbered as in `labels`."""
        pristine, variants = pristine_structures(of), list(recipe.variants(of))
        pieces = pieces_of(of, recipe.pieces, SEED)
        further = [
            self.vectors(name, structures, grid)
            if structures
            else np.empty((0, grid.size, SOAP_WIDTH), np.float32)
            for name, structures, grid in (
                ("pieces", pieces, recipe.grid_of_pieces),
                ("variants", variants, recipe.center),
            )
        ]
        of_piece = np.repeat(classes_of(pieces, labels), recipe.grid_of_pieces.size)
        crystals = [row for row, structure in enumerate(variants) if _is_crystal_at_rest(structure)]
        return TrainingVectors(
            pristine=self.vectors("pristine", pristine, recipe.grid),
            classes=classes_of(pristine, labels),
            ids=tuple(structure.structure_id for structure in pristine),
            further=np.concatenate([vectors.reshape(-1, vectors.shape[-1]) for vectors in further]),
            further_classes=np.concatenate([of_piece, classes_of(variants, labels)]),
            crystals=len(of_piece) + np.array(crystals, np.int64),
            crystal_ids=tuple(variants[row].structure_id for row in crystals),
        )


def _is_crystal_at_rest(structure: Structure) -> bool:
    """Whether a variant is periodic, without defects, and the smallest of supercells of one crystal."""
    return structure.source_id.split("/")[1:3] == ["supercell-0", Defect().name]


def classes_of(structures: Iterable[Structure], labels: Sequence[str] | None = None) -> Classes:
    """Numbers (n,) of the classes of structures made of prototypes, by the places of their labels."""
    names = [prototype.label for prototype in prototypes()] if labels is None else labels
    place = {label: number for number, label in enumerate(names)}
    try:
        return np.array([place[label_of(structure.structure_id)] for structure in structures], np.int64)
    except KeyError as unknown:
        raise CrysiftError(f"the class {unknown} is none of the {len(place)} that are asked for") from None
