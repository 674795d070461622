"""How large a piece of a crystal must be to resemble the crystal: clusters and supercells of growing size.

Similarity is the cosine between SOAP vectors, and between last hidden layers, as in Leitherer et al., Nat.
Commun. 12, 6234 (2021).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.structure import Structure
from jobs.studies.arise.study import with_columns
from jobs.studies.checks import Check

if TYPE_CHECKING:
    from jobs.studies.arise.classify import Classified
    from models.prototypes import Prototype

SOURCE = "supercells"
MOST_ATOMS, QUICK_MOST_ATOMS = 2000, 200
SUPERCELLS = 3
"""Periodic supercells of 2 × 2 × 2 and 3 × 3 × 3 cells, in-plane only for a layer, besides the cell."""
TRAINED_FROM = 100
"""Atoms of the smallest clusters of the training set."""


class Smallest(NamedTuple):
    """From how many atoms on the clusters of a prototype are recognised; None where the largest is not."""

    label: str
    family: str
    atoms: int | None


def structures(quick: bool) -> list[Structure]:
    """Cell, supercells and clusters of each of the 96 periodic prototypes; nanotubes have one size only."""
    from models.prototypes import prototypes

    most = QUICK_MOST_ATOMS if quick else MOST_ATOMS
    periodic = [prototype for prototype in prototypes() if prototype.is_periodic]
    return [piece for prototype in periodic for piece in _pieces(prototype, most)]


def tabulate(series: Sequence[Structure], classified: Classified) -> pa.Table:
    """Size and similarity to the periodic cell of every piece, and whether its class is right."""
    from models.prototypes import prototypes

    families = {prototype.label: prototype.family for prototype in prototypes()}
    labels, kinds, counts = zip(*(_piece_of(structure) for structure in series), strict=True)
    right = [
        label == said for label, said in zip(labels, classified.said["prototype"].to_pylist(), strict=True)
    ]
    return with_columns(
        classified.said,
        label=(labels, None),
        family=([families[label] for label in labels], None),
        kind=(kinds, None),
        replicas=(pa.array(counts, pa.int32()), None),
        n_atoms=(pa.array([len(structure.positions) for structure in series], pa.int32()), None),
        similarity_descriptor=(_similarity(classified.descriptors, labels, kinds), None),
        similarity_representation=(_similarity(classified.representations, labels, kinds), None),
        is_right=(right, None),
    )


def checks(rows: pa.Table) -> list[Check]:
    """Supercells are the crystal, clusters grow towards it, and are recognised from 100 atoms on."""
    kinds, atoms = np.array(rows["kind"].to_pylist()), rows["n_atoms"].to_numpy()
    right = rows["is_right"].to_numpy()
    alike = rows["similarity_descriptor"].to_numpy()
    periodic, clusters = kinds == "supercell", kinds == "cluster"
    large = clusters & (atoms >= TRAINED_FROM)
    steps, rising = _growth(rows)
    return [
        Check(
            f"smallest similarity of {int(periodic.sum())} periodic supercells to their cells (SOAP)",
            float(alike[periodic].min()),
            0.9999,
        ),
        Check(
            f"share of {int(periodic.sum())} periodic supercells recognised",
            float(right[periodic].mean()),
            1.0,
        ),
        Check(
            f"share of {int(large.sum()):,} clusters of {TRAINED_FROM} atoms and more recognised",
            float(right[large].mean()),
            0.99,
        ),
        Check(
            f"share of {int((clusters & ~large).sum()):,} smaller clusters recognised",
            float(right[clusters & ~large].mean()),
        ),
        Check(
            f"share of {steps:,} steps in size that bring a cluster nearer to the crystal (SOAP)", rising, 0.9
        ),
    ]


def smallest_recognised(rows: pa.Table) -> list[Smallest]:
    """For every prototype the size from which on all clusters are recognised, in the table's order."""
    found = []
    for label, clusters in _clusters(rows):
        wrong = [place for place, each in enumerate(clusters) if not each["is_right"]]
        first = wrong[-1] + 1 if wrong else 0
        atoms = clusters[first]["n_atoms"] if first < len(clusters) else None
        found.append(Smallest(label, clusters[0]["family"], atoms))
    return found


def _pieces(prototype: Prototype, most: int) -> Iterator[Structure]:
    """The cell first, then supercells, then clusters by size, of at least two atoms."""
    from models.training.replicas import replicate

    along = sum(prototype.periodic)
    first, second, third = (int(axis) for axis in prototype.periodic)
    for n in itertools.count(1):
        if n > SUPERCELLS and n**along * len(prototype.species) > most:
            return
        counts = (n if first else 1, n if second else 1, n if third else 1)
        species, positions = replicate(prototype, counts)
        if n <= SUPERCELLS:
            lattice = prototype.lattice * np.array(counts)[:, None]
            name = f"{prototype.label}/supercell-{n}"
            yield Structure(SOURCE, name, species, positions, lattice, (first, second, third))
        if 1 < len(species) <= most:
            yield Structure(SOURCE, f"{prototype.label}/cluster-{n}", species, positions)


def _piece_of(structure: Structure) -> tuple[str, str, int]:
    """Prototype, kind and replicas along an axis; one cell with its periodicity is "periodic"."""
    label, piece = structure.source_id.split("/")
    kind, count = piece.split("-")
    return label, "periodic" if (kind, count) == ("supercell", "1") else kind, int(count)


def _similarity(
    vectors: NDArray[np.float64], labels: Sequence[str], kinds: Sequence[str]
) -> NDArray[np.float64]:
    """Cosines (N,) between vectors (N, width) and that of the periodic cell of the same prototype."""
    whole = {
        label: row for row, (label, kind) in enumerate(zip(labels, kinds, strict=True)) if kind == "periodic"
    }
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(np.einsum("ij,ij->i", unit, unit[[whole[label] for label in labels]]))


def _growth(rows: pa.Table) -> tuple[int, float]:
    """Steps from one cluster to the next larger one, and the share of them that raise the similarity."""
    steps = [
        later["similarity_descriptor"] > earlier["similarity_descriptor"]
        for _, clusters in _clusters(rows)
        for earlier, later in itertools.pairwise(clusters)
    ]
    return len(steps), float(np.mean(steps))


def _clusters(rows: pa.Table) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Clusters of every prototype, by size."""
    clusters = (row for row in rows.to_pylist() if row["kind"] == "cluster")
    for label, of_label in itertools.groupby(clusters, key=lambda row: str(row["label"])):
        yield label, sorted(of_label, key=lambda row: int(row["n_atoms"]))
