"""What each pair of species adds to the distance from the training data.

The descriptor is a mean over ordered pairs of species. Without some of them it is the mean over the others,
a vector of the same kind, which can be scored like the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from models.ood import OutOfDistribution

Mask = NDArray[np.bool_]
"""(S, S): which ordered pairs of species, centre first, are meant."""


class Scored(NamedTuple):
    """What the score says of one vector: the fields of `OodScores`, and the nearest class."""

    score: float
    p_value: float
    nearest: int


class Part(NamedTuple):
    """Some pairs of species, and the score of the mean over all others; None where these have no neighbours.

    `species` are the numbers of one species, for all pairs that it is in, or of the two of a pair.
    """

    species: tuple[int, ...]
    without: Scored | None


class Contributions(NamedTuple):
    """The score of a structure's vector, and what it is without some of it."""

    whole: Scored
    species: tuple[Part, ...]
    pairs: tuple[Part, ...]
    """Unordered pairs: both ordered ones, of which either is the centre, are left out together."""
    sublattices: tuple[Scored | None, ...]
    """Of each species' atoms as a structure of their own; None where they have no neighbours."""


def contributions(spectra: NDArray[np.float64], ood: OutOfDistribution) -> Contributions:
    """Score the mean of the `spectra` (S, S, width) of ordered pairs, and the means with parts left out."""
    count = len(spectra)
    species: list[tuple[int, ...]] = [(a,) for a in range(count)]
    pairs: list[tuple[int, ...]] = list(combinations_with_replacement(range(count), 2))
    everything = np.ones((count, count), np.bool_)
    rest = [~_mask(part, count) for part in (*species, *pairs)]
    own = [_mask((a, a), count) for a in range(count)]
    whole, *scored = _scores(spectra, [everything, *rest, *own], ood)
    if whole is None:
        raise ValueError("no atom has a neighbour: there is no vector to score")
    parts = [Part(*each) for each in zip((*species, *pairs), scored, strict=False)]
    return Contributions(whole, tuple(parts[:count]), tuple(parts[count:]), tuple(scored[len(rest) :]))


def _mask(part: tuple[int, ...], count: int) -> Mask:
    """The ordered pairs of a part: of one species all, as centre or neighbour, of two those between them."""
    mask = np.zeros((count, count), np.bool_)
    if len(part) == 1:
        mask[part, :] = mask[:, part] = True
    else:
        mask[part[0], part[1]] = mask[part[1], part[0]] = True
    return mask


def _scores(
    spectra: NDArray[np.float64], masks: Sequence[Mask], ood: OutOfDistribution
) -> list[Scored | None]:
    """Scores of the means over the pairs of each mask; None where these are none, or without neighbours."""
    sums = np.array([spectra[mask].sum(axis=0) for mask in masks])
    counts = np.array([max(int(mask.sum()), 1) for mask in masks])
    found = ood(torch.from_numpy((sums / counts[:, None]).astype(np.float32)))
    columns = (found.score.tolist(), found.p_value.tolist(), found.nearest.tolist())
    scores = [Scored(*values) for values in zip(*columns, strict=True)]
    return [score if total.any() else None for score, total in zip(scores, sums, strict=True)]
