"""The table of clusters counts what is in a map, and names clusters by what their members have in common."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors import open_sources
from engine.ingest import ingest
from engine.schema import CLUSTERS, MAP, PROTOSTRUCTURES, predictions_schema
from engine.store import Fingerprint, Store
from engine.structure import Structure, structures_table
from engine.validation import StructureLimits
from jobs.landscape.clusters import cluster_table
from jobs.landscape.labels import LONGEST, cluster_label

FEATURES = "features_soap-12345678"
MODEL = "ab" * 32
KINDS: dict[str, tuple[str, ...]] = {
    "salt": ("Na", "Cl"),
    "oxide": ("Ti", "O", "O"),
    "metal": ("Cu",),
    "garnet": ("Al", "Al", "Mg", "Mg", "Mg", "O"),
}
# id → (kind, cluster, assigned, prototype, mutual information, whether it is out of distribution)
ROWS: dict[str, tuple[str, int, bool, str | None, float, bool | None]] = {
    "a1": ("salt", 0, False, "RockSalt_NaCl", 0.1, False),
    "a2": ("salt", 0, False, "RockSalt_NaCl", 0.2, False),
    "a3": ("oxide", 0, True, "CsCl", 0.6, True),
    "a4": ("garnet", 0, False, "RockSalt_NaCl", 0.3, False),
    "b1": ("metal", 1, False, "fcc_Cu_A_cF4_225_a", 0.0, True),
    "b2": ("metal", 1, False, "bcc_W_A_cI2_229_a", 0.4, True),
    "o1": ("salt", -1, False, "RockSalt_NaCl", 0.9, True),
    "old": ("salt", 0, False, "RockSalt_NaCl", 5.0, False),
}


def crystal(name: str, kind: str, edge: float) -> Structure:
    labels = KINDS[kind]
    places = np.arange(len(labels))[:, None] * np.array([edge / len(labels)] * 3)
    return Structure("db", name, labels, places, np.eye(3) * edge, (1, 1, 1))


def load(store: Store, path: Path, rows: list[Structure]) -> None:
    pq.write_table(structures_table(rows), path)
    (connector,) = open_sources([str(path)])
    ingest(connector, store, StructureLimits())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Structures in two parts; of "old" the second one holds a later version, without a place in the map."""
    opened = Store.open(tmp_path / "store", create=True)
    load(opened, tmp_path / "first.parquet", [crystal(n, row[0], 5.0) for n, row in ROWS.items()])
    load(opened, tmp_path / "second.parquet", [crystal("old", "salt", 5.5)])
    fill(opened, "map", FEATURES, MAP, _places)
    fill(opened, "predictions_arise", FEATURES, predictions_schema(1, pa.float32()), _predictions)
    return opened


def fill(store: Store, name: str, source: str, schema: pa.Schema, make: Any) -> None:
    table = store.derived(Fingerprint(name, 1, 1, {}, MODEL, source), allow_new=True)
    for part in store.structures.part_names():
        ids = store.structures.read(part, ["structure_id"])["structure_id"].to_pylist()
        rows = [{"structure_id": i, "status": "ok", **make(i.removeprefix("db:"))} for i in ids]
        if len(ids) == 1:  # the later version is in no cluster
            rows = [row | {"cluster": -1, "prototype": "CsCl"} for row in rows]
        known = [{key: value for key, value in row.items() if key in schema.names} for row in rows]
        content = pa.Table.from_pylist(known, schema=schema)
        table.commit(part, content, source_part=part, rows_in=len(ids), failed=0, cost=1.0)


def _places(name: str) -> dict[str, Any]:
    _, cluster, assigned, *_ = ROWS[name]
    score = float(len(name) + int(name[-1])) / 10 if name != "old" else 9.0
    return {"cluster": cluster, "assigned": assigned, "x": score, "y": -score, "outlier_score": score}


def _predictions(name: str) -> dict[str, Any]:
    *_, prototype, uncertainty, is_ood = ROWS[name]
    return {
        "prototype": prototype,
        "mutual_information": uncertainty,
        "ood_score": 2 * uncertainty,
        "is_ood": is_ood,
    }


def shares(values: list[dict[str, Any]]) -> dict[Any, float]:
    return {entry["value"]: entry["share"] for entry in values}


def test_a_cluster_is_described_by_its_current_members(store: Store) -> None:
    table = cluster_table(store, store.latest("map"), ["db:a2", "db:b1"])
    assert table.schema.equals(CLUSTERS)
    first, second = table.to_pylist()
    assert (first["cluster"], first["size"], first["assigned"]) == (0, 4, 1)
    assert (first["medoid"], first["medoid_formula"]) == ("db:a2", "ClNa")
    assert (first["x"], first["y"]) == pytest.approx((0.4, -0.4))
    assert (first["prototype"], first["prototype_share"]) == ("RockSalt_NaCl", 0.75)
    assert first["mutual_information"] == pytest.approx(0.3)
    assert first["ood_score"] == pytest.approx(0.6)
    assert first["ood_fraction"] == 0.25
    assert first["outlier_score"] == pytest.approx((0.3 + 0.4 + 0.5 + 0.6) / 4)
    assert (first["nsites"], first["formulas"]) == (2.5, 3)
    assert shares(first["anonymous_formulas"]) == {"AB": 0.5, "AB2": 0.25, "AB2C3": 0.25}
    assert shares(first["elements"]) == {"O": 0.5, "Na": 0.5, "Cl": 0.5, "Ti": 0.25, "Al": 0.25, "Mg": 0.25}
    assert shares(first["species"]) == {2: 0.75, 3: 0.25}
    assert shares(first["sources"]) == {"db": 1.0}
    assert (second["size"], second["ood_fraction"], second["formulas"]) == (2, 1.0, 1)
    assert second["prototype"] == "bcc_W_A_cI2_229_a"  # the first by name of two that are equally frequent


def test_protostructures_are_counted_where_the_store_has_them(store: Store) -> None:
    [before, _] = cluster_table(store, store.latest("map"), ["db:a1", "db:b1"]).to_pylist()
    assert before["protostructure"] is None
    labels = {"salt": "AB_cF8_225_a_b", "metal": "A_cF4_225_a"}
    fill(
        store,
        "protostructures",
        "structures",
        PROTOSTRUCTURES,
        lambda name: {"protostructure": labels.get(ROWS[name][0])},
    )
    first, second = cluster_table(store, store.latest("map"), ["db:a1", "db:b1"]).to_pylist()
    assert (first["protostructure"], first["protostructure_share"]) == ("AB_cF8_225_a_b", 0.5)
    assert first["label"] == "0 · AB · rock salt (NaCl) 75 %"
    assert second["label"] == "1 · A_cF4_225_a 100 %"


def test_predictions_of_other_vectors_do_not_describe_a_map(store: Store) -> None:
    fill(store, "map", "features_soap-87654321", MAP, _places)
    other = next(t for t in store.existing("map") if t.fingerprint.source_table != FEATURES)
    first, _ = cluster_table(store, other, ["db:a1", "db:b1"]).to_pylist()
    assert (first["size"], first["prototype"], first["mutual_information"]) == (4, None, None)
    assert first["label"] == "0 · AB 50 %"


def test_a_cluster_without_members_is_a_row(store: Store) -> None:
    *_, third = cluster_table(store, store.latest("map"), ["db:a1", "db:b1", "db:o1"]).to_pylist()
    assert (third["cluster"], third["size"], third["formulas"]) == (2, 0, 0)
    assert third["anonymous_formulas"] is None


ROW = {
    "cluster": 7,
    "anonymous_formulas": [{"value": "ABC3", "share": 0.9}],
    "prototype": "fcc_Cu_A_cF4_225_a",
    "prototype_share": 0.62,
    "ood_fraction": 0.1,
    "protostructure": "ABC3_cP5_221_a_b_c",
    "protostructure_share": 0.44,
    "medoid_formula": "CaO3Ti",
}


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({}, "7 · ABC3 · fcc (Cu) 62 %"),
        ({"anonymous_formulas": [{"value": "ABC3", "share": 0.4}]}, "7 · fcc (Cu) 62 %"),
        ({"ood_fraction": 0.9}, "7 · ABC3_cP5_221_a_b_c 44 %"),
        ({"ood_fraction": 0.9, "protostructure_share": 0.1}, "7 · ABC3 · like fcc (Cu) 62 %"),
        ({"ood_fraction": 0.9, "protostructure": None, "prototype_share": 0.2}, "7 · ABC3 90 %"),
        ({"prototype": "an unheard-of one from other weights"}, "7 · ABC3 · an unheard-of one from… 62 %"),
        (
            {
                "anonymous_formulas": [{"value": "AB", "share": 0.02}],
                "prototype_share": 0.2,
                "protostructure_share": 0.02,
            },
            "7 · around CaO3Ti",
        ),
        (
            {
                "anonymous_formulas": None,
                "prototype": None,
                "protostructure": None,
                "ood_fraction": None,
                "medoid_formula": None,
            },
            "7",
        ),
    ],
)
def test_a_label_says_what_most_members_are(changes: dict[str, Any], label: str) -> None:
    found = cluster_label({**ROW, **changes})
    assert found == label
    assert len(found) <= LONGEST
