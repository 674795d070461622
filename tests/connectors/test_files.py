import importlib
import textwrap
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from connectors.files import FilesConnector
from connectors.parsing import index_frames
from engine.errors import CrysiftError
from engine.structure import structures_in
from tests.connectors.reading import candidates, keys, opened, read_all


@pytest.fixture
def salt() -> Atoms:
    return bulk("NaCl", "rocksalt", a=5.64)


@pytest.fixture
def folder(tmp_path: Path, salt: Atoms) -> Path:
    """A folder of one structure in every format that a name can tell."""
    (tmp_path / "deep").mkdir()
    write(tmp_path / "salt.cif", salt)
    write(tmp_path / "POSCAR_salt", salt, format="vasp")
    write(tmp_path / "deep" / "salt.vasp", salt, format="vasp")
    write(tmp_path / "deep" / "geometry.in", salt, format="aims")
    write(tmp_path / "salt.extxyz", salt, format="extxyz")
    return tmp_path


def test_every_format_gives_the_same_crystal(folder: Path) -> None:
    structures, rejects = read_all(opened(str(folder)))
    assert rejects.to_pylist() == []
    assert structures["source_id"].to_pylist() == [
        "POSCAR_salt",
        "deep/geometry.in",
        "deep/salt.vasp",
        "salt.cif",
        "salt.extxyz",
    ]
    for structure in structures_in(structures):
        assert structure.composition.formula == "ClNa"
        assert structure.dimension_types == (1, 1, 1)
        assert abs(np.linalg.det(structure.cell)) == pytest.approx(5.64**3 / 4, rel=1e-6)


def test_a_bad_file_is_one_reject_with_its_reason(folder: Path) -> None:
    (folder / "bad.cif").write_text("data_x\n_cell_length_a what\n")
    (folder / "empty.extxyz").write_text("")
    (folder / "POSCAR_bad").write_text("nothing\nof\nuse\n")
    (folder / "notes.txt").write_text("read me")
    structures, rejects = read_all(opened(str(folder)))
    assert len(structures) == 5
    reasons = {row["source_id"]: row for row in rejects.to_pylist()}
    assert set(reasons) == {"bad.cif", "empty.extxyz", "POSCAR_bad", "notes.txt"}
    assert "not readable as cif" in reasons["bad.cif"]["error_message"]
    assert reasons["notes.txt"]["error_class"] == "UnknownFormat"
    assert "--format" in reasons["notes.txt"]["error_message"]
    assert {row["error_stage"] for row in reasons.values()} == {"read"}


def test_each_frame_is_a_row_and_a_bad_frame_costs_only_itself(tmp_path: Path, salt: Atoms) -> None:
    path = tmp_path / "run.extxyz"
    write(path, [salt, salt, salt], format="extxyz")
    lines = path.read_text().splitlines()
    lines[6] = "Cl what 0 0"  # the first atom of the second frame
    path.write_text("\n".join(lines) + "\n")
    structures, rejects = read_all(opened(str(path)))
    assert structures["source_id"].to_pylist() == ["run.extxyz#0", "run.extxyz#2"]
    assert rejects["source_id"].to_pylist() == ["run.extxyz#1"]


def test_frames_beyond_a_page_go_to_the_next(
    tmp_path: Path, salt: Atoms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.files.PAGE_ROWS", 4)
    write(tmp_path / "run.extxyz", [salt] * 10, format="extxyz")
    connector = opened(str(tmp_path / "run.extxyz"))
    assert [len(table) for table in candidates(connector)] == [4, 4, 2]
    assert len(set(keys(connector))) == 3


def test_frames_are_found_by_their_counts(tmp_path: Path) -> None:
    path = tmp_path / "x.xyz"
    path.write_text("1\nfirst\nH 0 0 0\n\n2\nsecond\nH 0 0 0\nH 0 0 1\nthree\n")
    frames = list(index_frames(path))
    assert [(f.index, f.sites) for f in frames] == [(0, 1), (1, 2), (2, 0)]
    content = path.read_bytes()
    assert content[frames[1].start : frames[1].stop] == b"2\nsecond\nH 0 0 0\nH 0 0 1\n"
    assert frames[2].stop == len(content)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("count", ["1000000000000", "9" * 5000])
def test_a_count_that_cannot_be_true_costs_its_frame_alone(tmp_path: Path, count: str) -> None:
    path = tmp_path / "x.extxyz"
    path.write_text(f"1\nfirst\nH 0 0 0\n{count}\nsecond\nH 0 0 0\n")
    structures, rejects = read_all(opened(str(path)))
    assert structures["source_id"].to_pylist() == ["x.extxyz#0"]
    assert rejects["source_id"].to_pylist() == ["x.extxyz#1"]


def test_frames_of_a_trajectory_are_pages_too(
    tmp_path: Path, salt: Atoms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.files.PAGE_ROWS", 4)
    path = tmp_path / "run.traj"
    write(path, [salt * (n, 1, 1) for n in range(1, 11)], format="traj")
    connector = opened(str(path), format="traj")
    tables = candidates(connector)
    assert [len(table) for table in tables] == [4, 4, 2]
    assert tables[1]["source_id"].to_pylist() == [f"run.traj#{n}" for n in range(4, 8)]
    assert tables[1]["nsites"].to_pylist() == [10, 12, 14, 16]
    assert len(set(keys(connector))) == 3


def test_what_is_no_trajectory_is_a_reject(tmp_path: Path, salt: Atoms) -> None:
    write(tmp_path / "good.traj", [salt, salt], format="traj")
    content = (tmp_path / "good.traj").read_bytes()
    (tmp_path / "cut.traj").write_bytes(content[:-400])
    (tmp_path / "text.traj").write_text("no trajectory")
    (tmp_path / "long.traj").write_bytes(content[:32] + (2**50).to_bytes(8, "little") + content[40:])
    structures, rejects = read_all(opened(str(tmp_path), format="traj"))
    assert structures["source_id"].to_pylist() == ["good.traj#0", "good.traj#1"]
    assert set(rejects["source_id"].to_pylist()) == {"cut.traj", "text.traj", "long.traj"}


def test_where_a_file_is_stands_with_each_structure(tmp_path: Path, salt: Atoms) -> None:
    folder = tmp_path / "ångström #1"
    folder.mkdir()
    write(folder / "one.cif", salt)
    write(folder / "two.extxyz", [salt, salt], format="extxyz")
    structures, _ = read_all(opened(str(folder)))
    base = f"file://{tmp_path}/%C3%A5ngstr%C3%B6m%20%231"
    assert structures["url"].to_pylist() == [
        f"{base}/one.cif",
        f"{base}/two.extxyz#0",
        f"{base}/two.extxyz#1",
    ]


def test_formats_are_named_and_never_guessed(tmp_path: Path, salt: Atoms) -> None:
    path = tmp_path / "salt.xyz"
    write(path, salt, format="extxyz")
    with pytest.raises(CrysiftError, match=r"salt\.xyz does not tell its format.*--format"):
        opened(str(path))
    structures, _ = read_all(opened(str(path), format="extxyz"))
    assert structures["dimension_types"].to_pylist() == [[1, 1, 1]]
    with pytest.raises(CrysiftError, match=r"format 'sif' is not known"):
        opened(str(path), format="sif")


def test_partial_occupancies_of_a_cif_are_kept(tmp_path: Path) -> None:
    (tmp_path / "alloy.cif").write_text(
        textwrap.dedent("""\
        data_alloy
        _cell_length_a 3
        _cell_length_b 3
        _cell_length_c 3
        _cell_angle_alpha 90
        _cell_angle_beta 90
        _cell_angle_gamma 90
        _symmetry_space_group_name_H-M 'P 1'
        loop_
        _atom_site_label
        _atom_site_type_symbol
        _atom_site_occupancy
        _atom_site_fract_x
        _atom_site_fract_y
        _atom_site_fract_z
        Fe1 Fe 0.5 0 0 0
        Ni1 Ni 0.5 0 0 0
        """)
    )
    structures, rejects = read_all(opened(str(tmp_path / "alloy.cif")))
    assert rejects.to_pylist() == []
    assert structures["species_at_sites"].to_pylist() == [["Fe0.5Ni0.5"]]


@pytest.mark.slow
def test_a_parser_that_crashes_or_hangs_costs_one_file_and_every_frame_of_it_is_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = tmp_path / ".modules"
    modules.mkdir()
    (modules / "hostile_parser.py").write_text(
        textwrap.dedent("""\
        import os, time
        from connectors import parsing

        def parse(task, source):
            if "crash" in task.source_id:
                os.abort()
            while "hang" in task.source_id:
                time.sleep(1)
            return parsing.parse(task, source)
        """)
    )
    monkeypatch.syspath_prepend(str(modules))
    monkeypatch.setattr("connectors.files.parse", importlib.import_module("hostile_parser").parse)
    for name in ("crash.cif", "hang.cif"):
        (folder / name).write_text((folder / "salt.cif").read_text())
    (folder / "crash.extxyz").write_text((folder / "salt.extxyz").read_text() * 2)
    paths = sorted((*folder.rglob("*.cif"), folder / "crash.extxyz"))
    structures, rejects = read_all(FilesConnector(paths, folder, timeout=15.0))
    assert structures["source_id"].to_pylist() == ["salt.cif"]
    classes = dict(zip(rejects["source_id"].to_pylist(), rejects["error_class"].to_pylist(), strict=True))
    frames = dict.fromkeys(("crash.extxyz#0", "crash.extxyz#1"), "ParserCrash")
    assert classes == {"crash.cif": "ParserCrash", "hang.cif": "TimeOut", **frames}


def test_page_keys_follow_names_and_content(folder: Path) -> None:
    before = keys(opened(str(folder)))
    assert keys(opened(str(folder))) == before
    (folder / "salt.cif").rename(folder / "pepper.cif")
    renamed = keys(opened(str(folder)))
    assert renamed != before
    (folder / "pepper.cif").write_text("data_other\n")
    assert keys(opened(str(folder))) != renamed


def test_sources_that_do_not_exist_are_named(tmp_path: Path) -> None:
    with pytest.raises(CrysiftError, match=r"nowhere does not exist"):
        opened(str(tmp_path / "nowhere"))
    with pytest.raises(CrysiftError, match=r"no source .aflow."):
        opened("aflow:https://example.org")
    with pytest.raises(CrysiftError, match=r"holds no files"):
        opened(str(tmp_path))
    with pytest.raises(CrysiftError, match=r"holds no files"):
        opened(str(tmp_path / "*.cif"))


def test_a_folder_of_tables_and_files_is_ambiguous(folder: Path) -> None:
    (folder / "x.parquet").write_bytes(b"")
    with pytest.raises(CrysiftError, match=r"1 Parquet files and 5 others"):
        opened(str(folder))
