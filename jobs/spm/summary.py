"""What strided pattern matching found, as JSON values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

    from engine.store import Store
    from jobs.spm.pipeline import SpmTables

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_COLUMNS = [
    "status",
    "error_class",
    "error_message",
    "prototype",
    "probability",
    "mutual_information",
    "ood_score",
    "is_ood",
    "level",
]


def summarize(store: Store, tables: SpmTables) -> dict[str, Any]:
    """Count boxes by their fate and class, and tell how uncertain they are and where the tables are.

    Shares of classes and quantiles are those of the whole map, in which a box that refinement left out is as
    the nearest one that it did not; all counts are of evaluated boxes.
    """
    import pyarrow.compute as pc

    from engine.spm.field import read_field
    from jobs.spm.pipeline import counts

    rows = tables.grid.scan(_COLUMNS).to_table()
    classified = rows.filter(pc.equal(rows["status"], "ok"))
    counted = counts(tables)
    field = read_field(tables.grid, tables.geometry)
    information = field.mutual_information[field.classified]
    found = np.quantile(information, QUANTILES).tolist() if len(information) else []
    return {
        "store": store.folder.url,
        **counted,
        "fraction_evaluated": counted["evaluated"] / counted["boxes"],
        "levels": _counted(rows, "level"),
        "out_of_distribution": pc.sum(classified["is_ood"]).as_py() or 0,
        "classes": _classes(classified, field.shares),
        "mutual_information": dict(zip(map(str, QUANTILES), found, strict=False)),
        "failures": _failures(rows.filter(pc.equal(rows["status"], "failed"))),
        "tables": {
            table.name: table.folder.url
            for table in (tables.atoms.table, tables.boxes, tables.soap, tables.grid)
        },
    }


def _counted(rows: pa.Table, column: str) -> dict[str, int]:
    import pyarrow.compute as pc

    found = pc.value_counts(rows[column]).to_pylist()
    return {str(each["values"]): each["counts"] for each in sorted(found, key=lambda each: each["values"])}


def _classes(classified: pa.Table, shares: dict[str, float]) -> list[dict[str, Any]]:
    """Tell of every class how many boxes have it, the largest share of the map first."""
    grouped = classified.group_by("prototype").aggregate(
        [
            ("prototype", "count"),
            ("probability", "approximate_median"),
            ("mutual_information", "approximate_median"),
            ("is_ood", "sum"),
        ]
    )
    found = [
        {
            "prototype": row["prototype"],
            "boxes": row["prototype_count"],
            "share": shares[row["prototype"]],
            "median_probability": row["probability_approximate_median"],
            "median_mutual_information": row["mutual_information_approximate_median"],
            "out_of_distribution": row["is_ood_sum"],
        }
        for row in grouped.to_pylist()
    ]
    return sorted(found, key=lambda each: (-each["share"], each["prototype"]))


def _failures(failed: pa.Table) -> list[dict[str, Any]]:
    grouped = failed.group_by("error_class").aggregate([("error_class", "count"), ("error_message", "min")])
    return [
        {
            "error_class": row["error_class"],
            "boxes": row["error_class_count"],
            "example": row["error_message_min"],
        }
        for row in grouped.to_pylist()
    ]
