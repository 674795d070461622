"""A small store with a map whose every value is known, and ids of the worst kind."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from connectors import open_sources
from engine.ingest import ingest
from engine.schema import CLUSTERS, MAP, predictions_schema
from engine.store import Fingerprint, Store, Table
from engine.structure import Structure, structures_table
from engine.validation import StructureLimits

HOSTILE = (
    "</script><script>window.hacked=1</script>",
    '"><img src=x onerror="window.hacked=1">',
    "'; window.hacked=1; //\\u003c{{data}}{{viewer}}",
    "evil\u202egnp.exe",
    "two\nlines\ttab\r\u2028paragraph",
    "=HYPERLINK(1)",
    "<!--<script>",
    "long-" + "x" * 10_000,
)
TITLE = "</title><script>window.hacked=1</script>{{page}}"
ORDINARY = 240
FAILED = "fails"
PROTOTYPES = ("RockSalt_NaCl", "CsCl", "fcc_Cu_A_cF4_225_a", "</script><b>prototype</b>", "=1+1")
CLUSTER_COUNT = 3
MODEL = "ab" * 32


@dataclass(frozen=True)
class Expected:
    """What was written about a structure."""

    structure_id: str
    position: int

    @property
    def x(self) -> float:
        return float(np.cos(self.position) * self.position / 10)

    @property
    def y(self) -> float:
        return float(np.sin(self.position) * self.position / 10)

    @property
    def cluster(self) -> int:
        return self.position % (CLUSTER_COUNT + 1) - 1

    @property
    def prototype(self) -> str:
        return PROTOTYPES[self.position % len(PROTOTYPES)]

    @property
    def mutual_information(self) -> float:
        return self.position / 1000

    @property
    def is_ood(self) -> bool:
        return self.position % 5 == 0


def make_mapped_store(folder: Path) -> Store:
    """Ingest crystals, one that is rejected, one that fails and a later version of one; add the tables."""
    store = Store.open(folder / "store", create=True)
    _load(store, folder / "first.parquet", [*_crystals(), _clash()])
    _load(store, folder / "second.parquet", [crystal("crystal-000", 6.5)])
    parts = {
        part: store.structures.read(part, ["structure_id"])["structure_id"].to_pylist()
        for part in sorted(store.structures.part_names())
    }
    add_tables(store, parts)
    return store


def crystal(name: str, edge: float) -> Structure:
    positions = np.array([[0.0, 0, 0], [edge / 2] * 3])
    extra = {"extra_json": json.dumps({"gap": edge / 2, "who": "</script>", "odd \"'key": edge})}
    return Structure("db", name, ("Cs", "Cl"), positions, np.eye(3) * edge, (1, 1, 1), provenance=extra)


def expected(store: Store) -> list[Expected]:
    """All structures in the order of a page's rows."""
    ids = {i for part in store.structures.part_names() for i in _ids(store.structures, part)}
    return [Expected(name, position) for position, name in enumerate(sorted(ids, key=str.encode))]


def _ids(table: Table, part: str) -> list[str]:
    ids: list[str] = table.read(part, ["structure_id"])["structure_id"].to_pylist()
    return ids


def _crystals() -> list[Structure]:
    names = [*(f"crystal-{number:03}" for number in range(ORDINARY)), *HOSTILE, FAILED]
    return [crystal(name, 3.5 + number / 100) for number, name in enumerate(names)]


def _clash() -> Structure:
    return Structure("db", "clash", ("Cs", "Cl"), np.zeros((2, 3)), np.eye(3) * 4, (1, 1, 1))


def _load(store: Store, path: Path, structures: list[Structure]) -> None:
    pq.write_table(structures_table(structures), path)
    (connector,) = open_sources([str(path)])
    ingest(connector, store, StructureLimits())


def add_tables(store: Store, parts: dict[str, list[str]]) -> None:
    """Write predictions, a map and its clusters over the structures of these parts."""
    rows = {row.structure_id: row for row in expected(store)}
    order = list(rows)
    predictions = Fingerprint("predictions_arise", 1, 1, {"passes": 20}, MODEL, "features_soap-12345678")
    table = store.derived(predictions)
    for part, ids in parts.items():
        _commit(table, part, [_prediction(rows[i]) for i in ids], predictions_schema(2, pa.float32()))
    of_map = Fingerprint("map", 1, 1, {"neighbors": 30, "min_dist": 0.1}, MODEL, "features_soap-12345678")
    mapped = store.derived(of_map)
    for part, ids in parts.items():
        _commit(mapped, part, [_point(rows[i], order) for i in ids], MAP)
    clusters = store.derived(Fingerprint("clusters", 1, 1, {}, MODEL, mapped.folder.name))
    found = [_cluster(number, list(rows.values())) for number in range(CLUSTER_COUNT)]
    _commit(clusters, "part-clusters", found, CLUSTERS)


def _commit(table: Table, part: str, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    failed = sum(row.get("status") == "failed" for row in rows)
    content = pa.Table.from_pylist(rows, schema=schema)
    table.commit(part, content, source_part=part, rows_in=len(rows), failed=failed, cost=1.0)


def _failure(row: Expected) -> dict[str, Any] | None:
    if not row.structure_id.endswith(FAILED):
        return None
    return {
        "structure_id": row.structure_id,
        "status": "failed",
        "error_stage": "features_soap",
        "error_class": "TooManyPairsError",
        "error_message": "</script><script>window.hacked=1</script>",
    }


def _prediction(row: Expected) -> dict[str, Any]:
    return _failure(row) or {
        "structure_id": row.structure_id,
        "status": "ok",
        "prototype": row.prototype,
        "probability": 0.75,
        "top": [
            {"prototype": row.prototype, "probability": 0.75},
            {"prototype": PROTOTYPES[(row.position + 1) % len(PROTOTYPES)], "probability": 0.25},
        ],
        "mutual_information": row.mutual_information,
        "ood_score": row.position / 7,
        "ood_p_value": 0.01 if row.is_ood else 0.5,
        "is_ood": row.is_ood,
        "nearest_class": row.prototype,
        "representation": [0.0, 1.0],
    }


def _point(row: Expected, order: list[str]) -> dict[str, Any]:
    near = [(row.position + step) % len(order) for step in (1, 2, 3)]
    return _failure(row) or {
        "structure_id": row.structure_id,
        "status": "ok",
        "x": row.x,
        "y": row.y,
        "cluster": row.cluster,
        "cluster_probability": 0.5,
        "assigned": False,
        "memberships": [{"cluster": 0, "probability": 0.5}],
        "outlier_score": 0.25,
        "neighbors": [
            {"structure_id": order[place], "distance": float(step)} for step, place in enumerate(near, 1)
        ],
        "fitted": True,
    }


def _cluster(number: int, rows: list[Expected]) -> dict[str, Any]:
    members = [row for row in rows if row.cluster == number]
    return {
        "cluster": number,
        "label": f"{number} · </script>",
        "size": len(members),
        "assigned": 0,
        "medoid": members[-1].structure_id,
        "medoid_formula": "CsCl",
        "x": members[-1].x,
        "y": members[-1].y,
        "formulas": 1,
        "elements": [{"value": "Cs", "share": 1.0}, {"value": "Cl", "share": 1.0}],
    }
