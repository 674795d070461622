"""What symmetry calls prototypes: the second opinion beside a network's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ase.data import atomic_numbers

from engine.symmetry.protostructure import (
    PROTOSTRUCTURE_TOLERANCE,
    Protostructure,
    protostructure,
)
from models.prototypes import CUBIC_ELEMENTAL, Prototype, class_prototypes

TOLERANCES = (PROTOSTRUCTURE_TOLERANCE, 0.2)
"""Å, by which a prototype may miss a symmetry that crystals of its class have: the perovskites of the table,
from calculations, are less symmetric by 0.1 to 0.2 Å than most perovskites are."""


def structure_type(
    prototype: Prototype, tolerance: float = PROTOSTRUCTURE_TOLERANCE
) -> Protostructure | None:
    """The structure type of a prototype, None where it has no cell or symmetry cannot be determined."""
    if not all(prototype.periodic):
        return None
    symbols = (name.rstrip("0123456789+-") for name in prototype.species)
    numbers = np.array([atomic_numbers[symbol] for symbol in symbols])
    try:
        return protostructure(prototype.positions, numbers, prototype.lattice, tolerance)
    except ValueError:
        return None


def classes_by_type(metadata: Mapping[str, Any]) -> dict[str, list[str]]:
    """A model's classes by the labels of their structure types: several of one where coordinates differ.

    `metadata` stands in the model's file. Raises CrysiftError for a class whose structure is not known.
    """
    cubic = {name: label for label, name in CUBIC_ELEMENTAL.items()}
    labels = {cubic.get(label, label): label for label in metadata["labels"]}
    found: dict[str, list[str]] = {}
    for prototype in class_prototypes(tuple(labels), metadata["card"].get("added", ())):
        label = labels[prototype.label]
        for kind in filter(None, (structure_type(prototype, tolerance) for tolerance in TOLERANCES)):
            if label not in found.setdefault(kind.label, []):
                found[kind.label].append(label)
    return found
