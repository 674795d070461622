"""Pictures of a map for papers, by cluster, prototype, uncertainty, or any column."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from engine.store import Store, Table
    from jobs.landscape.marks import Mark
    from jobs.page.tables import PageTables

PictureFormat = Literal["png", "svg", "pdf"]
QUANTITIES = ("cluster", "prototype", "mutual_information", "ood_score")


def draw_maps(
    store: Store,
    map_table: Table,
    folder: Path,
    show: Sequence[str] = QUANTITIES,
    formats: Sequence[PictureFormat] = ("png", "svg"),
) -> list[Path]:
    """Draw a map once for each column to show, as `map-COLUMN.png` and so on; return the files.

    A column is of the map, of predictions, structures, another table with a row per structure, or a key of
    ``extra_json``. Raises CrysiftError for an unknown one, and where the map has no clusters or predictions.
    """
    from jobs.landscape.map_drawing import draw_map
    from jobs.landscape.quantities import quantity
    from jobs.page.columns import page_columns
    from jobs.page.rows import float_values, make_rows
    from jobs.page.tables import PageTables

    tables = PageTables.of(store, map_table)
    with tables.connection:
        columns = {column.name: column for column in page_columns(tables, show)}
        used = {name: columns[name] for name in ("x", "y", "is_ood", *show)}
        make_rows(tables, list(used.values()))
        columns_of_places = [float_values(tables.connection, name) for name in ("x", "y")]
        places = np.stack(columns_of_places, axis=1).astype(np.float64)
        clusters = _clusters(tables)
        folder.mkdir(parents=True, exist_ok=True)
        files = []
        for name in show:
            drawn = quantity(tables, columns[name], clusters)
            marks = _marks(clusters) if name == "cluster" else ()
            for suffix in formats:
                files.append(folder / f"map-{_NO_WORD.sub('_', name)}.{suffix}")
                draw_map(files[-1], places, drawn, marks)
    return files


_NO_WORD = re.compile(r"[^\w.-]+")


def _clusters(tables: PageTables) -> list[dict[str, Any]]:
    """Return number, label, and place of the medoid of the clusters."""
    rows = tables.connection.sql(
        f"SELECT cluster, label, x, y FROM {tables.view(tables.clusters)} ORDER BY cluster"
    ).to_arrow_table()
    return list(rows.to_pylist())


def _marks(clusters: Sequence[dict[str, Any]]) -> list[Mark]:
    from jobs.landscape.marks import Mark
    from jobs.landscape.quantities import NAMED

    placed = [cluster for cluster in clusters[:NAMED] if cluster["x"] is not None]
    return [Mark(cluster["x"], cluster["y"], f"{cluster['cluster']}") for cluster in placed]
