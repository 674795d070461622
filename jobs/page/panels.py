"""The panels of a page: facts of the run, prototypes, uncertainty, the strangest structures, failures."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.store.runs import runs_in
from jobs.page.blocks import rounded
from jobs.page.rows import PAGE, float_values
from jobs.tables import json_value

if TYPE_CHECKING:
    from engine.store import Store
    from jobs.page.tables import PageTables

BINS = 50
EDGE_STEP = 1e-6
"""What the edges of the histogram are rounded to, nat."""
STRANGEST = 1_000
"""Structures in the list of those out of distribution."""
LONGEST_EXAMPLE = 400
"""Characters of an error message."""
RUNS_LOOKED_AT = 50
HASHES = ("content",)
"""Settings that say nothing to a person."""
Fact = str | int | float | bool | None


def panels(tables: PageTables) -> dict[str, Any]:
    """Return what the panels of a page show."""
    return {
        "prototypes": _prototypes(tables),
        "uncertainty": _histogram(tables),
        "ood": _strangest(tables),
        "rejects": failures(tables),
    }


def cluster_rows(tables: PageTables) -> list[dict[str, Any]]:
    """Return the clusters by number, each with the row of its medoid."""
    answer = tables.connection.sql(
        f"""SELECT clusters.*, medoid_row."row" AS medoid_row
        FROM {tables.view(tables.clusters)} AS clusters
        LEFT JOIN {PAGE} AS medoid_row ON medoid_row.structure_id = clusters.medoid
        ORDER BY clusters.cluster"""
    ).to_arrow_table()
    return [json_value(row) for row in answer.to_pylist()]


def facts(tables: PageTables, rows: int, clusters: int) -> dict[str, Fact]:
    """Return the facts of the run by the label under which a person reads them."""
    from engine.store import package_version

    store, connection = tables.store, tables.connection
    [(placed, outliers)] = connection.sql(
        f"SELECT count(x), count(*) FILTER (WHERE cluster = -1) FROM {PAGE}"
    ).fetchall()
    [(structures, rejects, strange)] = connection.sql(
        "SELECT (SELECT count(*) FROM structures), (SELECT count(*) FROM rejects), "
        f"(SELECT count(*) FROM {PAGE} WHERE is_ood)"
    ).fetchall()
    of_network = tables.predictions.fingerprint
    found: dict[str, Fact] = {
        "Store": store.folder.name,
        "Structures in the store": structures,
        "Candidates rejected": rejects,
        "Structures in this page": rows,
        "With a place on the map": placed,
        "Out of distribution": strange,
        "Clusters": clusters,
        "In no cluster": outliers,
        "Sources": _sources(tables),
        "Network": tables.predictions.name.removeprefix("predictions_"),
        "Weights (SHA-256)": None if of_network.model is None else of_network.model[:16],
    }
    if tables.answer is not None:
        found["False discovery rate of the selection"] = tables.answer.fdr
    found |= {f"Network: {name}": value for name, value in _plain(of_network.settings)}
    found |= {f"Map: {name}": value for name, value in _plain(_fitted_with(tables))}
    found |= _last_runs(store)
    found["crysift"] = package_version()
    found["Written"] = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return found


def failures(tables: PageTables) -> list[dict[str, Any]]:
    """Count rejects and the structures that failed, by stage and class, the most frequent first.

    A failure is handed on from table to table; here it counts once.
    """
    held = [view for view in _derived_views(tables) if "error_class" in tables.columns(view)]
    columns = "error_stage, error_class, error_message"
    failed = " UNION ".join(
        f"SELECT structure_id, {columns} FROM {view} WHERE status = 'failed'" for view in held
    )
    each = f"SELECT {columns} FROM rejects" + (f" UNION ALL SELECT {columns} FROM ({failed})" if held else "")
    answer = tables.connection.sql(
        f"""SELECT error_class AS class, error_stage AS stage, count(*) AS count,
        min(error_message)[:{LONGEST_EXAMPLE}] AS example FROM ({each})
        GROUP BY ALL ORDER BY count DESC, stage, class"""
    )
    return [
        {name: "" if value is None else value for name, value in row.items()}
        for row in answer.to_arrow_table().to_pylist()
    ]


def _derived_views(tables: PageTables) -> list[str]:
    """Views over the newest table of each name that is derived of structures one by one."""
    names = {table.name for table in tables.store.tables() if table.name != table.folder.name}
    return sorted(name for name in names if not name.startswith("spm_") and "status" in tables.columns(name))


def _prototypes(tables: PageTables) -> list[dict[str, Any]]:
    answer = tables.connection.sql(
        f"""SELECT prototype AS name, count(*) FILTER (WHERE NOT is_ood) AS recognised,
        count(*) FILTER (WHERE is_ood) AS out_of_distribution FROM {PAGE} WHERE prototype IS NOT NULL
        GROUP BY prototype ORDER BY recognised DESC, out_of_distribution DESC, name"""
    )
    rows: list[dict[str, Any]] = answer.to_arrow_table().to_pylist()
    return rows


def _histogram(tables: PageTables) -> dict[str, Any] | None:
    """Count the values that the page has, between edges that it has too: so its filters agree."""
    values = rounded(float_values(tables.connection, "mutual_information"))
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    upper = max(float(values.max()), BINS * EDGE_STEP)
    edges = np.linspace(0.0, upper + EDGE_STEP, BINS + 1).round(6)
    counts, _ = np.histogram(values.astype(np.float64), bins=edges)
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def _strangest(tables: PageTables) -> list[int]:
    rows = tables.connection.sql(
        f'SELECT "row" FROM {PAGE} WHERE is_ood ORDER BY ood_score DESC NULLS LAST, "row" LIMIT {STRANGEST}'
    ).fetchall()
    return [int(row) for (row,) in rows]


def _sources(tables: PageTables) -> str:
    counted = tables.connection.sql(
        f"SELECT source, count(*) AS n FROM {PAGE} GROUP BY source ORDER BY n DESC, source LIMIT 8"
    ).fetchall()
    return ", ".join(f"{source} {count:,}" for source, count in counted)


def _last_runs(store: Store) -> dict[str, Fact]:
    """When each command last began to work on the store, and how that ended."""
    found: dict[str, Fact] = {}
    for run in runs_in(store.folder.child("runs"))[:RUNS_LOOKED_AT]:
        label = f"Last {run.command or 'run'}"
        if label not in found:
            found[label] = f"{run.started:%Y-%m-%d %H:%M} UTC, {run.outcome.state}"
    return found


def _fitted_with(tables: PageTables) -> dict[str, Any]:
    """Return the settings of a map, which may be those of the table that it names as its fit."""
    settings = tables.map.fingerprint.settings
    held = {table.folder.name: table.fingerprint.settings for table in tables.store.tables()}
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= held[value] if isinstance(value, str) and value in held else {name: value}
    return {name: value for name, value in found.items() if name not in HASHES}


def _plain(settings: dict[str, Any], prefix: str = "") -> list[tuple[str, Fact]]:
    """Return settings that are one value each, those within others under both names."""
    found: list[tuple[str, Fact]] = []
    for name, value in settings.items():
        label = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, dict):
            found += _plain(value, f"{label} ")
        elif value is None or isinstance(value, str | int | float | bool):
            found.append((label, value))
    return found
