"""The command `crysift map`: a map with its record in the store, the closing lines, and pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.schema import SCHEMA_VERSION
from engine.store import Fingerprint, Store
from jobs.landscape.pipeline import MapTables, map_store
from jobs.pipeline import recorded_run
from jobs.progress import ProgressBars
from jobs.summary import answer
from jobs.tables import rich_table

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from engine.store import Table
    from jobs.console import Console
    from jobs.landscape.settings import MapRequest, Pictures
    from jobs.landscape.sweep import SweepSettings
    from jobs.settings import ExecutionSettings

SHOWN = 12
_FACTS = """SELECT count(*) AS structures, count(*) FILTER (WHERE status = 'failed') AS failed,
    count(*) FILTER (WHERE fitted) AS fitted, count(*) FILTER (WHERE NOT fitted) AS placed,
    count(*) FILTER (WHERE cluster >= 0) AS clustered, count(*) FILTER (WHERE assigned) AS assigned,
    count(*) FILTER (WHERE cluster < 0) AS outliers FROM map"""
_LARGEST = """SELECT cluster, size, label, medoid, medoid_formula AS formula,
    mutual_information, ood_fraction FROM clusters ORDER BY cluster LIMIT ?"""
_SWEEP = ["min_cluster_size", "clusters", "outlier_fraction", "largest", "persistence", "stability"]


def map_and_report(
    console: Console,
    url: str,
    request: MapRequest,
    execution: ExecutionSettings,
    *,
    sweep: bool,
    pictures: Pictures | None,
) -> None:
    """Make the map of a store, and say what came of it."""
    store = Store.open(url, create=False)
    if pictures is not None:
        pictures.folder.mkdir(parents=True, exist_ok=True)
    with (
        ProgressBars(console) as bars,
        execution.cluster.connected(),
        recorded_run(store, "map", request.as_json(), bars) as (run, tell),
    ):
        tables = map_store(store, request, execution, tell, console.note)
        swept = _sweep(store, request, tables, console) if sweep else None
        summary = _summary(store, tables, swept) | {"trustworthiness": _trust(store, request, tables)}
        run.finish(summary)
    _print(console, store, tables, swept, summary)
    summary["files"] = [] if pictures is None else list(map(str, _draw(store, tables, pictures, swept)))
    for file in summary["files"]:
        console.say(f"  picture {file}")
    console.finish(summary)


def _summary(store: Store, tables: MapTables, swept: Table | None) -> dict[str, Any]:
    made = [table for table in (tables.map, tables.clusters, tables.fit.points, swept) if table is not None]
    [facts] = _asked(store, tables, _FACTS).to_pylist()
    return {
        "store": store.folder.url,
        "backend": tables.fit.points.fingerprint.settings["backend"],
        **facts,
        "clusters": tables.clusters.count().rows,
        "tables": {table.name: table.folder.url for table in made},
    }


def _trust(store: Store, request: MapRequest, tables: MapTables) -> dict[str, float | None]:
    from jobs.landscape.trust import trustworthiness
    from models.representations import Layer

    model, _ = tables.fit.read(request.settings)
    layer = Layer.of(tables.predictions, request.layer, request.weights)
    return trustworthiness(store, model, tables.features, tables.map, layer)


def _asked(store: Store, tables: MapTables, sql: str, *values: object) -> pa.Table:
    """Ask the tables of a map in SQL."""
    from engine.store import Superseded
    from jobs.views import add_view, open_connection

    with open_connection(store) as connection:
        add_view(connection, "map", tables.map, tables.map.part_names(), Superseded.of(store))
        add_view(connection, "clusters", tables.clusters, tables.clusters.part_names(), Superseded({}))
        return answer(connection, sql, *values)


def _sweep(store: Store, request: MapRequest, tables: MapTables, console: Console) -> Table:
    """Compare smallest cluster sizes, or find the comparison that the store holds."""
    from jobs.landscape.sweep import SweepSettings, sweep

    clustering = request.settings.clustering
    settings = SweepSettings(
        neighbors=clustering.neighbors,
        selection=clustering.selection,
        assign_from=clustering.assign_from,
        seed=request.settings.embedding.seed,
    )
    table = store.derived(_sweep_fingerprint(settings, tables), allow_new=True)
    if not table.part_names():
        console.note(f"comparing smallest cluster sizes on {settings.resamples} random halves")
        model, _ = tables.fit.read(request.settings)
        rows = sweep(model.points, settings)
        table.commit("part-sweep", rows, source_part=None, rows_in=len(rows), failed=0, cost=float(len(rows)))
    return table


def _sweep_fingerprint(settings: SweepSettings, tables: MapTables) -> Fingerprint:
    from dataclasses import asdict

    source = tables.fit.points
    return Fingerprint(
        "map_sweep", SCHEMA_VERSION, 1, asdict(settings), source.fingerprint.model, source.folder.name
    )


def _draw(store: Store, tables: MapTables, pictures: Pictures, swept: Table | None) -> list[Path]:
    from jobs.landscape.pictures import QUANTITIES, draw_maps

    files = draw_maps(store, tables.map, pictures.folder, pictures.show or QUANTITIES)
    if swept is not None:
        from jobs.landscape.sweep_picture import sweep_picture

        for suffix in ("png", "svg"):
            files.append(pictures.folder / f"sweep.{suffix}")
            sweep_picture(swept.read("part-sweep"), files[-1])
    return files


def _print(
    console: Console, store: Store, tables: MapTables, swept: Table | None, summary: dict[str, Any]
) -> None:
    if summary["clusters"]:
        largest = _asked(store, tables, _LARGEST, SHOWN)
        console.show(rich_table(largest, "The largest clusters", decimals=3))
        console.say()
    if swept is not None:
        rows = swept.read("part-sweep").select(_SWEEP)
        console.show(rich_table(rows, "Smallest cluster sizes: stability is between 0 and 1", decimals=3))
        console.say()
    placed = f", {summary['placed']:,} placed" if summary["placed"] else ""
    console.say(
        f"{summary['structures']:,} structures on the map ({summary['fitted']:,} fitted{placed}, "
        f"{summary['failed']:,} failed): {summary['clusters']:,} clusters with {summary['clustered']:,} "
        f"({summary['assigned']:,} of them assigned by soft clustering), {summary['outliers']:,} outliers"
    )
    kept = [f"{value:.3f} of the {name}" for name, value in summary["trustworthiness"].items() if value]
    if kept:
        console.say(f"trustworthiness of the plane (15 neighbours): {', '.join(kept)} structures")
    width = max(map(len, summary["tables"])) + 1
    for name, place in summary["tables"].items():
        console.say(f"  {name:<{width}} {place}")
    console.say(f"\nLook at it: crysift report --store {summary['store']}")
