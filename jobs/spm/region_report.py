"""The end of a clustering of boxes: on the terminal, and as pictures and tables in a folder."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.spm.region_summary import Boxes, likeness, read_boxes, summarize_regions
from jobs.spm.spacings import atom_distances, derive_spacings, read_distances
from jobs.tables import rich_table

if TYPE_CHECKING:
    from engine.execution import Listener
    from engine.store import Store, Table
    from jobs.console import Console
    from jobs.settings import ExecutionSettings
    from jobs.spm.pipeline import SpmTables
    from models.representations import Layer

SHOWN = 12


def report_regions(
    store: Store,
    tables: SpmTables,
    regions: Table,
    layer: Layer,
    out: Path,
    execution: ExecutionSettings,
    listener: Listener,
) -> dict[str, Any]:
    """Measure the distances in the boxes, write pictures and tables, and return the summary."""
    spacings = derive_spacings(store, tables, execution, listener)
    boxes = read_boxes(tables, regions)
    distances = read_distances(spacings, tables.atoms.labels)
    summary = summarize_regions(boxes, distances, likeness(tables, layer, boxes))
    files = [*_pictures(tables, regions, boxes, summary, out), *_tables(summary, out)]
    if len(tables.atoms.labels) > 1 and summary["clusters"]:
        from jobs.spm.regions_drawing import draw_differences

        draw_differences(out / "differences.png", distances, boxes)
        files.append(out / "differences.png")
    return {
        "store": store.folder.url,
        "name": tables.atoms.name,
        **summary,
        "tables": {table.name: table.folder.url for table in (regions, spacings)},
        "files": sorted(map(str, files)),
    }


def _pictures(
    tables: SpmTables, regions: Table, boxes: Boxes, summary: Mapping[str, Any], out: Path
) -> Iterator[Path]:
    """Draw what can be drawn; yield the files."""
    from engine.spm.field import read_values
    from jobs.spm.regions_drawing import draw_map, draw_neighbors, draw_similarity

    out.mkdir(parents=True, exist_ok=True)
    count = len(summary["clusters"])
    if np.isfinite(boxes.place).any():
        draw_map(out / "map.png", boxes)
        yield out / "map.png"
    if count:
        clusters = np.nan_to_num(read_values(regions, tables.geometry, "cluster"), nan=-2.0).astype(np.int64)
        atoms = atom_distances(tables.atoms, tables.geometry, clusters, count)
        draw_neighbors(out / "neighbors.png", atoms)
        yield out / "neighbors.png"
    for name, key, word in (
        ("similarity.png", "similarity", "cluster"),
        ("similarity-of-frames.png", "similarity_of_frames", "frame"),
    ):
        matrix = np.array(summary[key])
        if len(matrix) > 1:
            draw_similarity(out / name, matrix, [f"{word} {number}" for number in range(len(matrix))])
            yield out / name


def _tables(summary: Mapping[str, Any], out: Path) -> Iterator[Path]:
    """Write tables of numbers as CSV; yield the files."""
    for name, key in (("clusters", "clusters"), ("distances", "distances"), ("differences", "differences")):
        if summary[key]:
            _write_csv(out / f"{name}.csv", [_flat(row) for row in summary[key]])
            yield out / f"{name}.csv"
    for name, key in (("similarity", "similarity"), ("similarity-of-frames", "similarity_of_frames")):
        if len(summary[key]) > 1:
            rows = [{"": k, **dict(enumerate(row))} for k, row in enumerate(summary[key])]
            _write_csv(out / f"{name}.csv", rows)
            yield out / f"{name}.csv"


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _shares(value) if isinstance(value, dict) else value for name, value in row.items()}


def _shares(classes: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {100 * share:.0f} %" for name, share in classes.items())


def _write_csv(path: Path, rows: Sequence[Mapping[Any, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def print_regions(console: Console, summary: Mapping[str, Any]) -> None:
    """Print the clusters, the differences of distances, and where everything is."""
    import pyarrow as pa

    clusters = [_flat(row) for row in summary["clusters"]]
    if clusters:
        title = "Clusters of boxes, the largest first"
        console.show(rich_table(pa.Table.from_pylist(clusters[:SHOWN]), title, decimals=3))
        if len(clusters) > SHOWN:
            console.say(f"… and {len(clusters) - SHOWN} more")
    differences = [row for row in summary["differences"] if row["cluster"] < SHOWN]
    if differences:
        title = "How much farther apart like neighbours are, of the first than of the second species (Å)"
        console.show(rich_table(pa.Table.from_pylist(differences), title, decimals=3))
    console.say(
        f"{summary['clustered_boxes']:,} of {summary['boxes']:,} boxes clustered: {len(clusters)} clusters, "
        f"{summary['assigned']:,} outliers assigned to their most probable one, "
        f"{summary['outliers']:,} in none"
    )
    if not clusters:
        console.note(
            "no clusters were found: try a smaller --min-cluster, another --layer, boxes of less "
            "uncertainty with --max-uncertainty, or --single where one region is to be expected"
        )
    for name, place in [*summary["tables"].items(), *(("written:", file) for file in summary["files"])]:
        console.say(f"  {name:<13} {place}")
