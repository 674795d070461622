"""The studies of series of crystals: of what they are made, what they find, and that checks can fail."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core.structure import Structure as PymatgenStructure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from typer.testing import CliRunner

from engine.errors import CrysiftError
from engine.execution.events import ignore
from engine.store import Store
from jobs.cli import app
from jobs.settings import ExecutionSettings
from jobs.studies.arise import bain, out_of_sample, supercells
from jobs.studies.arise.classify import Classified
from jobs.studies.arise.document import bain_table, fill_document
from jobs.studies.arise.studies import STUDIES
from jobs.studies.arise.unlisted_crystals import UNLISTED
from jobs.studies.study import StudyRequest
from models.prototypes import prototypes, titles
from models.stage import PredictArise
from models.weights_file import load_model, model_digest, model_folder, save_model

DOCUMENT = Path(__file__).parents[2] / "docs" / "arise-studies.md"
NAMES = ("bain-path", "out-of-sample", "supercells")
FORMULA_AND_GROUP = {
    "fluorite": ("CaF2", 225),
    "tungsten-carbide": ("WC", 187),
    "boron-nitride": ("BN", 194),
    "cementite": ("Fe3C", 62),
    "copper-trititanium": ("Ti3Cu", 123),
    "benzene": ("HC", 61),
    "rutile": ("TiO2", 136),
    "niobium-monoxide": ("NbO", 221),
    "silicon-carbide-4h": ("SiC", 186),
    "potassium-hexachloroplatinate": ("K2PtCl6", 225),
}


def study(name: str, folder: Path, *options: str) -> Any:
    """Do a quick study as a user does; return its report."""
    asked = ["study", name, "--out", str(folder), "--quick", "--executor", "inline", "--json", *options]
    told = CliRunner().invoke(app, asked)
    assert told.exit_code == 0, told.output
    return json.loads(told.stdout)


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all studies, quick ones."""
    folder = tmp_path_factory.mktemp("studies")
    for name in NAMES:
        study(name, folder / name)
    return folder


def rows_of(studied: Path, name: str) -> pa.Table:
    return pq.read_table(studied / name / f"{name}-full-quick.parquet")


def values_of(checks: Mapping[str, Any]) -> dict[str, float]:
    return {check["finding"]: check["value"] for check in checks["checks"]}


@pytest.mark.parametrize("name", NAMES)
def test_a_study_leaves_table_picture_and_report(studied: Path, name: str) -> None:
    report = json.loads((studied / name / f"{name}-full-quick.json").read_text())
    rows = rows_of(studied, name)
    assert report["passes"] == 100
    assert report["weights"] == PredictArise.weights
    assert report["structures"] == len(rows)
    assert set(rows["status"].to_pylist()) == {"ok"}
    assert set(rows["n_passes"].to_pylist()) == {100}
    assert len(set(rows["structure_id"].to_pylist())) == len(rows)
    with Image.open(studied / name / f"{name}-full-quick.png") as drawn:
        assert min(drawn.size) > 600
        assert len(drawn.getcolors(1 << 20) or []) > 50


def test_the_bain_path_meets_its_training_structures(studied: Path) -> None:
    rows = rows_of(studied, "bain-path")
    assert len(rows) == 16 * 16
    assert rows.schema.field("a").metadata == {b"unit": b"angstrom"}
    checks = bain.checks(rows)
    assert [check.holds for check in checks if check.at_least is not None] == [True] * 6
    twice = {(row["a"], row["c"]): row for row in rows.to_pylist()}
    assert twice[3.0, 3.0]["prototype"] == twice[6.0, 6.0]["prototype"] == bain.BCC
    assert twice[3.0, 4.2]["prototype"] == bain.FCC
    assert bain_table(rows).count("bcc (W), 1.000") == 1


def test_checks_of_the_bain_path_fail_for_other_answers(studied: Path) -> None:
    rows = rows_of(studied, "bain-path")
    moved = with_values(rows, "prototype", ["CsCl"] * len(rows))
    assert [check.holds for check in bain.checks(moved)][:4] == [False] * 4
    for place, column, holds in ((4, "mutual_information", None), (5, "ood_score", False)):
        other_way_round = with_values(rows, column, -rows[column].to_numpy())
        before, after = (bain.checks(each)[place] for each in (rows, other_way_round))
        assert after.value == pytest.approx(1.0 - before.value, abs=1e-6)
        assert after.holds is holds
    one_size = with_values(rows, "prototype", [f"{a:.2f}" for a in rows["a"].to_pylist()])
    assert bain.checks(one_size)[6].value == 0.0


def with_values(rows: pa.Table, column: str, values: Any) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index(column), column, pa.array(values))


def test_axial_ratios_are_those_of_the_elements() -> None:
    expected = {  # J. Donohue, The Structures of the Elements (1974): a and c in Å
        bain.PROTACTINIUM: 3.238 / 3.932,
        bain.BCC: 1.0,
        bain.FCC: np.sqrt(2.0),
        bain.INDIUM: 4.9461 / 3.2523,
    }
    assert list(bain.lines()) == list(expected)
    np.testing.assert_allclose(list(bain.lines().values()), list(expected.values()), rtol=2e-3)


@pytest.mark.parametrize(("a", "c", "group"), [(400, 400, 229), (300, 360, 139), (500, 707, 225)])
def test_cells_of_the_bain_path_have_its_symmetry(a: int, c: int, group: int) -> None:
    crystal = bain.tetragonal(a, c).to_pymatgen()
    assert isinstance(crystal, PymatgenStructure)
    assert SpacegroupAnalyzer(crystal, symprec=0.005).get_space_group_number() == group
    assert crystal.volume == pytest.approx(a * a * c / 2e6)


def test_the_whole_bain_path_has_all_cells_of_the_literature() -> None:
    cells = {structure.source_id for structure in bain.structures(quick=False)}
    assert len(cells) == 3721
    assert {"a300-c300", "a600-c305", "a455-c600"} <= cells


@pytest.fixture(scope="module")
def unlisted() -> dict[str, PymatgenStructure]:
    return {crystal.name: crystal.build() for crystal in UNLISTED}


def test_crystals_out_of_sample_are_what_they_are_called(unlisted: dict[str, PymatgenStructure]) -> None:
    found = {
        name: (crystal.composition.reduced_formula, SpacegroupAnalyzer(crystal).get_space_group_number())
        for name, crystal in unlisted.items()
    }
    assert found == FORMULA_AND_GROUP
    assert {label for crystal in UNLISTED for label in crystal.kin} <= titles().keys()


def test_crystals_out_of_sample_are_no_prototypes(unlisted: dict[str, PymatgenStructure]) -> None:
    strict, wide = StructureMatcher(ltol=0.05, stol=0.05, angle_tol=1.0), StructureMatcher()
    alike = set()
    for prototype in prototypes():
        if all(prototype.periodic):
            known = PymatgenStructure(
                prototype.lattice, prototype.species, prototype.positions, coords_are_cartesian=True
            )
            formula = known.composition.anonymized_formula
            for name, crystal in unlisted.items():
                if crystal.composition.anonymized_formula == formula:
                    assert not strict.fit_anonymous(crystal, known)
                    if wide.fit_anonymous(crystal, known):
                        alike.add((name, prototype.label))
    assert alike == {("copper-trititanium", "L12_Cu3Au")}  # its kin


def test_benzene_is_flat_and_hexagonal(unlisted: dict[str, PymatgenStructure]) -> None:
    crystal = unlisted["benzene"]
    assert len(crystal) == 48
    assert crystal.density == pytest.approx(1.055, abs=0.005)  # g/cm³
    carbon = next(site for site in crystal if site.specie.symbol == "C")
    near = crystal.get_neighbors(carbon, 3.1)
    bonded = sorted(each.nn_distance for each in near if each.specie.symbol == "C")[:5]
    np.testing.assert_allclose(bonded, [1.39, 1.39, 2.41, 2.41, 2.78], atol=0.015)
    ring = np.array([each.coords for each in near if each.specie.symbol == "C" and each.nn_distance < 2.9])
    assert np.linalg.svd(ring - carbon.coords)[1][2] < 0.02  # Å out of the plane


def test_chlorine_makes_octahedra_around_platinum(unlisted: dict[str, PymatgenStructure]) -> None:
    crystal = unlisted["potassium-hexachloroplatinate"]
    platinum = next(site for site in crystal if site.specie.symbol == "Pt")
    near = crystal.get_neighbors(platinum, 2.6)
    assert [each.specie.symbol for each in near] == ["Cl"] * 6
    np.testing.assert_allclose([each.nn_distance for each in near], 2.33, atol=0.02)


def test_kin_are_found_and_doubt_is_larger_than_of_prototypes(studied: Path) -> None:
    rows = rows_of(studied, "out-of-sample")
    found = {row["title"]: row for row in rows.to_pylist() if not row["is_known"]}
    assert len(found) == 10
    assert len(rows) == 10 + 96
    assert found["NbO"]["prototype"] == "RockSalt_NaCl"
    assert found["NbO"]["place_of_kin"] == 1
    doubt, score = [check for check in out_of_sample.checks(rows) if "separation" in check.finding]
    assert doubt.value > 0.75
    assert score.holds


def test_crystals_without_kin_among_the_candidates_count_as_none(studied: Path) -> None:
    rows = rows_of(studied, "out-of-sample")
    nothing = with_values(rows, "place_of_kin", pa.nulls(len(rows), pa.int32()))
    first, among, *_ = out_of_sample.checks(nothing)
    assert (first.value, among.value) == (0.0, 0.0)
    assert (first.holds, among.holds) == (False, False)


def test_supercells_are_the_crystal_and_clusters_grow_to_it(studied: Path) -> None:
    rows = rows_of(studied, "supercells")
    kinds = rows["kind"].to_pylist()
    assert kinds.count("periodic") == 96
    assert kinds.count("supercell") == 2 * 96
    assert max(row["n_atoms"] for row in rows.to_pylist() if row["kind"] == "cluster") <= 200
    assert [check.holds for check in supercells.checks(rows)] == [True, True, True, None, True]
    wrong = with_values(rows, "is_right", [False] * len(rows))
    assert [check.value for check in supercells.checks(wrong)][1:4] == [0.0, 0.0, 0.0]
    assert {each.atoms for each in supercells.smallest_recognised(wrong)} == {None}


def test_the_smallest_size_is_that_from_which_on_all_are_right() -> None:
    rows = pa.table(
        {
            "label": ["a"] * 5 + ["b"] * 2,
            "family": ["binary"] * 7,
            "kind": ["cluster"] * 7,
            "n_atoms": [250, 16, 2, 54, 128, 8, 4],
            "is_right": [True, True, False, False, True, True, True],
        }
    )
    assert [each.atoms for each in supercells.smallest_recognised(rows)] == [128, 4]


def test_files_are_named_after_models_that_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def named(weights: str | Path, *, quick: bool = False) -> str:
        return StudyRequest(weights=str(weights), quick=quick).variant("full")

    assert named(PredictArise.weights) == named(model_folder(PredictArise.weights)) == "full"
    assert named("arise") == "full-arise"
    for folder in ("one/arise", "quick"):
        shutil.copytree(model_folder("arise"), tmp_path / folder)
    digest = model_digest("arise")[:8]
    assert named(tmp_path / "one" / "arise") == f"full-arise-{digest}"
    assert named(tmp_path / "quick") == f"full-quick-{digest}" != named(PredictArise.weights, quick=True)
    monkeypatch.chdir(tmp_path / "quick")
    assert named(".") == f"full-quick-{digest}"


def test_a_study_ends_with_the_first_structure_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = pa.table(
        {
            "structure_id": ["a:1", "a:2", "a:3"],
            "status": ["ok", "failed", "failed"],
            "error_message": [None, "no neighbours", "other"],
        }
    )
    answer = Classified(rows, np.empty((3, 0)))
    monkeypatch.setattr("jobs.studies.arise.classify.classify", lambda *_: answer)
    with pytest.raises(
        CrysiftError, match=r"2 of 3 structures of the study bain-path failed.*a:2, with: no n"
    ):
        STUDIES[0].run(StudyRequest(quick=True), tmp_path, ExecutionSettings("inline"), ignore)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_another_model_takes_its_place_beside_the_first(studied: Path, tmp_path: Path) -> None:
    model = load_model(PredictArise.weights)
    other = tmp_path / "other"
    save_model(replace(model, card={"note": "another"}), other)
    folder = studied / "out-of-sample"
    report = study("out-of-sample", folder, "--weights", str(other))
    assert report["weights"] == str(other)
    name = f"out-of-sample-full-quick-other-{model_digest(other)[:8]}"
    assert (folder / f"{name}.png").is_file()
    store = Store.open(str(folder / "store-quick"), create=False)
    assert sorted(table.name for table in store.tables()).count("predictions_arise") == 2
    np.testing.assert_array_equal(
        pq.read_table(folder / f"{name}.parquet")["mutual_information"],
        rows_of(studied, "out-of-sample")["mutual_information"],
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--file", "x.xyz"], "makes its own structures"),
        (["--mode", "shared"], "leave --mode shared out"),
        (["--weights", "diffraction-single"], "of the architecture 'diffraction'"),
        (["--weights", "absent"], "no model 'absent'"),
    ],
)
def test_what_a_study_has_no_use_for_is_refused(options: list[str], said: str, tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["study", "supercells", "--quick", "--out", str(tmp_path / "o"), *options])
    assert told.exit_code == 1
    assert said in " ".join(told.output.split())


@pytest.mark.slow
def test_the_document_is_filled_from_what_was_computed(studied: Path, tmp_path: Path) -> None:
    document = tmp_path / "studies.md"
    document.write_text(DOCUMENT.read_text(encoding="utf-8"), encoding="utf-8")
    fill_document(document, [StudyRequest(quick=True)], studied, ExecutionSettings("inline"))
    text = document.read_text(encoding="utf-8")
    for each in STUDIES:
        block = text.partition(f"<!-- figures:{each.name} -->")[2].partition("<!-- /figures")[0]
        assert "T = 100; " in block
        assert f"`{PredictArise.weights}`" in block
        with Image.open(tmp_path / f"studies-{each.name}.png") as drawn:
            assert min(drawn.size) > 600
    assert text.count("**rock salt (NaCl)") == 1
