"""Why a structure is, or is not, out of distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from engine.columns import StructureColumns
from engine.descriptors.soap import SoapPairs, SoapSettings, soap_pairs
from engine.descriptors.soap.stage import species_codes
from engine.errors import CrysiftError, check_between
from engine.structure import Structure, structures_table
from jobs.explain.lookup import Found, look_up
from jobs.explain.symmetry import Symmetry, symmetry_of
from jobs.landscape.pipeline import features_of
from jobs.spm.maps.quantities import title_of
from models import DEFAULT_WEIGHTS
from models.contributions import Contributions, Scored, contributions
from models.ood import OutOfDistribution
from models.weights_file import Model, load_model_of

if TYPE_CHECKING:
    import pyarrow as pa

    from engine.store import Store

AGREEMENT = 1e-3
"""By which the score of the vector made again may differ from the stored one, as a share of what is larger:
it or 1."""
ELEMENTS = 256
"""Species codes from here on stand for labels, not for elements."""


@dataclass(frozen=True)
class Nearest:
    """The nearest training structure of a class, at a distance in units of the out-of-distribution score."""

    prototype: str
    title: str
    ood_score: float
    training_id: str


@dataclass(frozen=True)
class Spacing:
    """d_NN in Å of the neighbours of one species around the centres of another; None where there are none."""

    center: str
    neighbor: str
    d_nn: float | None


@dataclass(frozen=True)
class Verdict:
    """What the score says of a part of the descriptor."""

    ood_score: float
    ood_p_value: float
    nearest_class: str


@dataclass(frozen=True)
class SpeciesContribution:
    """What all pairs that one species is in add to the score.

    `contribution` is by how much it falls `without` them, which is the verdict on the mean over all others;
    None for the only species, and where the others have no neighbours. `sublattice` is the verdict on the
    atoms of this species as a structure of their own.
    """

    species: str
    contribution: float | None
    without: Verdict | None
    sublattice: Verdict | None


@dataclass(frozen=True)
class PairContribution:
    """What one pair of species, whichever of the two is the centre, adds to the score; likewise."""

    species: tuple[str, str]
    contribution: float | None
    without: Verdict | None
    spacings: tuple[Spacing, ...]

    @property
    def name(self) -> str:
        """Both species, as in Na–Cl."""
        return "–".join(self.species)


@dataclass(frozen=True)
class Explanation:
    """The answer about one structure; contributions are sorted, the largest first."""

    structure: Structure
    formula: str
    prediction: dict[str, Any]
    """The row of the predictions, without representation."""
    alpha: float
    """A structure is out of distribution up to this p-value."""
    nearest: tuple[Nearest, ...]
    species: tuple[SpeciesContribution, ...]
    pairs: tuple[PairContribution, ...]
    symmetry: Symmetry


def explain(
    store: Store, structure_id: str, weights: str = DEFAULT_WEIGHTS["arise"], nearest: int = 5
) -> Explanation:
    """Explain the newest prediction of the ARISE network about a structure of a store.

    The vector is made again from the structure, with the settings of the vectors that were predicted from;
    `weights` name the model of the predictions, `nearest` is how many classes to look for. Raises
    CrysiftError for what `look_up` refuses, other weights than those of the predictions, and a score that
    cannot be reproduced.
    """
    check_between("number of nearest classes", nearest, 1, 1000)
    found = look_up(store, structure_id)
    predictions = store.latest("predictions_arise")
    settings = SoapSettings(**features_of(store, predictions).fingerprint.settings)
    model = load_model_of(predictions, weights)
    table = structures_table([found.structure])
    names, pairs = _described(table, settings)
    ood = OutOfDistribution(model.network.head, model.reference)
    parts = contributions(pairs.spectra, ood)
    _check_agreement(found, parts.whole.score)
    return Explanation(
        structure=found.structure,
        formula=found.formula,
        prediction=found.prediction,
        alpha=predictions.fingerprint.settings["alpha"],
        nearest=_nearest(model, ood, pairs, nearest),
        species=_of_species(parts, names, model.labels),
        pairs=_of_pairs(parts, names, pairs, model.labels),
        symmetry=symmetry_of(table),
    )


def _described(table: pa.Table, settings: SoapSettings) -> tuple[list[str], SoapPairs]:
    """Return the names of a structure's species, in the order of their codes, and its pairs' spectra."""
    from ase.data import chemical_symbols

    columns = StructureColumns.from_table(table)
    codes = species_codes(columns, table["atomic_numbers"])
    positions, _, lattice, periodic = columns.row(0)
    different, first = np.unique(codes, return_index=True)
    labels = [columns.site_labels[int(site)].as_py() for site in first]
    names = [
        chemical_symbols[code] if code < ELEMENTS else label
        for code, label in zip(different, labels, strict=True)
    ]
    return names, soap_pairs(positions, codes, lattice, periodic, settings)


def _check_agreement(found: Found, score: float) -> None:
    """Raise CrysiftError where the stored score is that of another vector or model."""
    stored = float(found.prediction["ood_score"])
    if abs(score - stored) > AGREEMENT * max(1.0, stored):
        raise CrysiftError(
            f"the score of {found.structure.structure_id} is {score:.4g} when it is computed again, "
            f"{stored:.4g} in the store: the vector was made by another version or from another structure; "
            "screen it again into a new store"
        )


def _nearest(model: Model, ood: OutOfDistribution, pairs: SoapPairs, count: int) -> tuple[Nearest, ...]:
    """Find the nearest training structures of the classes that are nearest to the mean of all pairs."""
    vector = pairs.spectra.mean(axis=(0, 1)).astype(np.float32)
    found = ood.nearest_classes(torch.from_numpy(vector), count)
    return tuple(
        Nearest(model.labels[of], title_of(model.labels[of]), float(score), model.reference.ids[row])
        for of, score, row in zip(found.classes, found.score, found.row, strict=True)
    )


def _of_species(
    parts: Contributions, names: list[str], labels: tuple[str, ...]
) -> tuple[SpeciesContribution, ...]:
    found = [
        SpeciesContribution(
            name, _fall(parts, part.without), _verdict(part.without, labels), _verdict(own, labels)
        )
        for name, part, own in zip(names, parts.species, parts.sublattices, strict=True)
    ]
    return tuple(sorted(found, key=_rank))


def _of_pairs(
    parts: Contributions, names: list[str], pairs: SoapPairs, labels: tuple[str, ...]
) -> tuple[PairContribution, ...]:
    found = [
        PairContribution(
            (names[a], names[b]),
            _fall(parts, without),
            _verdict(without, labels),
            _spacings((a, b), names, pairs),
        )
        for (a, b), without in parts.pairs
    ]
    return tuple(sorted(found, key=_rank))


def _rank(of: SpeciesContribution | PairContribution) -> float:
    """The largest contribution first, one that is not known last."""
    return np.inf if of.contribution is None else -of.contribution


def _fall(parts: Contributions, without: Scored | None) -> float | None:
    return None if without is None else parts.whole.score - without.score


def _verdict(scored: Scored | None, labels: tuple[str, ...]) -> Verdict | None:
    return None if scored is None else Verdict(scored.score, scored.p_value, labels[scored.nearest])


def _spacings(pair: tuple[int, int], names: list[str], pairs: SoapPairs) -> tuple[Spacing, ...]:
    """Return d_NN of both directions of a pair; of one species there is one."""
    directions = dict.fromkeys([(pair[0], pair[1]), (pair[1], pair[0])])
    lengths = {(a, b): float(pairs.d_nn[a, b]) for a, b in directions}
    return tuple(
        Spacing(names[a], names[b], length if np.isfinite(length) else None)
        for (a, b), length in lengths.items()
    )
