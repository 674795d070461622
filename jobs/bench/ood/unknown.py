"""Structure types that are none of the classes, each once: AFLOW prototypes that ship with pymatgen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from engine.symmetry.protostructure import Protostructure
from models.prototypes import Prototype, prototypes
from models.structure_types import structure_type
from models.training.unknowns import unknown_prototypes


@dataclass(frozen=True)
class UnknownType:
    """A structure type that is none of the classes.

    `familiar` says whether its space group is that of a class.
    """

    prototype: Prototype
    type: Protostructure
    familiar: bool


@lru_cache(maxsize=1)
def unknown_types() -> tuple[UnknownType, ...]:
    """All types that neither a symmetry label nor a geometric match makes one of the 108, each once.

    The label is that of the space group and the Wyckoff positions; the match, pymatgen's anonymous one, finds
    crystals that are nearly of a class, whatever their symmetry. The first crystal of a type stands for it.
    """
    known = [kind for prototype in prototypes() if (kind := structure_type(prototype))]
    labels, groups = {each.label for each in known}, {each.space_group for each in known}
    found: dict[str, UnknownType] = {}
    for structure in unknown_prototypes():
        prototype = Prototype(
            label=structure.source_id,
            title=structure.source_id,
            family="AFLOW",
            source="pymatgen",
            space_group=None,
            species=structure.species_at_sites,
            lattice=structure.cell,
            positions=structure.positions,
            periodic=(True, True, True),
        )
        kind = structure_type(prototype)
        if kind is not None and kind.label not in labels:
            found.setdefault(kind.label, UnknownType(prototype, kind, kind.space_group in groups))
    return tuple(found.values())
