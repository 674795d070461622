import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.io import write

from engine.errors import CrysiftError
from engine.landscape.cluster import ClusterSettings
from engine.landscape.embed import EmbedSettings
from engine.landscape.model import MapSettings
from engine.store import Store, Table
from jobs.landscape.pipeline import MapTables, map_store
from jobs.landscape.sample import FLOOR, allocation, choose
from jobs.landscape.settings import MapRequest
from jobs.landscape.trust import trustworthiness
from jobs.settings import ExecutionSettings
from jobs.views import connect
from models.representations import Layer
from models.weights_file import load_model
from tests.jobs.landscape.conftest import EACH, INLINE, KINDS, crystals, screen_into, write_crystals
from tests.jobs.running import crysift

SETTINGS = MapSettings(ClusterSettings(10, 5), EmbedSettings(neighbors=8))
REQUEST = MapRequest(settings=SETTINGS, protostructures=False)


def made(store: Store, request: MapRequest = REQUEST) -> MapTables:
    return map_store(store, request, INLINE, lambda _: None, lambda _: None)


def rows_of(table: Table) -> list[dict[str, Any]]:
    return [row for part in sorted(table.part_names()) for row in table.read(part).to_pylist()]


def kind_of(structure_id: str) -> str:
    return next(kind for kind in KINDS if kind in structure_id)


def written(table: Table) -> dict[str, bytes]:
    return {part: table.folder.open(part + ".parquet").read() for part in sorted(table.part_names())}


@pytest.fixture
def store(screened_kinds: Store, tmp_path: Path) -> Store:
    shutil.copytree(Path(screened_kinds.folder.url), tmp_path / "store")
    return Store.open(tmp_path / "store")


@pytest.fixture(scope="module")
def mapped(screened_kinds: Store, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, MapTables]:
    place = tmp_path_factory.mktemp("mapped") / "store"
    shutil.copytree(Path(screened_kinds.folder.url), place)
    store = Store.open(place)
    return store, made(store)


def test_every_kind_is_a_cluster_of_its_own(mapped: tuple[Store, MapTables]) -> None:
    _, tables = mapped
    rows = rows_of(tables.map)
    assert len(rows) == EACH * len(KINDS)
    assert all(row["status"] == "ok" and row["fitted"] for row in rows)
    kinds: dict[int, set[str]] = {}
    for row in rows:
        kinds.setdefault(row["cluster"], set()).add(kind_of(row["structure_id"]))
    clusters = {cluster: found for cluster, found in kinds.items() if cluster >= 0}
    assert len(clusters) >= len(KINDS)
    assert all(len(found) == 1 for found in clusters.values())
    assert sum(row["cluster"] < 0 for row in rows) < 0.2 * len(rows)
    near = [kind_of(row["neighbors"][0]["structure_id"]) == kind_of(row["structure_id"]) for row in rows]
    assert all(near)


def test_clusters_are_described_and_both_tables_can_be_queried(mapped: tuple[Store, MapTables]) -> None:
    store, tables = mapped
    rows = {row["structure_id"]: row for row in rows_of(tables.map)}
    found = rows_of(tables.clusters)
    sizes = [row["size"] for row in found]
    assert sizes == sorted(sizes, reverse=True)
    for row in found:
        assert rows[row["medoid"]]["cluster"] == row["cluster"]
        members = [each for each in rows.values() if each["cluster"] == row["cluster"]]
        assert len(members) == row["size"]
        assert np.isclose(row["x"], rows[row["medoid"]]["x"])
        assert row["prototype"] is not None
    with connect(store) as connection:
        (count,) = connection.execute(
            "SELECT count(*) FROM map JOIN clusters USING (cluster)"
        ).fetchone() or (0,)
    assert count == sum(sizes)


def test_a_map_that_is_there_is_not_made_again(mapped: tuple[Store, MapTables]) -> None:
    store, tables = mapped
    before = [written(table) for table in (tables.map, tables.clusters, *tables.fit)]
    again = made(store)
    assert [written(table) for table in (again.map, again.clusters, *again.fit)] == before


def test_an_interrupted_map_is_completed_with_the_same_bytes(store: Store) -> None:
    write_crystals(Path(store.folder.url).parent / "more", 5, seed=1)
    screen_into(Path(store.folder.url).parent / "more", Path(store.folder.url))
    tables = made(store)
    whole = written(tables.map)
    assert len(whole) > 1
    tables.map.discard(min(whole))
    for damaged in (tables.fit.axes, tables.fit.points):
        assert tables.fit.complete()
        damaged.discard(min(damaged.part_names()))
        assert not tables.fit.complete()
        made(store)
    again = made(store)
    assert again.map.folder.name == tables.map.folder.name
    assert written(again.map) == whole


def test_a_sample_is_fitted_and_the_rest_is_placed_beside_its_kind(store: Store) -> None:
    tables = made(store, replace(REQUEST, sample=90))
    rows = rows_of(tables.map)
    placed = [row for row in rows if not row["fitted"]]
    assert len(placed) == EACH * len(KINDS) - 90
    kinds = {row["cluster"]: kind_of(row["structure_id"]) for row in rows if row["fitted"]}
    judged = [row for row in placed if row["cluster"] >= 0]
    assert len(judged) > 0.7 * len(placed)
    assert all(kinds[row["cluster"]] == kind_of(row["structure_id"]) for row in judged)
    assert all(np.isfinite([row["x"], row["y"], row["outlier_score"]]).all() for row in placed)
    model, _ = tables.fit.read(SETTINGS)
    layer = Layer(load_model("arise-robust").network, "3")
    trust = trustworthiness(store, model, tables.features, tables.map, layer)
    assert trust["placed"] is not None
    assert 0.7 < trust["placed"] <= 1.0


@pytest.mark.slow
def test_workers_place_with_the_same_bytes(store: Store) -> None:
    request = replace(REQUEST, sample=90)
    tables = made(store, request)
    alone = written(tables.map)
    for part in alone:
        tables.map.discard(part)
    shared = map_store(
        store, request, ExecutionSettings(executor="cluster", workers=2), lambda _: None, lambda _: None
    )
    assert written(shared.map) == alone


def test_new_structures_are_placed_in_the_map_there_is_or_make_a_new_one(store: Store) -> None:
    tables = made(store)
    before = written(tables.fit.points), {row["structure_id"]: row["x"] for row in rows_of(tables.map)}
    folder = Path(store.folder.url).parent / "more"
    write_crystals(folder, 4, seed=2)
    screen_into(folder, Path(store.folder.url))
    updated = made(store, replace(REQUEST, update=True))
    assert updated.fit.points.folder.name == tables.fit.points.folder.name
    assert written(updated.fit.points) == before[0]
    rows = {row["structure_id"]: row for row in rows_of(updated.map)}
    assert len(rows) == (EACH + 4) * len(KINDS)
    assert {name: row["x"] for name, row in rows.items() if row["fitted"]} == before[1]
    anew = made(store)
    assert anew.fit.points.folder.name != tables.fit.points.folder.name
    assert all(row["fitted"] for row in rows_of(anew.map))


def test_other_clusters_keep_the_places(mapped: tuple[Store, MapTables]) -> None:
    store, tables = mapped
    coarse = replace(SETTINGS, clustering=ClusterSettings(40, 5))
    other = made(store, replace(REQUEST, settings=coarse))
    assert other.map.folder.name != tables.map.folder.name
    places = [[(row["x"], row["y"]) for row in rows_of(table)] for table in (tables.map, other.map)]
    assert places[0] == places[1]
    assert store.latest("map").folder.name == other.map.folder.name
    before = written(tables.map)
    assert made(store).map.folder.name == tables.map.folder.name
    assert store.latest("map").folder.name == tables.map.folder.name, "what was asked for last is shown"
    assert store.latest("clusters").folder.name == tables.clusters.folder.name
    assert written(tables.map) == before


def test_a_store_without_any_cluster_has_a_map_all_the_same(mapped: tuple[Store, MapTables]) -> None:
    store, _ = mapped
    none = replace(SETTINGS, clustering=ClusterSettings(100, 5))
    tables = made(store, replace(REQUEST, settings=none))
    rows = rows_of(tables.map)
    assert {row["cluster"] for row in rows} == {-1}
    assert all(np.isfinite([row["x"], row["outlier_score"]]).all() for row in rows)
    assert rows_of(tables.clusters) == []


def test_only_a_map_of_the_same_settings_can_be_updated(store: Store) -> None:
    with pytest.raises(CrysiftError, match="no map of layer 3 with these settings to update"):
        made(store, replace(REQUEST, update=True))


def test_a_changed_structure_is_placed_anew_and_is_not_its_own_neighbour(tmp_path: Path) -> None:
    write_crystals(tmp_path / "files", 30, seed=0)
    store = screen_into(tmp_path / "files", tmp_path / "store")
    made(store)
    write(tmp_path / "files" / "copper-0.extxyz", crystals("copper", 30, seed=9))
    screen_into(tmp_path / "files", tmp_path / "store")
    updated = made(store, replace(REQUEST, update=True))
    with connect(store) as connection:
        rows = connection.sql("SELECT structure_id, fitted, neighbors FROM map").to_arrow_table().to_pylist()
        medoids = connection.sql("SELECT medoid, fitted FROM clusters JOIN map ON medoid = structure_id")
        assert all(fitted for name, fitted in medoids.fetchall() if "copper" not in name)
    changed = [row for row in rows if not row["fitted"]]
    assert len(rows) == 30 * len(KINDS)
    assert len(changed) == 30
    for row in changed:
        names = [each["structure_id"] for each in row["neighbors"]]
        assert len(names) == 10
        assert row["structure_id"] not in names
    model, _ = updated.fit.read(SETTINGS)
    layer = Layer.of(updated.predictions, "3", "arise-robust")
    trust = trustworthiness(store, model, updated.features, updated.map, layer)
    assert trust["placed"] is not None
    refitted = made(store)
    model, _ = refitted.fit.read(SETTINGS)
    assert trustworthiness(store, model, refitted.features, refitted.map, layer)["placed"] is None


def test_the_descriptor_itself_can_be_mapped(store: Store) -> None:
    tables = made(store, replace(REQUEST, layer="descriptor"))
    assert tables.fit.points.fingerprint.settings["layer"] == "descriptor"
    assert tables.clusters.count().rows >= len(KINDS)


def test_a_sample_has_its_floors_and_shares() -> None:
    counts = np.array([10, 100, 1000, 10_000])
    shares = allocation(counts, 2000)
    assert shares.sum() == 2000
    assert shares[0] == 10
    assert (shares >= np.minimum(counts, FLOOR)).all()
    assert shares[1] < shares[2] < shares[3]
    assert allocation(np.array([5, 5, 5]), 7).sum() == 7


def test_who_is_in_a_sample_depends_on_ids_and_seed_alone(screened_kinds: Store) -> None:
    predictions = screened_kinds.latest("predictions_arise")
    first, again = (choose(screened_kinds, predictions, 50, 0) for _ in range(2))
    assert first.size == again.size == 50
    assert first.available == EACH * len(KINDS)
    flat = [np.concatenate(list(found.rows.values())).tolist() for found in (first, again)]
    assert flat[0] == flat[1]
    other = choose(screened_kinds, predictions, 50, 1)
    assert np.concatenate(list(other.rows.values())).tolist() != flat[0]


def test_what_is_missing_is_said(store: Store) -> None:
    with pytest.raises(CrysiftError, match="180 structures are too few for a map with 500 neighbours"):
        made(store, replace(REQUEST, settings=replace(SETTINGS, embedding=EmbedSettings(neighbors=500))))
    with pytest.raises(CrysiftError, match="no layer '9'"):
        made(store, replace(REQUEST, layer="9"))
    predictions = store.latest("predictions_arise")
    predictions.discard(min(predictions.part_names()))
    with pytest.raises(CrysiftError, match=r"have no predictions yet|holds no predictions to map"):
        made(store)


def test_the_command_tells_what_it_made(mapped: tuple[Store, MapTables]) -> None:
    store, _ = mapped
    answer = crysift(
        "map", "--store", store.folder.url, "--min-cluster-size", "10", "--min-samples", "5",
        "--neighbors", "8", "--no-protostructures", "--json",
    )  # fmt: skip
    assert answer.status == 0, answer.err
    summary = answer.json()
    assert summary["structures"] == summary["fitted"] == EACH * len(KINDS)
    assert summary["clusters"] >= len(KINDS)
    assert summary["clustered"] + summary["outliers"] == summary["structures"]
    assert 0.8 < summary["trustworthiness"]["fitted"] <= 1.0
    assert summary["trustworthiness"]["placed"] is None
    refused = crysift("map", "--store", store.folder.url, "--backend", "cuml")
    assert refused.status != 0
    assert "cuML and an NVIDIA GPU" in refused.err
