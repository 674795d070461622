"""Which files a source names: one by one, in folders and links, with names of any bytes."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase.build import bulk
from ase.io import write

from connectors import open_sources
from engine.errors import CrysiftError
from engine.ingest import Tally, ingest
from engine.source import Connector
from engine.store import Store
from engine.structure import Structure, candidates_table
from engine.validation import StructureLimits
from tests.connectors.reading import keys, opened, read_all

SALT = bulk("NaCl", "rocksalt", a=5.64)
IRON = bulk("Fe", a=2.87, cubic=True)


def rows_of(connector: Connector) -> tuple[list[str], dict[str, str]]:
    """Names of the structures, and the class of error of each reject."""
    structures, rejects = read_all(connector)
    errors = zip(rejects["source_id"].to_pylist(), rejects["error_class"].to_pylist(), strict=True)
    return structures["source_id"].to_pylist(), dict(errors)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two folders with a file of the same name."""
    for name in ("a", "b"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        write(tmp_path / "runs" / name / "CONTCAR", SALT, format="vasp")
    return tmp_path / "runs"


def test_files_named_one_by_one_keep_apart_and_come_once(runs: Path) -> None:
    files = [str(runs / name / "CONTCAR") for name in ("a", "b", "a")]
    (connector,) = open_sources(files)
    assert rows_of(connector) == (["a/CONTCAR", "b/CONTCAR"], {})


def test_another_file_named_beside_them_changes_no_page(runs: Path) -> None:
    write(runs / "c.cif", SALT)
    write(runs / "d.cif", SALT)
    (few,) = open_sources([str(runs / "c.cif")])
    (more,) = open_sources([str(runs / "d.cif"), str(runs / "c.cif")])
    assert set(keys(few)) < set(keys(more))


def test_an_edited_file_is_a_later_version_and_a_file_of_the_same_name_elsewhere_is_not(
    runs: Path, tmp_path: Path
) -> None:
    store = Store.open(tmp_path / "store", create=True)
    first = runs / "a" / "CONTCAR"
    write(runs / "b" / "CONTCAR", IRON, format="vasp")

    def ingested(path: Path) -> Tally:
        (connector,) = open_sources([str(path)])
        return ingest(connector, store, StructureLimits()).brought

    assert ingested(first).stored == 1
    assert ingested(first).pages == 0
    write(first, SALT * (2, 1, 1), format="vasp")
    edited = ingested(first)
    assert (edited.stored, edited.replaced, edited.rejected) == (1, 1, 0)
    assert ingested(runs / "b" / "CONTCAR").rejected == 1
    (reject,) = store.rejects.scan().to_table().to_pylist()
    assert reject["structure_id"] == "files:CONTCAR"
    assert reject["error_class"] == "ForeignStructure"
    assert f"file://{runs}/b/CONTCAR: ingest what has the same names" in reject["error_message"]


def test_the_same_file_named_from_elsewhere_is_known(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(tmp_path / "store", create=True)
    for folder, name in ((tmp_path, "runs"), (runs / "a", ".."), (runs, str(runs))):
        monkeypatch.chdir(folder)
        (connector,) = open_sources([name])
        ingest(connector, store, StructureLimits())
    table = store.structures.scan().to_table()
    assert table["source_id"].to_pylist() == ["a/CONTCAR", "b/CONTCAR"]
    assert table["url"].to_pylist() == [f"file://{runs}/{name}/CONTCAR" for name in ("a", "b")]


def test_a_named_file_must_tell_its_format(runs: Path) -> None:
    (runs / "notes.txt").write_text("read me")
    with pytest.raises(CrysiftError, match=r"notes\.txt does not tell its format"):
        open_sources([str(runs / "a" / "CONTCAR"), str(runs / "notes.txt")])


def test_tables_named_one_by_one_are_read_once_each(runs: Path, tmp_path: Path) -> None:
    for name in ("1", "2"):
        structure = Structure("db", name, ("Na",), np.zeros((1, 3)), np.eye(3) * 4, (1, 1, 1))
        pq.write_table(candidates_table([structure]), tmp_path / f"{name}.parquet")
    tables = [str(tmp_path / f"{name}.parquet") for name in ("2", "1", "2")]
    of_tables, of_files = open_sources([str(runs / "a" / "CONTCAR"), *tables])
    assert rows_of(of_tables) == (["2", "1"], {})
    assert rows_of(of_files) == (["CONTCAR"], {})


def test_a_scheme_may_stand_before_a_path(runs: Path) -> None:
    assert keys(opened(f"files:{runs}")) == keys(opened(str(runs)))
    with pytest.raises(CrysiftError, match=r"a source has no name"):
        opened("files:")


def test_folders_tables_and_files_are_sources_of_their_own(runs: Path, tmp_path: Path) -> None:
    write(tmp_path / "c.cif", SALT)
    described = [connector.describe() for connector in open_sources([str(runs), str(tmp_path / "c.cif")])]
    assert [(each["root"], each["files"]) for each in described] == [(str(runs), 2), (str(tmp_path), 1)]


def test_linked_folders_are_read_once_and_broken_links_are_rejects(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    write(tmp_path / "far" / "salt.cif", SALT)
    (runs / "linked").symlink_to(tmp_path / "far")
    (runs / "round").symlink_to(runs)
    (runs / "gone.cif").symlink_to(tmp_path / "nowhere")
    structures, rejects = rows_of(opened(str(runs)))
    assert structures == ["a/CONTCAR", "b/CONTCAR", "linked/salt.cif"]
    assert rejects == {"gone.cif": "FileNotFoundError"}


def test_a_folder_that_cannot_be_listed_is_not_passed_over(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = os.scandir

    def scandir(folder: str) -> object:
        if str(folder).endswith("b"):
            raise PermissionError(13, "Permission denied", folder)
        return listed(folder)

    monkeypatch.setattr("os.scandir", scandir)
    with pytest.raises(CrysiftError, match=r"runs/b cannot be listed \(Permission denied\)"):
        opened(str(runs))


def test_names_that_are_no_utf8_are_told_with_escapes(tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).write_text("no crystal")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    write(tmp_path / "salt.cif", SALT)
    (tmp_path / "salt.cif").rename(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.cif"))
    assert rows_of(opened(str(tmp_path))) == (["caf\\xe9.cif"], {"caf\\xe9.txt": "UnknownFormat"})


def test_a_file_without_content_is_a_reject_in_every_format(tmp_path: Path) -> None:
    for name in ("a.cif", "b.extxyz", "c.vasp", "geometry.in"):
        (tmp_path / name).write_text("")
    (tmp_path / "blank.extxyz").write_text("\n\n")
    structures, rejects = rows_of(opened(str(tmp_path)))
    assert structures == []
    assert rejects == dict.fromkeys(
        ("a.cif", "b.extxyz", "blank.extxyz", "c.vasp", "geometry.in"), "EmptyFile"
    )


def test_an_element_that_ase_does_not_know_is_named(tmp_path: Path) -> None:
    write(tmp_path / "LiH.vasp", bulk("LiH", "rocksalt", a=4.08))
    (tmp_path / "LiD.vasp").write_text((tmp_path / "LiH.vasp").read_text().replace("H", "D"))
    (message,) = read_all(opened(str(tmp_path / "LiD.vasp")))[1]["error_message"].to_pylist()
    assert "names 'D', which is unknown" in message


def test_a_damaged_table_is_named_with_its_row_group(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    sites = pa.array([[[0.0, 0.0, 0.0]]] * 3, pa.list_(pa.list_(pa.float64(), 3)))
    columns = {"source": ["x"] * 3, "source_id": ["1", "2", "3"], "nsites": [1] * 3}
    labels = {"species_at_sites": [["Na"]] * 3, "dimension_types": [[1, 1, 1]] * 3}
    pq.write_table(pa.table(columns | labels | {"cartesian_site_positions": sites}), path)
    content = bytearray(path.read_bytes())
    content[4:400] = b"\xff" * 396
    path.write_bytes(content)
    with pytest.raises(CrysiftError, match=r"a\.parquet is damaged in row group 0"):
        keys(opened(str(path)))
