"""`crysift spm-maps` on results of a real run."""

import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from ase.build import bulk

from engine.errors import CrysiftError
from engine.schema import SCHEMA_VERSION, SPM_REGIONS
from engine.spm import Frame, GridSettings
from engine.store import Fingerprint, Store
from jobs.settings import ExecutionSettings
from jobs.spm.maps.export import MapSettings, write_maps
from jobs.spm.pipeline import SpmRequest, open_spm, run_spm
from tests.jobs.running import crysift


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copper at two times, and one atom far off that makes the boxes at one end empty."""
    copper = bulk("Cu", cubic=True) * (6, 5, 5)
    positions = np.append(copper.positions, [[34.0, 9.0, 9.0]], axis=0)
    species = np.zeros(len(positions), np.uint8)
    frames = [Frame(positions + shift, species, ("Cu",)) for shift in (0.0, 0.1)]
    path = tmp_path_factory.mktemp("maps") / "store"
    grid = GridSettings(stride=(8.0, 8.0, 8.0), box=12.0)
    request = SpmRequest(name="copper", frames=frames, grid=grid, passes=20)
    run_spm(Store.open(path, create=True), request, ExecutionSettings("inline"))
    return path


def test_all_files_of_an_analysis_are_written(store: Path, tmp_path: Path) -> None:
    shown = "class,fcc,mutual-information"
    answer = crysift("spm-maps", "--store", store, "--out", tmp_path / "out", "--show", shown, "--json")
    assert answer.status == 0, answer.err
    names = {
        "overview.png", "class.png", "probability-fcc_Cu_A_cF4_225_a.png", "mutual-information.png",
        "volume.html", "boxes-00000.vti", "boxes-00001.vti", "boxes.pvd", "atoms.extxyz",
    }  # fmt: skip
    assert {Path(file).name for file in answer.json()["files"]} == names
    assert {file.name for file in (tmp_path / "out").iterdir()} == names
    lines = (tmp_path / "out" / "atoms.extxyz").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2 * (2 + 601)
    assert lines[2].split()[5] == "fcc_Cu_A_cF4_225_a"
    assert lines[-1].split()[5:8] == ["none", "-1", "nan"]


def test_one_slice_is_drawn_where_it_was_asked_for(store: Path, tmp_path: Path) -> None:
    options = ("--axis", "x", "--at", "7", "--format", "svg", "--no-html", "--no-vti", "--no-atoms")
    answer = crysift("spm-maps", "--store", store, "--out", tmp_path, "--show", "class", *options)
    assert answer.status == 0, answer.err
    assert {file.name for file in tmp_path.iterdir()} == {"overview.svg", "class.svg"}
    middles = open_spm(Store.open(store)).geometry.centers(np.array([[0, 0, 0], [1, 0, 0]]))[:, 0]
    nearest = middles[np.abs(middles - 7.0).argmin()]
    assert f"x = {nearest:.1f} Å" in (tmp_path / "class.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (MapSettings(frame=2), "there is no frame 2: copper has 0 to 1"),
        (MapSettings(at=99.0), "there is no plane at z = 99 Å"),
        (MapSettings(show=("class", "cluster")), "run `crysift spm-regions` first"),
        (MapSettings(show=("fool",)), "neither a quantity 'fool' nor a box"),
    ],
)
def test_what_cannot_be_drawn_is_said_before_anything_is_written(
    store: Path, tmp_path: Path, settings: MapSettings, message: str
) -> None:
    opened = Store.open(store)
    with pytest.raises(CrysiftError, match=re.escape(message)):
        list(write_maps(opened, open_spm(opened), tmp_path / "out", settings))
    assert not (tmp_path / "out").exists()


def test_clusters_of_the_same_analysis_are_drawn_and_exported(store: Path, tmp_path: Path) -> None:
    opened = Store.open(shutil.copytree(store, tmp_path / "store"))
    tables = open_spm(opened)
    for source, number in ((tables.grid.folder.name, 3), ("spm_grid-00000000", 8)):
        fingerprint = Fingerprint("spm_regions", SCHEMA_VERSION, 1, {}, model=None, source_table=source)
        regions = opened.derived(fingerprint, allow_new=True)
        for part in tables.grid.part_names():
            rows = tables.grid.read(part, ["structure_id", "status", "frame", "ix", "iy", "iz"]).to_pylist()
            for row in rows:
                row["cluster"] = number + row["iy"] % 2 if row["status"] == "ok" else None
            content = pa.Table.from_pylist(rows, schema=SPM_REGIONS)
            n = len(rows)
            regions.commit(part, content, source_part=part, rows_in=n, failed=0, cost=1.0, source_hash="0")
    settings = MapSettings(show=("cluster",), pictures="svg", html=False, vti=False)
    files = {path.name: path for path in write_maps(opened, tables, tmp_path / "out", settings)}
    text = files["cluster.svg"].read_text(encoding="utf-8")
    assert "cluster 3" in text
    assert "cluster 4" in text
    assert "cluster 8" not in text
    heading, *atoms = files["atoms.extxyz"].read_text(encoding="utf-8").splitlines()[1:603]
    assert heading.split()[0].endswith(":cluster:I:1")
    assert {line.split()[-1] for line in atoms} == {"3", "4", "-2"}


def test_an_unfinished_analysis_is_not_drawn(store: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(store, tmp_path / "store")
    tables = open_spm(Store.open(copy))
    parts = tables.grid.part_names()
    tables.grid.discard(min(parts))
    answer = crysift("spm-maps", "--store", copy, "--out", tmp_path / "out")
    assert answer.status == 1
    assert f"1 of {len(parts)} parts of the boxes of copper are not classified yet" in answer.err
