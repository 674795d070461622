"""What the labels of a file stand for, as a user writes it: 1=Ni,2=Al."""

from engine.errors import CrysiftError
from engine.species import ATOMIC_NUMBERS

NAME_TYPES = "name their elements, as in --species 1=Ni,2=Al"


def parse_species(text: str | None) -> dict[str, str]:
    """Read pairs of label and element; a lone element, for files without species, has the label "".

    Raises CrysiftError for what is neither, and for symbols that are no elements.
    """
    names: dict[str, str] = {}
    for pair in (text or "").split(",") if text else []:
        label, equals, element = pair.strip().rpartition("=")
        if not element or (equals and not label):
            raise CrysiftError(f"--species {text!r} is not understood: {NAME_TYPES}, or one element")
        if element.strip() not in ATOMIC_NUMBERS:
            raise CrysiftError(f"--species names {element.strip()!r}, which is not the symbol of an element")
        if label.strip() in names:
            raise CrysiftError(f"--species names {label.strip() or 'one element'!r} twice: {NAME_TYPES}")
        names[label.strip()] = element.strip()
    return names
