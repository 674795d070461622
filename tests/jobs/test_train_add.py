"""Classes are read from files and tables, and `crysift train arise --add` makes a model of them."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase import Atoms
from ase.io import write
from ase.spacegroup import crystal

from connectors.settings import SourceSettings
from engine.errors import CrysiftError
from engine.structure import Structure, structures_table
from jobs import additions
from jobs.additions import read_additions
from models.prototypes import TABLE_PATH, record_of
from models.training.additions import prototype_from
from tests.jobs.running import crysift
from tests.models.small_arise import small_weights


def rutile(elements: tuple[str, str] = ("Ti", "O"), a: float = 4.594, c: float = 2.959) -> Atoms:
    sites = [(0.0, 0.0, 0.0), (0.305, 0.305, 0.0)]
    return crystal(list(elements), sites, spacegroup=136, cellpar=[a, a, c, 90, 90, 90])


def fluorite() -> Atoms:
    sites = [(0.0, 0.0, 0.0), (0.25, 0.25, 0.25)]
    return crystal(["Ca", "F"], sites, spacegroup=225, cellpar=[5.46] * 3 + [90] * 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two rutiles, and one file that holds no structure."""
    path = tmp_path / "rutile"
    path.mkdir()
    write(path / "TiO2.cif", rutile())
    write(path / "SnO2.extxyz", rutile(("Sn", "O"), 4.737, 3.186))
    (path / "broken.cif").write_text("data_x\nthis is no crystal\n")
    return path


def test_every_structure_of_a_folder_is_an_example_of_its_class(folder: Path) -> None:
    candidates = read_additions([str(folder)], ["rutile"], SourceSettings())
    assert [each.label for each in candidates.prototypes] == ["rutile"] * 2
    assert {each.species[0] for each in candidates.prototypes} == {"Ti", "Sn"}
    assert {each.space_group for each in candidates.prototypes} == {136}
    assert len(candidates.rejects) == 1
    assert "broken.cif" in candidates.rejects[0]


def test_labels_go_with_what_is_added_in_order(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "CaF2.cif", fluorite())
    added = [str(folder), str(tmp_path / "CaF2.cif")]
    candidates = read_additions(added, ["rutile", "fluorite"], SourceSettings())
    assert [each.label for each in candidates.prototypes] == ["rutile", "rutile", "fluorite"]
    for labels, words in (([], "rutile has no name"), (["a", "b", "c"], "2 times --add and 3 times --label")):
        with pytest.raises(CrysiftError, match=words):
            read_additions(added, labels, SourceSettings())


def test_tables_of_prototypes_hold_several_classes(tmp_path: Path) -> None:
    records = json.loads(TABLE_PATH.read_text(encoding="utf-8"))["prototypes"]
    chosen = [record for record in records if record["label"] in ("BN", "zigzag_cnt_nm_6_0_0.0_4.7", "FeSi")]
    (tmp_path / "table.json").write_text(json.dumps({"prototypes": chosen}), encoding="utf-8")
    found = read_additions([str(tmp_path / "table.json")], [], SourceSettings()).prototypes
    assert [each.label for each in found] == ["FeSi", "BN", "zigzag_cnt_nm_6_0_0.0_4.7"]
    assert [each.periodic for each in found] == [(True,) * 3, (True, True, False), (False,) * 3]
    for record, prototype in zip(chosen, found, strict=True):
        assert record_of(prototype)["periodic"] == record["periodic"]
        assert len(prototype.species) == len(record["sites"])
    assert found[0].space_group == 198


def test_a_column_of_a_parquet_table_tells_the_classes(tmp_path: Path) -> None:
    structures = [
        Structure.from_ase(rutile(), "mine", "one"),
        Structure.from_ase(fluorite(), "mine", "two"),
    ]
    table = structures_table(structures)
    path = tmp_path / "classes.parquet"
    pq.write_table(table.append_column("label", pa.array(["rutile", "fluorite"])), path)
    found = read_additions([str(path)], [], SourceSettings()).prototypes
    assert [(each.source, each.label) for each in found] == [("mine:one", "rutile"), ("mine:two", "fluorite")]
    named = read_additions([str(path)], ["all"], SourceSettings()).prototypes
    assert [each.label for each in named] == ["all", "all"]
    pq.write_table(table, path)
    with pytest.raises(CrysiftError, match="has no column 'label', which tells the classes"):
        read_additions([str(path)], [], SourceSettings())
    pq.write_table(table.append_column("label", pa.array(["a", "b"])).drop(["source_id"]), path)
    with pytest.raises(CrysiftError, match="has no column 'source_id', which its structures are told apart"):
        read_additions([str(path)], [], SourceSettings())


def test_a_structure_with_two_labels_is_refused(tmp_path: Path) -> None:
    table = structures_table([Structure.from_ase(rutile(), "mine", "one")] * 2)
    path = tmp_path / "classes.parquet"
    pq.write_table(table.append_column("label", pa.array(["rutile", "fluorite"])), path)
    with pytest.raises(CrysiftError, match="holds mine:one 2 times"):
        read_additions([str(path)], [], SourceSettings())


def test_more_structures_than_a_class_needs_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(additions, "MAX_STRUCTURES", 1)
    with pytest.raises(CrysiftError, match="2 structures are more than the 1 that"):
        read_additions([str(folder)], ["rutile"], SourceSettings())


def test_tables_are_named_one_by_one_and_bring_their_labels(tmp_path: Path) -> None:
    with pytest.raises(CrysiftError, match=r"\*.parquet is no single table: name each file with its own"):
        read_additions([str(tmp_path / "*.parquet")], [], SourceSettings())
    with pytest.raises(CrysiftError, match=r"labels of classes.json are in the table itself: leave --label"):
        read_additions(["x.cif", "classes.json"], ["x"], SourceSettings())
    (tmp_path / "none.parquet").write_text("no table")
    with pytest.raises(CrysiftError, match=r"none.parquet cannot be read as a Parquet table"):
        read_additions([str(tmp_path / "none.parquet")], [], SourceSettings())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "is no table of prototypes"),
        ("{", "is no table of prototypes"),
        ('{"prototypes": [{"label": "x", "periodic": [1, 1, 1]}]}', "prototype 1 of .* cannot be read"),
        ('{"prototypes": []}', "no structure to make a class of"),
    ],
)
def test_tables_that_are_none_get_a_clear_message(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "table.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CrysiftError, match=words):
        read_additions([str(path)], [], SourceSettings())


def test_prototypes_are_made_of_what_was_read(folder: Path) -> None:
    structure = Structure.from_ase(rutile(), "files", "TiO2.cif")
    prototype = prototype_from(structure, "rutile")
    assert (prototype.label, prototype.title, prototype.source) == ("rutile", "rutile", "files:TiO2.cif")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "arise", "--label", "rutile"], "--label: it belongs to --add"),
        (["train", "diffraction", "--add", "x.cif", "--label", "x"], "`crysift train arise --add …`"),
        (["train", "arise", "--add", "x.cif", "--label", "x", "--basis", "gto"], "--basis: the base model's"),
        (["train", "arise", "--add", "x.cif", "--label", "x"], "x.cif does not exist"),
    ],
)
def test_options_that_do_not_belong_together_are_refused(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    ended = crysift(*arguments, cwd=tmp_path)
    assert ended.status == 1
    assert words in ended.err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_class_is_added_and_recognised_by_every_command(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = small_weights(tmp_path / "library" / "base")
    monkeypatch.setenv("CRYSIFT_MODELS", str(base.parent))
    salt = tmp_path / "MgO.cif"
    sites = [(0.0, 0.0, 0.0), (0.5, 0.5, 0.5)]
    write(salt, crystal(["Mg", "O"], sites, spacegroup=225, cellpar=[4.21] * 3 + [90] * 3))
    extend = ("train", "arise", "--weights", "base")
    refused = crysift(*extend, "--add", salt, "--label", "magnesia", "-o", "none", cwd=tmp_path)
    assert refused.status == 1
    assert "magnesia is 0.000 from RockSalt_NaCl" in refused.err
    assert not (tmp_path / "none").exists()
    mine = base.parent / "mine"
    trained = crysift(*extend, "--add", folder, "--label", "rutile", "-o", mine, "--json")
    assert trained.status == 0, trained.err
    told = trained.json()
    assert told["labels"] == ["rutile"]
    assert {row["kind"] for row in told["judged"]} == set(told["accuracies"])
    screen = ("screen", folder / "TiO2.cif", salt, "--weights", "mine", "--passes", "50")
    assert crysift(*screen, cwd=tmp_path).status == 0
    query = "SELECT prototype FROM predictions_arise ORDER BY prototype"
    assert crysift("query", query, "--json", cwd=tmp_path).json() == [
        {"prototype": "RockSalt_NaCl"},
        {"prototype": "rutile"},
    ]
    similar = crysift(
        "similar", folder / "SnO2.extxyz", "--weights", "mine", "--layer", "2", "--json", cwd=tmp_path
    )
    assert similar.status == 0, similar.err
    again = crysift("train", "arise", "--add", folder, "--label", "x", "--weights", mine, "-o", mine)
    assert again.status == 1
    assert "is the model to extend" in again.err
