"""OVITO's classifiers of atoms as competitors: what each must call an atom of which prototype."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa

from engine.columns import StructureColumns
from engine.descriptors.features import GEOMETRY
from engine.schema import STATUS_COLUMNS, STRUCTURE_ID
from engine.stage import BatchFunction, Resources, Stage
from jobs.bench.accuracy.symmetry import judged
from models.training.defects import nearest_neighbor_distances
from models.training.replicas import label_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.columns import Site

RMSD_CUTOFF = 0.1
"""Largest deviation from a template, in units of the nearest-neighbour distance (OVITO's default, 2021)."""

FCC, HCP, BCC = "fcc_Cu_A_cF4_225_a", "hcp_Mg_A_hP2_194_c", "bcc_W_A_cI2_229_a"
CLOSE_PACKED_AND_BCC = {FCC: "FCC", HCP: "HCP", BCC: "BCC"}
"""Prototype → the type that common neighbour analysis and Ackland–Jones give its atoms."""


class Template(NamedTuple):
    """What polyhedral template matching calls an atom: its surroundings, and how species are placed there."""

    structure: str
    orderings: tuple[str, ...]


TEMPLATES = {
    FCC: Template("FCC", ("PURE",)),
    HCP: Template("HCP", ("PURE",)),
    BCC: Template("BCC", ("PURE",)),
    "sc_alphaPo_A_cP1_221_a": Template("SC", ("PURE",)),
    "diam_C_A_cF8_227_a": Template("CUBIC_DIAMOND", ("PURE",)),
    "HexDiam_C_A_hP4_194_f": Template("HEX_DIAMOND", ("PURE",)),
    "C": Template("GRAPHENE", ("PURE",)),
    "L10_CuAu": Template("FCC", ("L10",)),
    "L12_Cu3Au": Template("FCC", ("L12_A", "L12_B")),
    "CsCl": Template("BCC", ("B2",)),
    "Zincblende_ZnS": Template("CUBIC_DIAMOND", ("ZINCBLENDE_WURTZITE",)),
    "Wurtzite_ZnS": Template("HEX_DIAMOND", ("ZINCBLENDE_WURTZITE",)),
    "BN": Template("GRAPHENE", ("BORON_NITRIDE",)),
}
"""Prototype → its template (Larsen et al., Modelling Simul. Mater. Sci. Eng. 24, 055007 (2016)).

L1₂ has two kinds of sites, the corners and the faces of the cube; an atom on either is right.
"""

_BETWEEN_SHELLS = (1.0 + math.sqrt(2.0)) / 2.0
CUTOFFS = {FCC: _BETWEEN_SHELLS, HCP: _BETWEEN_SHELLS, BCC: _BETWEEN_SHELLS * 2.0 / math.sqrt(3.0)}
"""Prototype → cutoff of common neighbour analysis, in units of the nearest-neighbour distance.

Halfway between the first two shells of a close-packed crystal, the second and the third of bcc (Stukowski,
Modelling Simul. Mater. Sci. Eng. 20, 045021 (2012), eqs. 1–3).
"""

METHODS: dict[str, Mapping[str, object]] = {
    "ptm": TEMPLATES,
    "cna": CLOSE_PACKED_AND_BCC,
    "adaptive_cna": CLOSE_PACKED_AND_BCC,
    "ackland_jones": CLOSE_PACKED_AND_BCC,
}
"""Column of a method → the prototypes that it can treat."""

_Judge = Callable[[Any, str], "NDArray[np.bool_]"]


@dataclass(frozen=True)
class LocalOrderStage(Stage):
    """structures → how many atoms each method gives the right type; null where it cannot treat a structure.

    Treated are periodic structures of the prototypes in `METHODS`.
    """

    name: ClassVar[str] = "local_orders"
    source: ClassVar[str] = "structures"
    revision: ClassVar[int] = 1

    @property
    def reads(self) -> pa.Schema:
        """Geometry and species."""
        return GEOMETRY

    @property
    def writes(self) -> pa.Schema:
        """The number of atoms, and how many of them are right by each method."""
        counts = (pa.field(name, pa.int32()) for name in ("n_atoms", *METHODS))
        return pa.schema([STRUCTURE_ID, *STATUS_COLUMNS, *counts])

    @property
    def resources(self) -> Resources:
        """One core, and the libraries of OVITO."""
        return Resources(memory_bytes=768 * 1024**2)

    def settings(self) -> dict[str, Any]:
        """The cutoffs, and the version of OVITO."""
        from importlib.metadata import version

        return {"rmsd_cutoff": RMSD_CUTOFF, "cutoffs": CUTOFFS, "ovito": version("ovito")}

    def open(self) -> BatchFunction:
        """Load OVITO and return the function on structures."""
        os.environ.setdefault("OVITO_THREAD_COUNT", "1")
        judges: dict[str, _Judge] = {
            "ptm": _template_judge(),
            "cna": _fixed_cutoff_judge(),
            "adaptive_cna": _adaptive_judge,
            "ackland_jones": _ackland_jones_judge,
        }
        return partial(self._judge, judges)

    def _judge(self, judges: Mapping[str, _Judge], batch: pa.Table) -> pa.Table:
        columns = StructureColumns.from_table(batch)
        right: dict[str, list[int | None]] = {name: [] for name in METHODS}
        for row, structure_id in enumerate(batch["structure_id"].to_pylist()):
            site, label = columns.row(row), label_of(structure_id)
            treated = [name for name, known in METHODS.items() if label in known and site[3].any()]
            atoms = _particles(site) if treated else None
            for name, counts in right.items():
                counts.append(int(judges[name](atoms, label).sum()) if name in treated else None)
        found = {name: pa.array(values, pa.int32()) for name, values in right.items()}
        n_atoms = {"n_atoms": pa.array(columns.nsites, pa.int32())}
        return judged(batch["structure_id"], {**n_atoms, **found}, self.writes)


def _particles(site: Site) -> Any:
    """The structure as OVITO reads it; species are types of particles."""
    from ovito.data import DataCollection

    positions, species, lattice, (first, second, third) = site
    collection = DataCollection()
    cell = np.zeros((3, 4))
    cell[:, :3] = lattice.T
    collection.create_cell(cell, pbc=(bool(first), bool(second), bool(third)))
    particles = collection.create_particles(count=len(positions))
    particles.create_property("Position", data=positions)
    particles.create_property("Particle Type", data=1 + np.unique(species, return_inverse=True)[1])
    return collection


def _are(atoms: Any, modifier: Any, wanted: Any) -> NDArray[np.bool_]:
    """Which atoms (n,) a modifier gives the wanted type."""
    found = atoms.clone()
    found.apply(modifier)
    return np.asarray(found.particles["Structure Type"][...] == int(wanted), np.bool_)


def _template_judge() -> _Judge:
    from ovito.modifiers import PolyhedralTemplateMatchingModifier as Matching

    matching = Matching(rmsd_cutoff=RMSD_CUTOFF, output_ordering=True)
    for template in {template.structure for template in TEMPLATES.values()}:
        matching.structures[int(getattr(Matching.Type, template))].enabled = True

    def judge(atoms: Any, label: str) -> NDArray[np.bool_]:
        structure, orderings = TEMPLATES[label]
        found = atoms.clone()
        found.apply(matching)
        allowed = [int(getattr(Matching.OrderingType, name)) for name in orderings]
        ordered = np.isin(np.asarray(found.particles["Ordering Type"][...]), allowed)
        of_type = np.asarray(found.particles["Structure Type"][...]) == int(getattr(Matching.Type, structure))
        return np.asarray(of_type & ordered)

    return judge


def _fixed_cutoff_judge() -> _Judge:
    from ovito.modifiers import CommonNeighborAnalysisModifier as Analysis

    lengths = nearest_neighbor_distances()

    def judge(atoms: Any, label: str) -> NDArray[np.bool_]:
        analysis = Analysis(mode=Analysis.Mode.FixedCutoff, cutoff=CUTOFFS[label] * lengths[label])
        return _are(atoms, analysis, getattr(Analysis.Type, CLOSE_PACKED_AND_BCC[label]))

    return judge


def _adaptive_judge(atoms: Any, label: str) -> NDArray[np.bool_]:
    from ovito.modifiers import CommonNeighborAnalysisModifier as Analysis

    analysis = Analysis(mode=Analysis.Mode.AdaptiveCutoff)
    return _are(atoms, analysis, getattr(Analysis.Type, CLOSE_PACKED_AND_BCC[label]))


def _ackland_jones_judge(atoms: Any, label: str) -> NDArray[np.bool_]:
    from ovito.modifiers import AcklandJonesModifier as Angles

    return _are(atoms, Angles(), getattr(Angles.Type, CLOSE_PACKED_AND_BCC[label]))
