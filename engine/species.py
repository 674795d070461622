"""What the label of a site stands for: elements, isotopes, partially occupied sites, formulas."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm
from types import MappingProxyType
from typing import Any

_PERIODIC_TABLE = """
H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr
Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu
Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr
Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
"""
ELEMENTS = tuple(_PERIODIC_TABLE.split())
HYDROGEN_ISOTOPES: Mapping[str, float] = MappingProxyType({"D": 2.01410177812, "T": 3.0160492820})
"""Labels that stand for an isotope of hydrogen, with its mass in u (AME2020)."""
ATOMIC_NUMBERS: Mapping[str, int] = MappingProxyType(
    {symbol: z for z, symbol in enumerate(ELEMENTS, start=1)} | dict.fromkeys(HYDROGEN_ISOTOPES, 1)
)
PROTIUM_MASS = 1.008
MASS_TOLERANCE = 0.01
"""In u; tells an isotope of hydrogen from protium."""
VACANCY = "vacancy"

OCCUPANCY_TOLERANCE = 1e-6
FULL_OCCUPANCY_TOLERANCE = 1e-8
"""Within it, shares that a source gives for a site sum to 1, and nothing is vacant."""
MAX_DENOMINATOR = 1000
SHARES = 10_000
"""Shares are the same where they round to the same multiple of 1/10,000."""


@dataclass(frozen=True)
class Species:
    """An entry of OPTIMADE's ``species``: what occupies the sites that carry the label ``name``.

    ``concentration`` is the share of each chemical symbol; what is missing to 1 is vacant. ``mass`` in u.
    """

    name: str
    chemical_symbols: tuple[str, ...]
    concentration: tuple[float, ...]
    mass: tuple[float, ...] | None = None
    attached: tuple[str, ...] | None = None
    nattached: tuple[int, ...] | None = None

    @classmethod
    def of_label(cls, label: str) -> "Species":
        """Return the trivial species: sites with this label are fully occupied by the element it names."""
        if label in HYDROGEN_ISOTOPES:
            return cls(label, ("H",), (1.0,), mass=(HYDROGEN_ISOTOPES[label],))
        return cls(label, (label,), (1.0,))

    @classmethod
    def of_shares(cls, shares: Mapping[str, float]) -> "Species":
        """One element's trivial species, or a definition named after its contents (``Fe0.5Ni0.5``).

        ``shares`` are the atoms of each element per site; what is missing to 1 is vacant.
        """
        total = sum(shares.values())
        if len(shares) == 1 and abs(total - 1.0) < FULL_OCCUPANCY_TOLERANCE:
            return cls.of_label(next(iter(shares)))
        symbols = sorted(shares)
        name = "".join(f"{symbol}{shares[symbol]:.6g}" for symbol in symbols)
        amounts = [shares[symbol] for symbol in symbols]
        if total < 1.0 - FULL_OCCUPANCY_TOLERANCE:
            symbols, amounts = [*symbols, VACANCY], [*amounts, 1.0 - total]
        return cls(name, tuple(symbols), tuple(amounts))

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Species":
        """Read a species from a cell of the structures table; masses count only where all are given."""
        mass, attached, nattached = (row.get(name) for name in ("mass", "attached", "nattached"))
        return cls(
            name=row["name"],
            chemical_symbols=tuple(row["chemical_symbols"]),
            concentration=tuple(row["concentration"]),
            mass=None if mass is None or None in mass else tuple(mass),
            attached=None if attached is None else tuple(attached),
            nattached=None if nattached is None else tuple(nattached),
        )

    @property
    def is_ordered(self) -> bool:
        """Whether one element fully occupies the sites."""
        single = len(self.chemical_symbols) == len(self.concentration) == 1
        return single and self.concentration[0] >= 1.0 - OCCUPANCY_TOLERANCE

    @property
    def is_trivial(self) -> bool:
        """Whether the name alone already says everything."""
        return self.plain_label == self.name

    @property
    def plain_label(self) -> str | None:
        """The label that alone says as much, if any; a mass counts only where it makes an isotope."""
        if not self.is_ordered or any(self.nattached or ()):
            return None
        label = self._label(0)
        odd = label == "H" and self.mass and abs(self.mass[0] - PROTIUM_MASS) > MASS_TOLERANCE
        return None if odd else label

    @property
    def atomic_number(self) -> int | None:
        """Atomic number of the element that fully occupies the sites, if one does."""
        return ATOMIC_NUMBERS[self.chemical_symbols[0]] if self.is_ordered else None

    def _label(self, index: int) -> str:
        """Symbol of one occupant; D and T by its mass, or by the name where there is none."""
        symbol = self.chemical_symbols[index]
        if self.mass:
            return isotope_label(symbol, self.mass[index]) if index < len(self.mass) else symbol
        return self.name if symbol == "H" and self.name in HYDROGEN_ISOTOPES else symbol

    @property
    def amounts(self) -> dict[str, float]:
        """Atoms of each element per site."""
        shares: dict[str, float] = {}
        for symbol, share in zip(self.chemical_symbols, self.concentration, strict=True):
            if symbol != VACANCY and share > 0.0:
                element = "H" if symbol in HYDROGEN_ISOTOPES else symbol
                shares[element] = shares.get(element, 0.0) + share
        return shares

    @property
    def occupants(self) -> str:
        """What occupies the sites, as JSON that is the same for all definitions that mean the same.

        Pairs of element (or D and T) and share in 1/10,000, then pairs of attached element and number, both
        sorted; neither the name nor vacancies nor other masses matter.
        """
        shares: dict[str, float] = {}
        for index, share in enumerate(self.concentration):
            label = self._label(index)
            shares[label] = shares.get(label, 0.0) + share
        attached: dict[str, int] = {}
        for symbol, number in zip(self.attached or (), self.nattached or (), strict=False):
            attached[symbol] = attached.get(symbol, 0) + (number or 0)
        rounded = {label: round(share * SHARES) for label, share in shares.items() if label != VACANCY}
        return json.dumps([sorted((s, n) for s, n in counts.items() if n) for counts in (rounded, attached)])

    def fault(self) -> str | None:
        """Why the definition is unusable, or None."""
        if len(self.chemical_symbols) != len(self.concentration) or not self.chemical_symbols:
            return (
                f"species {self.name!r} has {len(self.chemical_symbols)} chemical symbols "
                f"and {len(self.concentration)} concentrations"
            )
        unknown = [s for s in self.chemical_symbols if s not in ATOMIC_NUMBERS and s != VACANCY]
        if unknown:
            return f"species {self.name!r} contains {unknown[0]!r}, which is not an element symbol"
        total = sum(self.concentration)
        if not (min(self.concentration) >= 0.0 and 0.0 < total <= 1.0 + 1e-3):
            return f"species {self.name!r} has concentrations that sum to {total:g}, beyond (0, 1]"
        if not self.amounts:
            return f"species {self.name!r} consists of vacancies alone"
        return None


def isotope_label(symbol: str, mass: float) -> str:
    """Return the label of an atom of this ``mass`` in u: D or T for heavy hydrogen, else its symbol."""
    if symbol == "H":
        for label, isotope_mass in HYDROGEN_ISOTOPES.items():
            if abs(mass - isotope_mass) < MASS_TOLERANCE:
                return label
    return symbol


def reduced_formula(amounts: Mapping[str, float]) -> str:
    """Elements in alphabetical order with the smallest whole numbers (``chemical_formula_reduced``).

    Fractional amounts, of partially occupied sites, are brought to whole numbers through their nearest
    fractions with denominators up to ``MAX_DENOMINATOR``.
    """
    fractions = {s: Fraction(a).limit_denominator(MAX_DENOMINATOR) for s, a in sorted(amounts.items())}
    scale = lcm(*(f.denominator for f in fractions.values()))
    counts = {symbol: int(f * scale) for symbol, f in fractions.items() if f > 0}
    divisor = gcd(*counts.values()) or 1
    return "".join(s + (str(n // divisor) if n != divisor else "") for s, n in counts.items())


def total_amounts(labels: Sequence[str], species: Mapping[str, Species]) -> dict[str, float]:
    """Atoms of each element in a structure, given what its site labels stand for."""
    totals: dict[str, float] = {}
    for label in labels:
        for symbol, amount in species[label].amounts.items():
            totals[symbol] = totals.get(symbol, 0.0) + amount
    return totals
