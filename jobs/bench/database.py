"""A database of crystals for ingest to be measured on: as OPTIMADE gives them, and the Materials Project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import CrysiftError
from engine.species import ELEMENTS
from jobs.bench.structures import draw_structures

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from jobs.bench import BenchmarkSettings
    from jobs.bench.structures import Sample

LARGEST_SCALE = 0.1
"""Lattice constants are up to this share larger than those of the sample."""
UPDATED = "2025-09-25T00:00:00Z"

Document = dict[str, Any]


@dataclass(frozen=True)
class Database:
    """``count`` crystals: the samples in turn, each time in a larger cell and with an id of its own."""

    samples: Sequence[Sample]
    count: int

    def entry(self, number: int) -> Document:
        """The entry of an OPTIMADE service."""
        labels, positions, lattice = self._crystal(number)
        elements = sorted(set(labels))
        attributes = {
            "immutable_id": f"{number:024x}",
            "last_modified": UPDATED,
            "nsites": len(labels),
            "species_at_sites": labels,
            "species": [
                {"name": element, "chemical_symbols": [element], "concentration": [1.0]}
                for element in elements
            ],
            "cartesian_site_positions": positions,
            "lattice_vectors": lattice,
            "dimension_types": [1, 1, 1],
            "structure_features": [],
            "assemblies": None,
        }
        return {"id": f"s-{number:09d}", "type": "structures", "attributes": attributes}

    def document(self, number: int) -> Document:
        """The summary document of the Materials Project: what is read, and what its model demands."""
        labels, positions, lattice = self._crystal(number)
        fractional = positions @ np.linalg.inv(lattice)
        sites = [
            {"species": [{"element": label, "occu": 1.0}], "abc": abc, "xyz": xyz, "label": label}
            for label, abc, xyz in zip(labels, fractional.tolist(), positions.tolist(), strict=True)
        ]
        return {
            "material_id": f"mp-{10**8 + number}",
            "nsites": len(labels),
            "nelements": len(set(labels)),
            "deprecated": False,
            "last_updated": UPDATED,
            "builder_meta": {"license": "BY-C"},
            "energy_above_hull": number / self.count,
            "theoretical": number % 2 == 0,
            "is_stable": False,
            "property_name": "summary",
            "task_ids": [],
            "warnings": [],
            "structure": {
                "@module": "pymatgen.core.structure",
                "@class": "Structure",
                "lattice": {"matrix": lattice.tolist(), "pbc": [True, True, True]},
                "sites": sites,
            },
        }

    def _crystal(self, number: int) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]]:
        sample = self.samples[number % len(self.samples)]
        labels = [ELEMENTS[code % len(ELEMENTS)] for code in sample.species.tolist()]
        scale = 1.0 + LARGEST_SCALE * number / self.count
        return labels, scale * sample.positions, scale * sample.lattice


def draw_crystals(settings: BenchmarkSettings, count: int) -> list[Sample]:
    """Draw structures that are periodic in three dimensions, the smallest first.

    Raises:
        CrysiftError: the source has none.
    """
    drawn = draw_structures(settings.source, count, settings.seed)
    crystals = [sample for sample in drawn if sample.periodic.all()]
    if not crystals:
        raise CrysiftError(f"there are no crystals in {settings.source} to measure on: name another --source")
    return sorted(crystals, key=lambda crystal: len(crystal.positions))
