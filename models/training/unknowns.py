"""Crystals of prototypes that the network does not know: the test of out-of-distribution scores."""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

from engine.structure import Structure
from models.prototypes import Prototype, prototypes

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure as PymatgenStructure

SOURCE = "aflow"


def unknown_prototypes() -> list[Structure]:
    """AFLOW prototypes shipped with pymatgen that match no periodic one of the 108, of any elements.

    Matching is pymatgen's anonymous one at its default, wide tolerances, so
    that what is left is certainly of another prototype; crystals of different anonymous formulas cannot
    match. Source: M. J. Mehl et al., Comput. Mater. Sci. 136, S1 (2017).
    """
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher()
    known: dict[str, list[PymatgenStructure]] = {}
    for prototype in prototypes():
        if all(prototype.periodic):
            crystal = crystal_of(prototype)
            known.setdefault(crystal.composition.anonymized_formula, []).append(crystal)
    return [
        Structure.from_pymatgen(crystal, SOURCE, name)
        for name, crystal in aflow_crystals()
        if not any(
            matcher.fit_anonymous(crystal, other)
            for other in known.get(crystal.composition.anonymized_formula, ())
        )
    ]


def aflow_crystals() -> list[tuple[str, PymatgenStructure]]:
    """All AFLOW prototypes that ship with pymatgen, with a name made of their number and their mineral."""
    library: list[dict[str, Any]] = import_module("pymatgen.analysis.prototypes").AFLOW_PROTOTYPE_LIBRARY
    return [
        (f"{number:03d}-{_name(entry['tags'])}", entry["snl"].structure)
        for number, entry in enumerate(library)
    ]


def _name(tags: dict[str, str]) -> str:
    words = tags.get("mineral") or tags.get("aflow") or "unnamed"
    return re.sub(r"\W+", "-", words)


def crystal_of(prototype: Prototype) -> PymatgenStructure:
    """A periodic prototype as pymatgen's structure."""
    from pymatgen.core.structure import Structure as PymatgenStructure

    return PymatgenStructure(
        prototype.lattice, prototype.species, prototype.positions, coords_are_cartesian=True
    )
