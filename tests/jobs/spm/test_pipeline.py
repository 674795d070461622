"""From frames to a class for every box, in this process."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from ase import Atoms
from ase.build import bulk

from connectors.atomistic import read_frames
from engine.errors import CrysiftError
from engine.execution import Event
from engine.execution.events import PartDone, StageStarted
from engine.spm import Grid, GridSettings
from engine.spm.boxes import BOXES_PER_BLOCK
from engine.spm.field import read_field
from engine.store import Store, Table
from jobs.spm.pipeline import SpmRequest, SpmTables, counts, open_spm, run_spm
from jobs.spm.refine import Refine
from jobs.spm.summary import summarize
from tests.jobs.spm.crystals import INLINE, bicrystal, frame_of, request

FCC, BCC = "fcc_Cu_A_cF4_225_a", "bcc_W_A_cI2_229_a"


def rows(table: Table) -> list[dict[str, object]]:
    found: list[dict[str, object]] = table.scan().to_table().drop_columns(["representation"]).to_pylist()
    return found


def parts(table: Table) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(table.folder.url).glob("*.parquet")}


@pytest.fixture(scope="module")
def rod(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, SpmTables]:
    store = Store.open(tmp_path_factory.mktemp("rod") / "store", create=True)
    return store, run_spm(store, request(bicrystal(), classes=(BCC,)), INLINE)


def test_either_half_of_a_bicrystal_is_recognised(rod: tuple[Store, SpmTables]) -> None:
    _, tables = rod
    assert tables.geometry.counts[1:] == (1, 1)
    found = tables.grid.scan().to_table()
    x = np.array(found["center"].to_pylist())[:, 0]
    classes = np.array(found["prototype"].to_pylist())
    inside = (x > 6.0) & (x < 54.0)
    assert set(classes[inside & (x < 24.0)]) == {FCC}
    assert set(classes[inside & (x > 37.0)]) == {BCC}
    information = found["mutual_information"].to_numpy()
    assert information[inside & (abs(x - 30.5) < 5.0)].max() > 10 * np.median(information[inside])
    asked = [each[0]["probability"] for each in found["requested"].to_pylist()]
    np.testing.assert_allclose(
        np.array(asked)[classes == BCC], found["probability"].to_numpy()[classes == BCC]
    )


def test_every_box_is_accounted_for_and_the_store_can_be_opened_again(rod: tuple[Store, SpmTables]) -> None:
    store, tables = rod
    found = counts(tables)
    assert found["boxes"] == found["evaluated"] == tables.geometry.n_boxes
    assert found["classified"] + found["sparse"] + found["failed"] == found["boxes"]
    assert found["atoms"] == len(bicrystal())
    opened = open_spm(Store.open(store.folder.url))
    assert opened.geometry == tables.geometry
    assert [opened.boxes, opened.soap, opened.grid] == [tables.boxes, tables.soap, tables.grid]
    summary = summarize(store, opened)
    assert sum(each["boxes"] for each in summary["classes"]) == found["classified"]
    assert sum(each["share"] for each in summary["classes"]) == pytest.approx(1.0)
    assert summary["mutual_information"]["0.5"] <= summary["mutual_information"]["0.95"]


def test_the_same_request_again_does_nothing(rod: tuple[Store, SpmTables]) -> None:
    store, tables = rod
    before = parts(tables.grid)
    events: list[Event] = []
    run_spm(store, request(bicrystal(), classes=(BCC,)), INLINE, events.append)
    assert not [event for event in events if isinstance(event, PartDone)]
    assert parts(tables.grid) == before


def test_a_run_that_was_interrupted_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BOXES_PER_BLOCK, "exact", 4)
    whole = run_spm(Store.open(tmp_path / "whole", create=True), request(bicrystal()), INLINE)
    assert len(whole.boxes.part_names()) > 4
    done: list[str] = []

    def interrupt(event: Event) -> None:
        if isinstance(event, PartDone):
            done.append(event.part)
            if len(done) == 3:
                raise KeyboardInterrupt

    store = Store.open(tmp_path / "cut", create=True)
    with pytest.raises((KeyboardInterrupt, CrysiftError)):
        run_spm(store, request(bicrystal()), INLINE, interrupt)
    again: list[str] = []
    tables = run_spm(
        Store.open(tmp_path / "cut"),
        request(bicrystal()),
        INLINE,
        lambda event: (
            again.append(event.part) if isinstance(event, PartDone) and event.stage == "spm_soap" else None
        ),
    )
    assert not set(done) & set(again)
    assert set(done) | set(again) == tables.boxes.part_names()
    assert parts(tables.grid) == parts(whole.grid)


def test_frames_share_one_grid_and_keep_their_numbers(tmp_path: Path) -> None:
    first = bicrystal()
    second = first[first.positions[:, 0] < 40.0]
    tables = run_spm(Store.open(tmp_path / "store", create=True), request(first, second), INLINE)
    low, high = frame_of(first).positions.min(axis=0), frame_of(first).positions.max(axis=0)
    assert tables.geometry == Grid.over(low, high, request(first).grid)
    field = read_field(tables.grid, tables.geometry)
    assert field.frames == 2
    alone = run_spm(Store.open(tmp_path / "alone", create=True), request(first), INLINE)
    np.testing.assert_array_equal(
        field.mutual_information[0], read_field(alone.grid, alone.geometry).mutual_information[0]
    )
    x = tables.geometry.centers(tables.geometry.indices())[:, 0].reshape(tables.geometry.counts)
    assert not field.classified[1][x > 46.0].any()
    assert field.classified[1][(x > 6.0) & (x < 34.0)].all()


def test_refinement_gives_the_full_map_for_less(rod: tuple[Store, SpmTables], tmp_path: Path) -> None:
    grid = GridSettings(stride=(0.5, 2.0, 2.0), box=10.0, axes="1")
    asked = {"grid": grid, "passes": 20}
    store = Store.open(tmp_path / "store", create=True)
    full = run_spm(Store.open(tmp_path / "full", create=True), request(bicrystal(), **asked), INLINE)
    fine = run_spm(store, request(bicrystal(), refine=Refine(step=8), **asked), INLINE)
    found = counts(fine)
    assert found["evaluated"] < 0.7 * found["boxes"] == 0.7 * counts(full)["evaluated"]
    exact = {row["structure_id"]: row for row in rows(full.grid)}
    for row in rows(fine.grid):
        assert {**row, "level": 0} == {**exact[row["structure_id"]], "level": 0}
    levels = pc.value_counts(fine.grid.scan(["level"]).to_table()["level"]).to_pylist()
    assert {each["values"] for each in levels} == {0, 1, 2, 3}
    all_of_it, refined = read_field(full.grid, full.geometry), read_field(fine.grid, fine.geometry)
    same = (
        np.array(all_of_it.labels, object)[all_of_it.prototype]
        == np.array(refined.labels, object)[refined.prototype]
    )
    assert same.mean() > 0.98
    assert (refined.level == -1).sum() == found["boxes"] - found["evaluated"]
    shares = [
        {each["prototype"]: each["share"] for each in summarize(store, tables)["classes"]}
        for tables in (full, fine)
    ]
    assert shares[1][FCC] == pytest.approx(shares[0][FCC], abs=0.02)
    assert shares[1][BCC] == pytest.approx(shares[0][BCC], abs=0.02)
    before = parts(fine.grid)
    events: list[Event] = []
    run_spm(store, request(bicrystal(), refine=Refine(step=8), **asked), INLINE, events.append)
    assert not any(event.rows for event in events if isinstance(event, StageStarted))
    assert parts(fine.grid) == before


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["exact", "shared"])
def test_refinement_of_the_published_polycrystal_agrees_with_its_full_map(
    mode: str, shared_data: Path, tmp_path: Path
) -> None:
    frames = list(read_frames(shared_data / "atomistic" / "four_grains.xyz"))
    asked = SpmRequest(name="grains", frames=frames, passes=50, mode=mode)  # type: ignore[arg-type]
    full = run_spm(Store.open(tmp_path / "full", create=True), asked, INLINE)
    fine = run_spm(Store.open(tmp_path / "fine", create=True), replace(asked, refine=Refine()), INLINE)
    assert counts(fine)["evaluated"] < 0.5 * counts(full)["evaluated"]
    maps = [read_field(tables.grid, tables.geometry) for tables in (full, fine)]
    classes = [np.array([*each.labels, ""], object)[each.prototype] for each in maps]
    # shared sums of another block differ by their tolerance, which decides where two classes are as likely
    assert (classes[0] == classes[1]).mean() > (0.995 if mode == "exact" else 0.98)
    difference = np.abs(maps[0].mutual_information - maps[1].mutual_information)
    assert np.nanmean(difference) < (0.005 if mode == "exact" else 0.02)


def test_another_grid_or_mode_is_kept_apart(rod: tuple[Store, SpmTables], tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    run_spm(store, request(bicrystal()), INLINE)
    for other, words in (
        (request(bicrystal(), grid=GridSettings(stride=(3.0, 3.0, 3.0), box=10.0, axes="1")), "stride: "),
        (request(bicrystal(), refine=Refine()), "refine"),
        (request(bicrystal(), passes=30), "passes: 20 in the store, 30 asked"),
        (request(bicrystal()[5:]), "content: "),
    ):
        with pytest.raises(CrysiftError, match=words) as refused:
            run_spm(store, other, INLINE)
        assert "--add-table" in str(refused.value)


def test_a_single_atom_of_a_species_in_a_box_is_no_obstacle(tmp_path: Path) -> None:
    rod = bulk("Ni", a=3.52, cubic=True) * (8, 3, 3)
    middle = int(np.argmin(np.linalg.norm(rod.positions - rod.positions.mean(axis=0), axis=1)))
    rod.symbols[middle] = "Al"
    tables = run_spm(Store.open(tmp_path / "store", create=True), request(rod), INLINE)
    found = tables.grid.scan(["status", "prototype", "structure_id"]).to_table().to_pylist()
    assert {row["status"] for row in found} <= {"ok", "sparse"}
    vectors = np.array(tables.soap.scan(["vector"]).to_table()["vector"].drop_null().to_pylist())
    assert np.isfinite(vectors).all()
    assert (np.linalg.norm(vectors, axis=1) > 0.1).all()


def test_atoms_without_neighbours_fail_with_the_reason(tmp_path: Path) -> None:
    far = Atoms("H2O", positions=[[0, 0, 0], [30.0, 0, 0], [60.0, 0, 0]])
    grid = GridSettings(stride=(5.0, 5.0, 5.0), box=10.0, min_atoms=1)
    store = Store.open(tmp_path / "store", create=True)
    tables = run_spm(store, request(far, grid=grid), INLINE)
    summary = summarize(store, tables)
    assert summary["failed"] > 0
    assert summary["classified"] == 0
    assert summary["failed"] + summary["sparse"] == summary["boxes"]
    [failure] = summary["failures"]
    assert failure["boxes"] == summary["failed"]
    assert failure["example"]
