"""Labels of structure types: what remains of a crystal without its elements, lengths and free coordinates.

A label is the anonymous formula, the Pearson symbol, the number of the space group and the Wyckoff positions
of each species, as in ``ABC3_cP5_221_a_b_c``. Notation: AFLOW prototype labels (M. J. Mehl et al., Comput.
Mater. Sci. 136, S1 (2017)). Theirs take species in the alphabetical order of elements; here they stand by
rising amount, so that fluorite and anti-fluorite share a label. Which structures are of one type, mirror
images included: J. Lima-de-Faria et al., Acta Cryst. A 46, 1 (1990), "isopointal".
"""

from __future__ import annotations

import string
from collections import Counter
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.symmetry.crystal import FROM_LENGTHS, crystal_symmetry
from engine.symmetry.permutations import LETTERS, permutations

if TYPE_CHECKING:
    from spglib import SpglibDataset

PROTOSTRUCTURE_TOLERANCE = 0.1
"""Å, by which atoms may miss the symmetry of the structure type; the Materials Project's."""
MIRROR_IMAGES = {
    78: 76, 95: 91, 96: 92, 145: 144, 153: 151, 154: 152, 170: 169, 172: 171, 179: 178, 181: 180, 213: 212
}  # fmt: skip
"""Space groups that come in pairs, with the same letters for mirrored positions: the other one of each."""
MAX_SPECIES = len(string.ascii_uppercase)

Letters = tuple[tuple[int, int], ...]
"""Wyckoff positions of one species, as places in `LETTERS`, ascending, and how many orbits are on each."""

_FAMILIES = ((2, "a"), (15, "m"), (74, "o"), (142, "t"), (194, "h"), (230, "c"))
"""The last space group of each crystal family, and its letter."""


class Protostructure(NamedTuple):
    """A structure type and the space group it is in."""

    label: str
    space_group: int
    """Number of the crystal's own space group, also where it is the mirror image of the label's."""


class _Species(NamedTuple):
    amount: int
    """In the reduced formula."""
    letters: Letters


class TooManySpeciesError(ValueError):
    """More elements than an anonymous formula has letters for."""


def protostructure(
    positions: NDArray[np.float64],
    numbers: NDArray[np.int64],
    lattice: NDArray[np.float64],
    tolerance: float = PROTOSTRUCTURE_TOLERANCE,
) -> Protostructure:
    """The structure type of a crystal, whatever its description: cell, axes, origin, orientation.

    `positions` (n, 3) Å Cartesian, `numbers` (n,) atomic numbers, `lattice` (3, 3) Å as rows; atoms may
    miss the symmetry by the tolerance in Å, and lattice vectors likewise. Mirror images share the label of
    the one in the space group of the lower number. Types that differ in free coordinates alone share a label,
    too. Raises ValueError where no symmetry can be determined, and for more than 26 elements.
    """
    data = crystal_symmetry(positions, numbers, lattice, tolerance, FROM_LENGTHS)
    number = MIRROR_IMAGES.get(data.number, data.number)
    species = _canonical(number, _species(data, numbers))
    formula = _anonymous_formula([each.amount for each in species])
    sites = ("".join(_orbits_text(*pair) for pair in each.letters) for each in species)
    label = "_".join([formula, _pearson_symbol(data), str(number), *sites])
    return Protostructure(label, int(data.number))


@lru_cache(maxsize=65_536)
def _canonical(number: int, species: tuple[_Species, ...]) -> tuple[_Species, ...]:
    """One description for all that differ by the choice of axes and origin.

    Of those that the affine normalizer of the space group makes of one another, with species of equal amounts
    in any order, the one with the first letters is taken.
    """
    chosen = permutations(number)
    used = {letter for each in species for letter, _ in each.letters}
    if all(permutation[letter] == letter for permutation in chosen for letter in used):
        return tuple(sorted(species))
    return min(_renamed(species, permutation) for permutation in chosen)


def _renamed(species: tuple[_Species, ...], permutation: tuple[int, ...]) -> tuple[_Species, ...]:
    """Return species with other letters, by amount and then by letters."""
    return tuple(
        sorted(
            _Species(amount, tuple(sorted((permutation[letter], count) for letter, count in letters)))
            for amount, letters in species
        )
    )


def _species(data: SpglibDataset, numbers: NDArray[np.int64]) -> tuple[_Species, ...]:
    """The species of a crystal, from its orbits."""
    elements, counts = np.unique(data.std_types, return_counts=True)
    if len(elements) > MAX_SPECIES:
        raise TooManySpeciesError(f"{len(elements)} elements are more than {MAX_SPECIES}, A to Z")
    amounts = dict(zip(elements.tolist(), (counts // np.gcd.reduce(counts)).tolist(), strict=True))
    first = np.unique(data.crystallographic_orbits)
    orbits = sorted((int(numbers[k]), LETTERS.index(data.wyckoffs[k])) for k in first)
    return tuple(
        _Species(amounts[element], tuple(sorted(Counter(letter for _, letter in members).items())))
        for element, members in groupby(orbits, key=lambda orbit: orbit[0])
    )


def _anonymous_formula(amounts: list[int]) -> str:
    return "".join(
        name + (str(amount) if amount > 1 else "")
        for name, amount in zip(string.ascii_uppercase, amounts, strict=False)
    )


def _orbits_text(letter: int, count: int) -> str:
    return (str(count) if count > 1 else "") + LETTERS[letter]


def _pearson_symbol(data: SpglibDataset) -> str:
    """Crystal family, lattice and atoms: of the rhombohedral cell for R, else of the conventional one."""
    family = next(letter for last, letter in _FAMILIES if data.number <= last)
    centering = str(data.international)[0]
    atoms = len(data.std_types)
    if centering == "R":
        return f"{family}R{atoms // 3}"
    return f"{family}{'C' if centering in 'AB' else centering}{atoms}"
