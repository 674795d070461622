"""What a screening ends with: who is selected, and each novel structure once."""

import csv
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from engine.store import Store
from jobs.selection.selected import q_values
from jobs.views import connect
from tests.jobs.running import Answer, crysift


def fluorite(metal: str, length: float) -> Atoms:
    """A structure type that is none of the classes."""
    return bulk(f"{metal}F2", "fluorite", a=length, cubic=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Known metals, one unknown type with three metals, one of them twice as large, and what fails."""
    folder = tmp_path_factory.mktemp("mixed")
    for metal in ("Cu", "Al", "Ni", "Ag", "Au", "Fe", "W", "Mo"):
        write(folder / f"{metal}.extxyz", bulk(metal, cubic=True))
    for metal, length in (("Ca", 5.46), ("Sr", 5.8), ("Ba", 6.2)):
        write(folder / f"{metal}F2.extxyz", fluorite(metal, length))
    write(folder / "CaF2-large.extxyz", fluorite("Ca", 5.46).repeat((2, 1, 1)))
    disordered = Structure(Lattice.cubic(3.6), [{"Cu": 0.5, "Ni": 0.5}], [[0.0, 0.0, 0.0]])
    disordered.to(str(folder / "disordered.cif"))
    return folder


@pytest.fixture(scope="module")
def answered(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer]:
    """A store into which the folder was screened, and what the command said."""
    store = tmp_path_factory.mktemp("stores") / "store"
    return store, crysift("screen", folder, "--store", store, "--passes", "20", "--json")


def test_equivalent_structures_are_one_with_a_count(answered: tuple[Path, Answer]) -> None:
    store, said = answered
    table = Store.open(store).latest("novel")
    [row] = table.read("part-00000").to_pylist()
    assert (row["rank"], row["count"], row["protostructure"]) == (1, 4, "AB2_cF12_225_a_c")
    assert set(row["members"]) == {f"files:{name}.extxyz" for name in ("CaF2", "CaF2-large", "SrF2", "BaF2")}
    assert row["structure_id"] in row["members"]
    assert row["symmetry_class"] is None
    assert said.json()["selection"] == {
        "fdr": 0.1,
        "selected": 4,
        "novel": 1,
        "known_by_symmetry": 0,
    }
    assert said.json()["tables"]["novel.csv"] == str(store / "novel.csv")
    assert [each["structure_id"] for each in said.json()["novel"]] == [row["structure_id"]]


def test_every_structure_has_a_row_with_its_reason(answered: tuple[Path, Answer], folder: Path) -> None:
    rows = {
        row["structure_id"]: row
        for row in Store.open(answered[0]).latest("selection").read("part-00000").to_pylist()
    }
    assert len(rows) + answered[1].json()["rejects"] == len(list(folder.iterdir()))
    known = rows["files:Cu.extxyz"]
    assert not known["is_ood"]
    assert known["nearest_class"] == known["symmetry_class"] == "fcc_Cu_A_cF4_225_a"
    assert known["nearest_training_id"].startswith("prototype:fcc_Cu_A_cF4_225_a/")
    failed = [row for row in rows.values() if row["status"] == "failed"]
    assert [row["structure_id"] for row in failed] == ["files:disordered.cif"]
    assert failed[0]["error_message"]
    assert failed[0]["is_ood"] is failed[0]["ood_q_value"] is None


def test_q_values_are_those_of_all_structures_that_have_a_p_value(answered: tuple[Path, Answer]) -> None:
    rows = Store.open(answered[0]).latest("selection").read("part-00000")
    p = rows["ood_p_value"].to_numpy(zero_copy_only=False)
    np.testing.assert_allclose(rows["ood_q_value"].to_numpy(zero_copy_only=False), q_values(p), rtol=1e-6)


def test_csv_holds_the_table(answered: tuple[Path, Answer]) -> None:
    [row] = Store.open(answered[0]).latest("novel").read("part-00000").to_pylist()
    with (answered[0] / "novel.csv").open(newline="", encoding="utf-8") as file:
        [told] = csv.DictReader(file)
    assert told.keys() == row.keys()
    assert told["members"].split() == row["members"]
    assert (int(told["rank"]), told["structure_id"]) == (1, row["structure_id"])


def test_disagreement_of_network_and_symmetry_can_be_asked_for(answered: tuple[Path, Answer]) -> None:
    with connect(Store.open(answered[0])) as connection:
        [(known,)] = connection.sql(
            "SELECT count(*) FROM selection WHERE NOT is_ood AND symmetry_class IS NOT NULL"
        ).fetchall()
        disputed = connection.sql("SELECT * FROM selection WHERE is_ood AND symmetry_class IS NOT NULL")
        assert (known, len(disputed.fetchall())) == (8, 0)


def test_another_rate_is_another_selection_and_the_same_again_none(
    answered: tuple[Path, Answer], folder: Path
) -> None:
    store = answered[0]
    command = ("screen", folder, "--store", store, "--passes", "20", "--json")
    files = {path: path.stat().st_mtime_ns for path in store.glob("*/part-*.parquet")}
    assert crysift(*command).json() == answered[1].json()
    assert {path: path.stat().st_mtime_ns for path in store.glob("*/part-*.parquet")} == files
    none = crysift(*command, "--fdr", "0").json()
    assert (none["selection"]["selected"], none["novel"]) == (0, [])
    assert len(Store.open(store).existing("selection")) == 2
    assert crysift(*command).json() == answered[1].json()
    newest = Store.open(store).latest("selection").fingerprint.settings
    assert newest["fdr"] == 0.1


def test_damaged_answers_are_made_again(answered: tuple[Path, Answer], folder: Path) -> None:
    store = answered[0]
    files = {path: path.read_bytes() for name in ("selection", "novel") for path in store.glob(f"{name}-*/*")}
    for path, content in files.items():
        path.write_bytes(content[:-9])
    again = crysift("screen", folder, "--store", store, "--passes", "20", "--json")
    assert again.json() == answered[1].json()
    newest = [Store.open(store).latest(name) for name in ("selection", "novel")]
    for table in newest:
        path = Path(table.folder.path("part-00000.parquet"))
        assert path.read_bytes() == files[path]


def test_a_rate_beyond_one_is_refused(folder: Path, tmp_path: Path) -> None:
    refused = crysift("screen", folder, "--store", tmp_path / "store", "--fdr", "1.5")
    assert refused.status == 2
    assert "'--fdr': Input should be less than or equal to 1" in refused.err
