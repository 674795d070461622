"""The studies: which structure, how it is cut into boxes, and what is known of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.errors import CrysiftError
from jobs.studies.atomistic.checks import grains_found, in_doubt_at_boundaries, only_there
from jobs.studies.atomistic.grain_boundaries import Kind
from jobs.studies.checks import Check

if TYPE_CHECKING:
    from engine.execution import Listener
    from engine.spm.field import Field
    from jobs.settings import ExecutionSettings
    from jobs.studies.atomistic.system import System
    from jobs.studies.study import StudyReport, StudyRequest

Checks = Callable[["System", "Field"], list[Check]]
KINDS: tuple[Kind, ...] = ("twist", "tilt")


@dataclass(frozen=True, kw_only=True)
class GrainStudy:
    """One structure and its analysis; lengths in Å.

    `build` makes the structure, from a file where `file` says what it holds. `known` is what others found,
    `checks` compare a result with it.
    """

    name: str
    title: str
    known: str
    build: Callable[[Path | None], System]
    checks: Checks
    stride: float
    box: float
    quick_stride: float
    file: str | None = None
    is_image: bool = False
    """The positions are pixels of a flat image."""

    def structure(self, file: Path | None) -> System:
        """Make the structure; raises CrysiftError where a file is missing or not wanted."""
        if self.file is not None and file is None:
            raise CrysiftError(f"the study {self.name} reads a file, {self.file}: name it with --file")
        if self.file is None and file is not None:
            raise CrysiftError(f"the study {self.name} makes its own structure: leave --file {file} out")
        return self.build(file)

    @property
    def extent(self) -> str:
        """Edge and stride of the boxes."""
        return f"{self.box:g} Å boxes, stride {self.stride:g} Å"

    def run(
        self, request: StudyRequest, folder: Path, execution: ExecutionSettings, listener: Listener
    ) -> StudyReport:
        """Match the structure, draw the result and compare it with what is known."""
        from jobs.studies.atomistic.run import run_study

        return run_study(self, request, folder, execution, listener)


def _four_grains(file: Path | None, *, vacancies: float = 0.0, displacement: float = 0.0) -> System:
    from jobs.studies.atomistic.local_order import ARRANGEMENTS, grains_by_order
    from jobs.studies.atomistic.system import Grain, from_file

    prototypes = {
        "fcc": "fcc_Cu_A_cF4_225_a",
        "hcp": "hcp_Mg_A_hP2_194_c",
        "bcc": "bcc_W_A_cI2_229_a",
        "diamond": "diam_C_A_cF8_227_a",
    }
    grains = [Grain(name, prototypes[name]) for name in ARRANGEMENTS]
    return _defective(from_file(file, grains, grains_by_order), vacancies, displacement)


def _superalloy(_: Path | None, *, vacancies: float = 0.0, displacement: float = 0.0) -> System:
    from jobs.studies.atomistic.superalloy import superalloy

    return _defective(superalloy(), vacancies, displacement)


def _defective(whole: System, vacancies: float, displacement: float) -> System:
    from jobs.studies.atomistic.defects import with_defects

    return with_defects(whole, vacancies, displacement) if vacancies or displacement else whole


def _nanoparticle(file: Path | None) -> System:
    import numpy as np

    from jobs.studies.atomistic.system import Grain, from_file

    whole = [Grain("particle", "fcc_Cu_A_cF4_225_a")]
    return from_file(file, whole, lambda positions: np.zeros(len(positions), np.int8))


def _bicrystal(_: Path | None, *, lattice: str, kind: Kind, width: float, length: float) -> System:
    from jobs.studies.atomistic.grain_boundaries import bicrystal

    return bicrystal(lattice, kind, width, length)


def _nanotubes(_: Path | None) -> System:
    from jobs.studies.atomistic.nanotube import nanotube_rod

    return nanotube_rod()


def _graphene(_: Path | None) -> System:
    from jobs.studies.atomistic.graphene import as_imaged, graphene_boundary

    return as_imaged(graphene_boundary())


def _grains_and_boundaries(
    known: System, field: Field, *, right: float, separated: float | None
) -> list[Check]:
    return [*grains_found(known, field, right), *in_doubt_at_boundaries(known, field, separated)]


def _precipitate(known: System, field: Field, *, right: float, separated: float | None) -> list[Check]:
    [precipitate] = [place for place, grain in enumerate(known.grains) if grain.name == "precipitate"]
    return [
        *_grains_and_boundaries(known, field, right=right, separated=separated),
        only_there(known, field, precipitate, right),
    ]


def _chemical_order(known: System, field: Field) -> list[Check]:
    from jobs.studies.atomistic.chemical_order import order_of_classes

    return order_of_classes(known, field)


_UNCERTAIN = "uncertainty is high where grains meet and low inside (Leitherer et al. 2021)"


def _polycrystals() -> list[GrainStudy]:
    common: dict[str, Any] = {
        "stride": 1.0,
        "box": 16.0,
        "quick_stride": 4.0,
        "file": "a polycrystal of fcc, bcc, hcp and diamond grains (four_grains.xyz of Zenodo 5526927)",
    }
    return [
        GrainStudy(
            name="four-grains",
            title="polycrystal of an fcc, a bcc, an hcp and a diamond grain",
            known=f"every grain is found with its lattice, and {_UNCERTAIN}",
            build=_four_grains,
            checks=partial(_grains_and_boundaries, right=0.85, separated=0.9),
            **common,
        ),
        GrainStudy(
            name="four-grains-defective",
            title="the same without 20 % of the atoms, the others displaced by up to 1 % of d_NN",
            known=f"the four grains are found in spite of the defects, and {_UNCERTAIN}",
            build=partial(_four_grains, vacancies=0.2, displacement=0.01),
            checks=partial(_grains_and_boundaries, right=0.85, separated=0.9),
            **common,
        ),
    ]


def _superalloys() -> list[GrainStudy]:
    common: dict[str, Any] = {"stride": 3.0, "box": 16.0, "quick_stride": 9.0}
    return [
        GrainStudy(
            name="superalloy",
            title="ordered L1₂ Ni₃Al in a disordered fcc matrix of the same composition",
            known="boxes are L1₂ in the precipitate and fcc in the matrix (Leitherer et al. 2021)",
            build=_superalloy,
            checks=partial(_precipitate, right=0.95, separated=0.9),
            **common,
        ),
        GrainStudy(
            name="superalloy-defective",
            title="the same without 20 % of the atoms, the others displaced by up to 5 % of d_NN",
            known="the precipitate is found in spite of the defects (Leitherer et al. 2021)",
            build=partial(_superalloy, vacancies=0.2, displacement=0.05),
            checks=partial(_precipitate, right=0.8, separated=None),
            **common,
        ),
    ]


class _Boundary(NamedTuple):
    """Sizes of a bicrystal and its boxes, Å, and its coincidence lattice."""

    box: float
    width: float
    length: float
    sigma: str


_BOUNDARIES = {
    "fcc": _Boundary(10.0, 30.0, 60.0, "Σ5"),
    "bcc": _Boundary(10.0, 30.0, 60.0, "Σ5"),
    "hcp": _Boundary(13.0, 40.0, 60.0, "Σ7"),
    "dhcp": _Boundary(24.0, 40.0, 80.0, "Σ7"),
}
"""Boxes of the literature for fcc and bcc. In hcp Mg and dhcp La they would hold 45 and 24 atoms, too few to
tell stackings apart; 13 and 24 Å hold 93 and 370, the latter two periods of dhcp. In dhcp the mutual
information is lower at the boundary than inside: there the check of it does not hold."""


def _boundaries() -> list[GrainStudy]:
    return [
        GrainStudy(
            name=f"{kind}-{lattice}",
            title=f"{lattice} bicrystal with a {sigma} {kind} boundary",
            known=f"the lattice is found on both sides, and {_UNCERTAIN}",
            build=partial(_bicrystal, lattice=lattice, kind=kind, width=width, length=length),
            checks=partial(_grains_and_boundaries, right=0.95, separated=0.9),
            stride=2.0,
            box=box,
            quick_stride=4.0,
        )
        for lattice, (box, width, length, sigma) in _BOUNDARIES.items()
        for kind in KINDS
    ]


_NANOPARTICLE = GrainStudy(
    name="nanoparticle",
    title="FePt nanoparticle from atomic electron tomography",
    known="L1₂, L1₀ and disordered fcc regions (Yang et al., Nature 542, 75 (2017); Leitherer et al. 2021)",
    build=_nanoparticle,
    checks=_chemical_order,
    stride=2.0,
    box=12.0,
    quick_stride=4.0,
    file="an FePt nanoparticle (fept_aet_2017.xyz)",
)
_NANOTUBES = GrainStudy(
    name="nanotubes",
    title="rod of a (4,4) and a (7,0) carbon nanotube, end to end",
    known="chirality is recognized, and uncertainty is high where the tubes meet",
    build=_nanotubes,
    checks=partial(_grains_and_boundaries, right=0.95, separated=0.8),
    stride=1.0,
    box=18.0,
    quick_stride=2.0,
)
_GRAPHENE = GrainStudy(
    name="graphene",
    title="graphene with a Σ7 tilt boundary, as noisy positions of an image, in pixels",
    known="both grains are graphene, and uncertainty is high along the pentagons and heptagons between them",
    build=_graphene,
    checks=partial(_grains_and_boundaries, right=0.95, separated=0.9),
    stride=1.0,
    box=16.0,
    quick_stride=4.0,
    is_image=True,
)

STUDIES: tuple[GrainStudy, ...] = (
    *_polycrystals(),
    *_superalloys(),
    _NANOPARTICLE,
    *_boundaries(),
    _NANOTUBES,
    _GRAPHENE,
)
