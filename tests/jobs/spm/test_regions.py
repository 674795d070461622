"""Clusters of the boxes of an ordered alloy whose halves are known, and what is told of them."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from typer.testing import CliRunner

from engine.errors import CrysiftError
from engine.landscape.cluster import ClusterSettings
from engine.landscape.embed import EmbedSettings
from engine.spm import GridSettings
from engine.spm.field import read_values
from engine.store import Store
from jobs.cli import app
from jobs.spm.pipeline import SpmTables, run_spm
from jobs.spm.region_summary import likeness, read_boxes, summarize_regions
from jobs.spm.regions import LEFT_OUT, RegionSettings, clusters_of, find_regions
from jobs.spm.regions_drawing import draw_map
from jobs.spm.spacings import (
    BIN,
    BoxDistances,
    atom_distances,
    derive_spacings,
    read_distances,
    spacing_statistics,
)
from models.representations import Layer
from models.weights_file import load_model, save_model
from tests.jobs.spm.crystals import INLINE, request

A = 3.85
CELL = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
SETTINGS = RegionSettings(clustering=ClusterSettings(8), embedding=None)


def alloy() -> Atoms:
    """A rod along x, slightly disordered: L1₀ in its first half, L1₂ in its second."""
    first = Atoms("Fe2Pt2", scaled_positions=CELL, cell=[A] * 3)
    second = Atoms("FePt3", scaled_positions=CELL, cell=[A] * 3)
    halves = [first * (10, 4, 4), second * (10, 4, 4)]
    halves[1].positions[:, 0] += 10 * A
    atoms: Atoms = halves[0] + halves[1]
    atoms.rattle(0.02, seed=1)
    return atoms


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, SpmTables]:
    store = Store.open(tmp_path_factory.mktemp("alloy") / "store", create=True)
    grid = GridSettings(stride=(1.0, 1.0, 1.0), box=12.0, axes="1")
    return store, run_spm(store, request(alloy(), name="alloy", grid=grid), INLINE)


def place(tables: SpmTables) -> np.ndarray:
    return np.array(tables.grid.scan(["center"]).to_table()["center"].to_pylist())[:, 0]


def test_the_halves_are_regions_and_their_distances_those_of_the_crystals(
    analysis: tuple[Store, SpmTables],
) -> None:
    store, tables = analysis
    regions = find_regions(store, tables, SETTINGS, "arise-robust")
    clusters, x = clusters_of(regions), place(tables)
    left, right = clusters[(x > 7) & (x < 10 * A - 7)], clusters[(x > 10 * A + 7) & (x < 20 * A - 7)]
    assert len(set(left)) == len(set(right)) == 1
    assert left[0] != right[0]
    assert min(left[0], right[0]) >= 0
    distances = read_distances(derive_spacings(store, tables, INLINE, lambda _: None), tables.atoms.labels)
    difference = distances.difference("Fe", "Pt")
    assert np.median(difference[clusters == left[0]]) == pytest.approx(0.0, abs=0.05)
    assert np.median(difference[clusters == right[0]]) == pytest.approx(A - A / np.sqrt(2), abs=0.05)
    dense = np.nan_to_num(read_values(regions, tables.geometry, "cluster"), nan=-2).astype(int)
    atoms = atom_distances(tables.atoms, tables.geometry, dense, int(clusters.max()) + 1)
    counted = atoms.counts.sum(axis=-1)[:, :, 0].sum()
    inside = np.isin(clusters, [LEFT_OUT], invert=True).all()
    assert inside
    assert counted == sum(tables.atoms.counts)
    near = atoms.quantile(0.5)[[left[0], right[0]], 0, 0]
    np.testing.assert_allclose(near, [A / np.sqrt(2), A], atol=BIN)


def test_the_summary_tells_of_classes_and_likeness(analysis: tuple[Store, SpmTables]) -> None:
    store, tables = analysis
    regions = find_regions(store, tables, SETTINGS, "arise-robust")
    boxes = read_boxes(tables, regions)
    alike = likeness(tables, Layer.of(tables.grid, "3", "arise-robust"), boxes)
    summary = summarize_regions(boxes, None, alike)
    rows = summary["clusters"]
    assert [row["boxes"] for row in rows] == sorted((row["boxes"] for row in rows), reverse=True)
    assert (
        sum(row["boxes"] for row in rows) + summary["outliers"]
        == summary["clustered_boxes"]
        == len(boxes.cluster)
    )
    assert {next(iter(row["classes"])) for row in rows[:2]} == {"L10_CuAu", "L12_Cu3Au"}
    matrix = alike.clusters
    np.testing.assert_allclose(np.diag(matrix), 1.0)
    assert matrix[0, 1] == matrix[1, 0] < 0.99
    assert alike.frames.tolist() == [[pytest.approx(1.0)]]


def test_regions_are_computed_once_and_again_for_other_settings(analysis: tuple[Store, SpmTables]) -> None:
    store, tables = analysis
    first = find_regions(store, tables, SETTINGS, "arise-robust")
    [part, *_] = sorted(first.part_names())
    before = Path(first.folder.path(f"{part}.parquet")).stat().st_mtime_ns
    assert find_regions(store, tables, SETTINGS, "arise-robust") == first
    assert Path(first.folder.path(f"{part}.parquet")).stat().st_mtime_ns == before
    other = find_regions(store, tables, replace(SETTINGS, layer="descriptor"), "arise-robust")
    assert other.folder.name != first.folder.name
    assert store.latest("spm_regions") == other
    assert (clusters_of(other) != LEFT_OUT).all()
    again = find_regions(store, tables, SETTINGS, "arise-robust")
    assert store.latest("spm_regions") == again == first, "what was asked for last is what maps show"
    with pytest.raises(CrysiftError, match="no layer '9': choose from descriptor, 1, 2, 3"):
        find_regions(store, tables, replace(SETTINGS, layer="9"), "arise-robust")


def test_uncertain_and_thin_boxes_are_left_out(analysis: tuple[Store, SpmTables]) -> None:
    store, tables = analysis
    found = tables.grid.scan(["mutual_information", "n_atoms"]).to_table()
    limit = float(np.median(found["mutual_information"].to_numpy()))
    settings = replace(SETTINGS, max_uncertainty=limit, min_atoms=100)
    clusters = clusters_of(find_regions(store, tables, settings, "arise-robust"))
    kept = (found["mutual_information"].to_numpy() <= limit) & (found["n_atoms"].to_numpy() >= 100)
    assert 0 < kept.sum() < len(kept)
    np.testing.assert_array_equal(clusters != LEFT_OUT, kept)


def test_other_weights_than_those_of_the_boxes_are_refused(
    analysis: tuple[Store, SpmTables], tmp_path: Path
) -> None:
    store, tables = analysis
    save_model(replace(load_model("arise-robust"), card={"note": "another"}), tmp_path / "other")
    with pytest.raises(CrysiftError, match="made with other weights"):
        find_regions(store, tables, replace(SETTINGS, layer="1"), str(tmp_path / "other"))


def test_statistics_leave_out_boxes_without_a_pair() -> None:
    d_nn = np.array([[[2.0]], [[np.nan]], [[4.0]], [[9.0]]])
    distances = BoxDistances(("Fe",), d_nn, d_nn + 1.0)
    rows = spacing_statistics(distances, np.array([0, 0, 0, LEFT_OUT]))
    assert len(rows) == 1
    assert (
        rows[0] | {"boxes": 2, "d_nn": 3.0, "d_nn_std": 1.0, "d_nn_q50": 3.0, "mean_nearest": 4.0} == rows[0]
    )


def test_the_command_writes_what_it_says(analysis: tuple[Store, SpmTables], tmp_path: Path) -> None:
    store, _ = analysis
    asked = ["--out", str(tmp_path / "out"), "--min-cluster", "8", "--no-map", "--json"]
    answer = CliRunner().invoke(app, ["spm-regions", "--store", store.folder.url, *asked])
    assert answer.exit_code == 0, answer.stderr
    summary = json.loads(answer.stdout)
    names = {
        "clusters.csv", "distances.csv", "differences.csv", "differences.png", "neighbors.png",
        "similarity.csv", "similarity.png",
    }  # fmt: skip
    assert {Path(file).name for file in summary["files"]} == names
    assert {file.name for file in (tmp_path / "out").iterdir()} == names
    with (tmp_path / "out" / "differences.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["difference"] for row in rows} == {"d_FeFe - d_PtPt"}
    assert len(rows) == len(summary["clusters"])


@pytest.mark.slow
def test_boxes_of_a_region_lie_together_in_the_map(analysis: tuple[Store, SpmTables], tmp_path: Path) -> None:
    store, tables = analysis
    settings = replace(SETTINGS, embedding=EmbedSettings(neighbors=10))
    regions = find_regions(store, tables, settings, "arise-robust")
    boxes = read_boxes(tables, regions)
    apart = np.linalg.norm(boxes.place[:, None] - boxes.place[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    assert (boxes.cluster[apart.argmin(axis=1)] == boxes.cluster).mean() > 0.9
    draw_map(tmp_path / "map.svg", boxes)
    drawn = (tmp_path / "map.svg").read_text(encoding="utf-8")
    assert all(name in drawn for name in ("L1₀ (CuAu)", "L1₂ (Cu3Au)", "mutual information (nat)"))
