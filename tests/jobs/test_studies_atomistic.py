"""The studies of atomistic structures: what a run writes, and that its checks can fail."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from connectors.atomistic import read_frames
from engine.errors import CrysiftError
from engine.spm import Grid, GridSettings
from engine.spm.field import Field, read_field
from engine.store import Store
from jobs.cli import app
from jobs.spm.pipeline import open_spm
from jobs.studies.atomistic.checks import grains_found, in_doubt_at_boundaries, only_there
from jobs.studies.atomistic.chemical_order import FCC, L10, L12
from jobs.studies.atomistic.files import write_image, write_structure
from jobs.studies.atomistic.grain_boundaries import CRYSTALS, bicrystal
from jobs.studies.atomistic.graphene import PROTOTYPE, as_imaged, graphene_boundary
from jobs.studies.atomistic.nanotube import TUBES, nanotube_rod
from jobs.studies.atomistic.superalloy import MATRIX, ORDERED
from jobs.studies.atomistic.system import Grain, System
from jobs.studies.atomistic.truth import box_truth
from jobs.studies.checks import separation
from jobs.studies.registry import STUDIES, study_named
from models.prototypes import titles


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a quick study."""
    folder = tmp_path_factory.mktemp("study") / "rod"
    asked = ["study", "nanotubes", "--out", str(folder), "--quick", "--executor", "inline", "--json"]
    told = CliRunner().invoke(app, asked)
    assert told.exit_code == 0, told.output
    return folder


@pytest.fixture(scope="module")
def field(studied: Path) -> Field:
    tables = open_spm(Store.open(str(studied / "store-exact-quick"), create=False))
    return read_field(tables.grid, tables.geometry)


def test_a_study_finds_what_is_known_and_leaves_it_in_its_folder(studied: Path) -> None:
    report = json.loads((studied / "report-exact-quick.json").read_text())
    assert report["holds"] is True
    assert report["passes"] == 100
    assert report["atoms"] == len(nanotube_rod())
    assert report["boxes"]["classified"] == report["boxes"]["boxes"] == 82
    found = {check["finding"]: check["value"] for check in report["checks"]}
    assert min(value for finding, value in found.items() if "share of" in finding) == 1.0
    [frame] = read_frames(studied / "structure.extxyz")
    np.testing.assert_allclose(frame.positions, nanotube_rod().frame.positions, atol=1e-8)
    with Image.open(studied / "map-exact-quick.png") as drawn:
        assert min(drawn.size) > 400
        assert len(drawn.getcolors() or []) > 10


def test_checks_fail_where_the_structure_is_not_what_was_found(field: Field) -> None:
    rod = nanotube_rod()
    assert [check.holds for check in grains_found(rod, field, 0.95)] == [True, True]
    exchanged = replace(rod, grains=rod.grains[::-1])
    wrong = grains_found(exchanged, field, 0.95)
    assert [(check.value, check.holds) for check in wrong] == [(0.0, False), (0.0, False)]


def test_a_class_found_elsewhere_is_counted_against_it(field: Field) -> None:
    rod = nanotube_rod()
    assert only_there(rod, field, 0, 0.95).value == 1.0
    exchanged = replace(rod, grains=rod.grains[::-1])
    assert only_there(exchanged, field, 0, 0.95).value == 0.0
    absent = replace(rod, grains=(Grain("rod", PROTOTYPE),))
    assert only_there(absent, field, 0, 0.95).holds is False


def test_doubt_is_measured_against_boxes_inside_the_grains(field: Field) -> None:
    rod = nanotube_rod()
    *_, area, ratio = in_doubt_at_boundaries(rod, field)
    assert area.value > 0.9
    assert ratio.value > 1.5
    *_, opposite, _ = in_doubt_at_boundaries(rod, replace(field, ood_score=-field.ood_score))
    assert opposite.value == pytest.approx(1.0 - area.value)
    assert not opposite.holds


def test_separation_is_the_probability_of_the_larger_value() -> None:
    assert separation(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 1.0
    assert separation(np.array([0.0, 2.0]), np.array([1.0])) == 0.5
    assert separation(np.array([1.0]), np.array([1.0])) == 0.5
    assert np.isnan(separation(np.array([1.0]), np.array([])))


@pytest.fixture(scope="module")
def crystal() -> System:
    return bicrystal("fcc", "tilt")


def test_boxes_on_the_boundary_and_inside_are_told_by_where_they_are(crystal: System) -> None:
    low, high = crystal.frame.positions.min(axis=0), crystal.frame.positions.max(axis=0)
    grid = Grid.over(low, high, GridSettings(stride=(2.0, 2.0, 2.0), box=10.0))
    truth = box_truth(crystal, grid)
    height = grid.centers(grid.indices())[:, 2].reshape(grid.counts)
    assert truth.boundary.sum() > 100
    assert np.abs(height[truth.boundary]).max() < 4.0  # a box of 10 Å with a fifth beyond z = 0
    assert np.abs(height[truth.interior]).min() > 4.0
    assert (height[truth.inside(0)] < 0.0).all()
    assert (height[truth.inside(1)] > 0.0).all()
    outside = (grid.lows(grid.indices()) < low - 4.0).any(axis=1).reshape(grid.counts)
    assert not truth.filled[outside].any()


def test_an_image_is_read_back_in_its_own_units(tmp_path: Path) -> None:
    sheet = as_imaged(graphene_boundary(edge=40.0))
    path, pixel = write_image(sheet, tmp_path)
    [frame] = read_frames(path, pixel_size=pixel, species="C")
    corner = sheet.frame.positions.min(axis=0)
    np.testing.assert_allclose(frame.positions, sheet.frame.positions - corner, atol=1e-4)
    assert np.loadtxt(path, delimiter=",", skiprows=1).max() == pytest.approx(400.0, rel=0.02)


def test_a_structure_is_read_back_with_its_species(tmp_path: Path, crystal: System) -> None:
    [frame] = read_frames(write_structure(crystal, tmp_path))
    assert frame.labels == ("Cu",)
    np.testing.assert_allclose(frame.positions, crystal.frame.positions, atol=1e-8)


def test_every_study_is_listed() -> None:
    told = CliRunner().invoke(app, ["study", "--list"])
    assert told.exit_code == 0
    names = [study.name for study in STUDIES]
    assert len(set(names)) == len(names) == 18
    assert all(name in told.output for name in names)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nanowire", "--out", "o"], "take one of four-grains"),
        (["superalloy"], "--out DIR"),
        (["four-grains", "--out", "o"], "name it with --file"),
        (["graphene", "--out", "o", "--file", "x.xyz"], "makes its own structure"),
        (["four-grains", "--out", "o", "--file", "absent.xyz"], "absent.xyz"),
    ],
)
def test_a_wrong_call_says_what_to_do(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(app, ["study", *arguments])
    assert told.exit_code == 1
    assert said in " ".join(told.output.split())


def test_all_grains_are_of_prototypes_that_the_network_knows() -> None:
    kinds = {
        *(crystal.prototype for crystal in CRYSTALS.values()),
        *(tube.prototype for tube in TUBES),
        *(grain.prototype for grain in (MATRIX, ORDERED)),
        *(PROTOTYPE, FCC, L12, L10),
    }
    assert kinds <= titles().keys()


def test_an_unknown_study_names_the_known_ones() -> None:
    with pytest.raises(CrysiftError, match="tilt-dhcp"):
        study_named("superconductor")
