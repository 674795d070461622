from pathlib import Path

from ase.build import bulk

from jobs import ScreenResult, screen


def test_a_file_more_in_a_folder_is_one_prediction_more(tmp_path: Path) -> None:
    folder = tmp_path / "crystals"
    folder.mkdir()
    bulk("Cu").write(folder / "copper.cif")
    bulk("Fe").write(folder / "iron.cif")
    screen(folder, tmp_path / "store")
    bulk("NaCl", "rocksalt", a=5.64).write(folder / "salt.cif")
    for _ in range(2):
        result = screen(folder, tmp_path / "store")
        predictions = result.predictions(["structure_id", "prototype"]).to_pylist()
        assert {row["structure_id"]: row["prototype"] for row in predictions} == {
            "files:copper.cif": "fcc_Cu_A_cF4_225_a",
            "files:iron.cif": "bcc_W_A_cI2_229_a",
            "files:salt.cif": "RockSalt_NaCl",
        }
        counts = [result.summary[name] for name in ("rows_in", "predictions", "rejects")]
        assert counts == [3, 3, 0]


def prototypes(result: ScreenResult) -> dict[str, str]:
    rows = result.predictions(["structure_id", "prototype"]).to_pylist()
    return {row["structure_id"]: row["prototype"] for row in rows}


def test_an_edited_file_is_reported_in_its_latest_version(tmp_path: Path) -> None:
    bulk("Cu").write(tmp_path / "crystal.cif")
    screen(tmp_path / "crystal.cif", tmp_path / "store")
    bulk("Fe").write(tmp_path / "crystal.cif")
    result = screen(tmp_path / "crystal.cif", tmp_path / "store")
    assert prototypes(result) == {"files:crystal.cif": "bcc_W_A_cI2_229_a"}
    assert result.summary["accounted"]


def test_another_file_of_the_same_name_is_rejected_with_the_way_out(tmp_path: Path) -> None:
    for folder, symbol in (("one", "Cu"), ("two", "Fe")):
        (tmp_path / folder).mkdir()
        bulk(symbol).write(tmp_path / folder / "crystal.cif")
    screen(tmp_path / "one", tmp_path / "store")
    [failure] = screen(tmp_path / "two", tmp_path / "store").summary["failures"]
    assert failure["error_class"] == "ForeignStructure"
    assert "into another store" in failure["example"]
