"""The studies of series of crystals: what is known of each, and what is done with it."""

from __future__ import annotations

from jobs.studies.arise import bain, bain_drawing
from jobs.studies.arise import out_of_sample as unlisted
from jobs.studies.arise import out_of_sample_drawing as unlisted_drawing
from jobs.studies.arise import supercells as pieces
from jobs.studies.arise import supercells_drawing as pieces_drawing
from jobs.studies.arise.study import SeriesStudy

BAIN_PATH = SeriesStudy(
    name="bain-path",
    title="body-centred tetragonal crystals around the Bain path",
    known="four lines of constant c/a are training structures (bct α-Pa, bcc, fcc, bct In); between them the "
    "network should be in doubt (Leitherer et al. 2021), and cells of one shape are one structure to it",
    extent="3,721 cells",
    structures=bain.structures,
    tabulate=bain.tabulate,
    checks=bain.checks,
    draw=bain_drawing.draw,
)
OUT_OF_SAMPLE = SeriesStudy(
    name="out-of-sample",
    title="ten crystals that are none of the 108 prototypes",
    known="their kin among the prototypes should be the first candidates, and the network less sure than of "
    "prototypes (Leitherer et al. 2021)",
    extent="10 crystals, 96 prototypes",
    structures=unlisted.structures,
    tabulate=unlisted.tabulate,
    checks=unlisted.checks,
    draw=unlisted_drawing.draw,
)
SUPERCELLS = SeriesStudy(
    name="supercells",
    title="clusters and supercells of the 96 periodic prototypes",
    known="periodic supercells are the crystal, and clusters grow to resemble it",
    extent="2 to 2,000 atoms",
    structures=pieces.structures,
    tabulate=pieces.tabulate,
    checks=pieces.checks,
    draw=pieces_drawing.draw,
)

STUDIES: tuple[SeriesStudy, ...] = (BAIN_PATH, OUT_OF_SAMPLE, SUPERCELLS)
