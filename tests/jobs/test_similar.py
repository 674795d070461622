"""`crysift similar` finds the nearest structures of a store, whichever way it is asked."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase import Atoms
from ase.build import bulk
from numpy.typing import NDArray
from typer.testing import CliRunner

from connectors.settings import SourceSettings
from engine.columns import contiguous, fixed_size_values
from engine.errors import CrysiftError
from engine.execution.events import ignore
from engine.schema import MAP
from engine.store import Fingerprint, Store
from engine.structure import Structure, structures_table
from jobs import screen
from jobs import similar as similar_module
from jobs.cli import app
from jobs.settings import ExecutionSettings, ScreenSettings
from jobs.similar import Similar, SimilarSettings, find_similar, nearest_of
from models.representations import Layer
from models.stage import PredictArise
from models.weights_file import load_model

FAST = ScreenSettings(execution=ExecutionSettings("inline"), models=(PredictArise(passes=20),))
HOSTS = {
    "copper": bulk("Cu"),
    "iron": bulk("Fe"),
    "salt": bulk("NaCl", "rocksalt", a=5.64),
    "cesium": bulk("CsCl", "cesiumchloride", a=4.12),
    "silicon": bulk("Si"),
}


def rows(**named: Atoms) -> list[Structure]:
    return [Structure.from_ase(atoms, "db", name) for name, atoms in named.items()]


def displaced(atoms: Atoms, seed: int) -> Atoms:
    moved: Atoms = atoms.repeat((2, 2, 2))
    moved.rattle(0.05 * (1 + seed), seed=seed)
    return moved


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("similar")
    variants = {f"{n}-{k}": displaced(a, k) for n, a in HOSTS.items() for k in range(3)}
    pq.write_table(structures_table(rows(**HOSTS, **variants)), folder / "db.parquet")
    later = rows(copper=bulk("Cu", "sc", a=2.5))
    pq.write_table(structures_table(later), folder / "later.parquet")
    for file in ("db", "later"):
        screen(folder / f"{file}.parquet", folder / "store", FAST)
    return Store.open(folder / "store")


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    """Two structures: silver, which is copper's like, and a displaced rock salt."""
    queries = rows(silver=bulk("Ag"), salty=displaced(bulk("KBr", "rocksalt", a=6.6), 0))
    pq.write_table(structures_table(queries), tmp_path / "asked.parquet")
    return tmp_path / "asked.parquet"


def find(store: Store, file: Path, number: int = 3, layer: str = "3") -> Similar:
    return find_similar([str(file)], store, SimilarSettings(number, layer), SourceSettings(), ignore)


def representations(store: Store, layer: str) -> dict[str, NDArray[np.float32]]:
    """Of the structures that are current, from the vectors in the store."""
    features = store.latest("features_soap")
    parts = sorted(map(features.read, features.part_names()), key=len, reverse=True)  # the later version last
    held = pa.concat_tables(parts)
    vectors = fixed_size_values(contiguous(held["vector"])).reshape(len(held), -1)
    points = Layer(load_model("arise-robust").network, layer)(vectors.copy())
    return dict(zip(held["structure_id"].to_pylist(), points, strict=True))


@pytest.mark.parametrize("layer", ["3", "descriptor"])
def test_the_nearest_are_those_of_all_distances(
    store: Store, asked: Path, layer: str, tmp_path: Path
) -> None:
    neighbors = find(store, asked, 5, layer).neighbors
    held = representations(store, layer)
    mine = representations(screen(asked, tmp_path / "mine", FAST).store, layer)
    for query, point in mine.items():
        found = [row for row in neighbors.to_pylist() if row["query"] == query]
        assert [row["rank"] for row in found] == [1, 2, 3, 4, 5]
        distances = {name: float(np.linalg.norm(other - point)) for name, other in held.items()}
        expected = sorted(distances.values())[:5]
        assert [row["distance"] for row in found] == pytest.approx(expected, rel=1e-5, abs=1e-5)
        for row in found:
            other = held[row["structure_id"]]
            assert row["distance"] == pytest.approx(distances[row["structure_id"]], rel=1e-5, abs=1e-5)
            cosine = other @ point / np.linalg.norm(other) / np.linalg.norm(point)
            assert row["cosine"] == pytest.approx(float(cosine), abs=1e-5)


def test_versions_that_were_replaced_are_not_found(store: Store, asked: Path) -> None:
    [silver, *_] = [
        row for row in find(store, asked, 20).neighbors.to_pylist() if row["query"] == "db:silver"
    ]
    assert silver["structure_id"] != "db:copper"
    everything = find(store, asked, 1000).neighbors
    assert len(everything) == 2 * (len(HOSTS) * 4)
    copper = [row for row in everything.to_pylist() if row["structure_id"] == "db:copper"]
    assert all(row["distance"] > 0.1 for row in copper if row["query"] == "db:silver")


def test_the_answer_says_what_is_known_of_both_sides(store: Store, asked: Path) -> None:
    before = {table.folder.name: table.part_names() for table in store.tables()}
    answer = find(store, asked, 1)
    salty, silver = answer.queries.to_pylist()
    assert (silver["formula"], silver["prototype"], silver["is_ood"]) == ("Ag", "fcc_Cu_A_cF4_225_a", False)
    assert silver["protostructure"] == "A_cF4_225_a"
    nearest = {row["query"]: row for row in answer.neighbors.to_pylist()}
    assert nearest["db:salty"]["structure_id"] == "db:salt-0"
    assert (nearest["db:salty"]["formula"], nearest["db:salty"]["cluster"]) == ("ClNa", None)
    assert nearest["db:salty"]["prototype"] == salty["prototype"]
    assert {table.folder.name: table.part_names() for table in store.tables()} == before


def test_the_cluster_is_that_of_a_map_of_the_same_vectors(store: Store, asked: Path) -> None:
    features = store.latest("features_soap")
    table = store.derived(Fingerprint("map", 1, 1, {}, "ab" * 32, features.folder.name))
    for part in features.part_names():
        ids = features.read(part, ["structure_id"])["structure_id"].to_pylist()
        content = [{"structure_id": i, "status": "ok", "cluster": len(i)} for i in ids]
        rows = pa.Table.from_pylist(content, schema=MAP)
        table.commit(part, rows, source_part=part, rows_in=len(ids), failed=0, cost=1.0)
    try:
        for row in find(store, asked, 4).neighbors.to_pylist():
            assert row["cluster"] == len(row["structure_id"])
    finally:
        for part in table.part_names():
            table.discard(part)


def test_what_cannot_be_asked_is_said(store: Store, asked: Path, tmp_path: Path) -> None:
    with pytest.raises(CrysiftError, match="ask for 1 or more"):
        SimilarSettings(0)
    with pytest.raises(CrysiftError, match="no layer '9': choose from descriptor, 1, 2, 3"):
        find(store, asked, layer="9")
    other = SimilarSettings(weights="diffraction-single")
    with pytest.raises(CrysiftError, match="other weights than diffraction-single"):
        find_similar([str(asked)], store, other, SourceSettings(), ignore)
    clash = Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 0.01]], cell=[4, 4, 4], pbc=True)
    pq.write_table(structures_table(rows(clash=clash)), tmp_path / "clash.parquet")
    with pytest.raises(CrysiftError, match=r"no structure to compare with the store: .* 0\.01 Å apart"):
        find(store, tmp_path / "clash.parquet")


def test_too_many_structures_are_refused(store: Store, asked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similar_module, "MAX_QUERIES", 1)
    with pytest.raises(CrysiftError, match="2 structures are more than the 1"):
        find(store, asked)


def test_equal_distances_are_ordered_by_id_and_blocks_may_be_small() -> None:
    queries = np.array([[0.0, 0.0], [3.0, 0.0]])
    ids = np.array(["d", "b", "c", "a", "e"], object)
    points = np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1], [3, 0]])
    cuts = [slice(0, 0), slice(0, 2), slice(2, 3), slice(3, 5)]
    found = nearest_of(queries, [(ids[cut], points[cut]) for cut in cuts], 4)
    assert found.ids.tolist() == [["a", "b", "c", "d"], ["e", "d", "a", "b"]]
    np.testing.assert_allclose(found.distances[1], [0.0, 2.0, 10**0.5, 10**0.5])
    np.testing.assert_allclose(found.cosines[1], [1.0, 1.0, 0.0, 0.0])
    assert np.isnan(found.cosines[0]).all()  # an angle with a vector of length zero
    assert nearest_of(queries, [(ids, points)], 9).ids.shape == (2, 5)


def answered(*arguments: str | Path) -> str:
    told = CliRunner().invoke(app, list(map(str, arguments)))
    assert told.exit_code == 0, told.output
    return told.stdout


def test_the_command_tells_what_was_found_and_what_was_left_out(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "near.csv"
    clash = Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 0.01]], cell=[4, 4, 4], pbc=True)
    queries = rows(mine=bulk("KBr", "rocksalt", a=6.6), clash=clash)
    pq.write_table(structures_table(queries), tmp_path / "mine.parquet")
    told = CliRunner().invoke(
        app,
        ["similar", f"{tmp_path}/mine.parquet", "-s", store.folder.url, "-n", "2", "--csv", str(file)],
        color=False,
    )
    assert told.exit_code == 0, told.output
    assert "db:mine  BrK, AB_cF8_225_a_b: rock salt (NaCl) (p = " in told.stdout
    assert "clash is left out: sites 0 and " in told.stderr.replace("\n", " ")
    with file.open(encoding="utf-8") as lines:
        nearest, second = csv.DictReader(lines)
    assert (nearest["structure_id"], nearest["rank"], second["rank"]) == ("db:salt", "1", "2")
    assert float(nearest["distance"]) == pytest.approx(0.0, abs=1e-5)
    assert "db:salt " in told.stdout


def test_json_has_the_neighbors_of_each_structure(store: Store, asked: Path) -> None:
    found = json.loads(answered("similar", asked, "--store", store.folder.url, "--json", "--layer", "2"))
    assert (found["layer"], found["rejects"]) == ("2", [])
    salty, silver = found["structures"]
    assert (salty["structure_id"], silver["structure_id"]) == ("db:salty", "db:silver")
    assert [row["rank"] for row in silver["neighbors"]] == list(range(1, 11))
    assert None not in {row["protostructure"] for row in silver["neighbors"]}
