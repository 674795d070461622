"""Ten crystals that are none of the 108 prototypes, and their kin among these by crystal chemistry.

Eight ship with pymatgen (M. J. Mehl et al., Comput. Mater. Sci. 136, S1 (2017)); benzene and K2PtCl6 are made
here from their published coordinates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from engine.errors import CrysiftError
from engine.structure import Structure

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure as PymatgenStructure

SOURCE = "out-of-sample"


@dataclass(frozen=True, kw_only=True)
class UnlistedCrystal:
    """A crystal and its kin: the classes that share its building principle, for the `reason` given."""

    name: str
    title: str
    build: Callable[[], PymatgenStructure]
    kin: tuple[str, ...]
    reason: str

    def structure(self) -> Structure:
        """The crystal as a record."""
        return Structure.from_pymatgen(self.build(), SOURCE, self.name)


def of_aflow(label: str) -> PymatgenStructure:
    """Return the crystal with this AFLOW label; raises CrysiftError where pymatgen has none."""
    library: list[dict[str, Any]] = import_module("pymatgen.analysis.prototypes").AFLOW_PROTOTYPE_LIBRARY
    found = [entry["snl"].structure for entry in library if entry["tags"].get("aflow") == label]
    if len(found) != 1:
        raise CrysiftError(
            f"pymatgen has {len(found)} AFLOW prototypes {label!r}, and this study needs one: install the "
            "version of pymatgen that constraints.txt names"
        )
    crystal: PymatgenStructure = found[0]
    return crystal


def benzene() -> PymatgenStructure:
    """Solid benzene at 218 K, orthorhombic, Pbca; lengths in Å.

    Neutron diffraction: G. E. Bacon, N. A. Curry, S. A. Wilson, Proc. R. Soc. A 279, 98 (1964). Half of a
    molecule is independent, the other half is its image under inversion.
    """
    from pymatgen.core.lattice import Lattice
    from pymatgen.core.structure import Structure as PymatgenStructure

    carbon = [(-0.0569, 0.1387, -0.0054), (-0.1335, 0.0460, 0.1264), (-0.0774, -0.0925, 0.1295)]
    hydrogen = [(-0.0976, 0.2447, -0.0177), (-0.2409, 0.0794, 0.2218), (-0.1371, -0.1631, 0.2312)]
    cell = Lattice.orthorhombic(7.44, 9.55, 6.92)
    return PymatgenStructure.from_spacegroup("Pbca", cell, ["C"] * 3 + ["H"] * 3, carbon + hydrogen)


def potassium_hexachloroplatinate() -> PymatgenStructure:
    """K2PtCl6, cubic, Fm-3m, J1_1; lengths in Å.

    F. J. Ewing, L. Pauling, Z. Kristallogr. 68, 223 (1928): Pt 4a, K 8c, Cl 24e with x = 0.24.
    """
    from pymatgen.core.lattice import Lattice
    from pymatgen.core.structure import Structure as PymatgenStructure

    sites = [(0.0, 0.0, 0.0), (0.25, 0.25, 0.25), (0.24, 0.0, 0.0)]
    return PymatgenStructure.from_spacegroup("Fm-3m", Lattice.cubic(9.755), ["Pt", "K", "Cl"], sites)


_GRAPHITIC = ("C", "HexGraph_C_A_hP4_194_bc", "rhombGraph_C_A_hR2_166_c")
_IN_PRISMS = ("FeB", "CrB", "MnP")

UNLISTED: tuple[UnlistedCrystal, ...] = (
    UnlistedCrystal(
        name="fluorite",
        title="fluorite, CaF₂",
        build=partial(of_aflow, "AB2_cF12_225_a_c"),
        kin=("CsCl", "Zincblende_ZnS"),
        reason="CsCl with every other cube of F empty; zinc blende with both kinds of tetrahedra filled",
    ),
    UnlistedCrystal(
        name="tungsten-carbide",
        title="WC",
        build=partial(of_aflow, "AB_hP2_187_d_a"),
        kin=("MoS2", "MoSSe", "NiAs"),
        reason="trigonal prisms of six around an atom of the other species",
    ),
    UnlistedCrystal(
        name="boron-nitride",
        title="hexagonal BN",
        build=partial(of_aflow, "AB_hP4_194_c_d"),
        kin=("BN", *_GRAPHITIC),
        reason="flat layers of hexagons",
    ),
    UnlistedCrystal(
        name="cementite",
        title="cementite, Fe₃C",
        build=partial(of_aflow, "AB3_oP16_62_c_cd"),
        kin=_IN_PRISMS,
        reason="the small atom in trigonal prisms of metal atoms, space group Pnma",
    ),
    UnlistedCrystal(
        name="copper-trititanium",
        title="CuTi₃",
        build=partial(of_aflow, "AB3_tP4_123_a_ce"),
        kin=("L12_Cu3Au",),
        reason="L1₂ shortened along one axis, c/a = 0.86",
    ),
    UnlistedCrystal(
        name="benzene",
        title="benzene, C₆H₆",
        build=benzene,
        kin=("CH", *_GRAPHITIC),
        reason="rings of six carbon atoms; in CH, too, each has one H",
    ),
    UnlistedCrystal(
        name="rutile",
        title="rutile, TiO₂",
        build=partial(of_aflow, "A2B_tP6_136_f_a"),
        kin=("CdI2", "NiAs"),
        reason="half or all octahedra filled in hexagonal close packing, distorted in rutile",
    ),
    UnlistedCrystal(
        name="niobium-monoxide",
        title="NbO",
        build=partial(of_aflow, "AB_cP6_221_c_d"),
        kin=("RockSalt_NaCl",),
        reason="rock salt without a quarter of the atoms of each species",
    ),
    UnlistedCrystal(
        name="silicon-carbide-4h",
        title="4H-SiC",
        build=partial(of_aflow, "AB_hP8_186_ab_ab"),
        kin=("Wurtzite_ZnS", "Zincblende_ZnS"),
        reason="stacked half as wurtzite and half as zinc blende",
    ),
    UnlistedCrystal(
        name="potassium-hexachloroplatinate",
        title="K₂PtCl₆",
        build=potassium_hexachloroplatinate,
        kin=("3_halides_cubic", "3_cubic"),
        reason="perovskite with every other octahedron empty",
    ),
)
