"""What `crysift similar` says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape

from engine.schema import STATUS_OK
from jobs.tables import rich_table

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from engine.store import Store
    from jobs.console import Console
    from jobs.similar import Similar, SimilarSettings

_SHOWN = ["structure_id", "formula", "prototype", "is_ood", "protostructure", "cluster", "distance", "cosine"]


def print_similar(console: Console, answer: Similar) -> None:
    """Print what was asked about, each with its nearest structures."""
    for query in answer.queries.to_pylist():
        console.say(f"[bold]{escape(query['structure_id'])}[/bold]  {_verdict(query)}")
        if query["status"] == STATUS_OK:
            found = _of(answer.neighbors, query)
            known = [name for name in _SHOWN if found[name].null_count < len(found)]
            console.show(rich_table(_with_titles(found.select(known)), decimals=3))
        console.say()


def _verdict(query: dict[str, Any]) -> str:
    """Say in a line what the network thinks of a structure."""
    if query["status"] != STATUS_OK:
        return escape(f"{query['formula']}, failed: {query['error_message']}")
    title = _titled(query["prototype"])
    said = f"of no known prototype, most like {title}" if query["is_ood"] else title
    kind = f", {query['protostructure']}" if query["protostructure"] else ""
    return escape(
        f"{query['formula']}{kind}: {said} (p = {query['probability']:.2f}, "
        f"ood score {query['ood_score']:.2f})"
    )


def _with_titles(found: pa.Table) -> pa.Table:
    """Return the table with readable names of prototypes."""
    if "prototype" not in found.column_names:
        return found
    titled = [_titled(name) for name in found["prototype"].to_pylist()]
    return found.set_column(found.column_names.index("prototype"), "prototype", [titled])


def _titled(prototype: str | None) -> str | None:
    from models.prototypes import titles

    return None if prototype is None else titles().get(prototype, prototype)


def summary_of(answer: Similar, store: Store, settings: SimilarSettings) -> dict[str, Any]:
    """Return the answer as JSON values: each structure asked about with its ``neighbors``."""
    return {
        "store": store.folder.url,
        "layer": settings.layer,
        "structures": [
            {**query, "neighbors": _of(answer.neighbors, query).drop_columns("query").to_pylist()}
            for query in answer.queries.to_pylist()
        ],
        "rejects": answer.rejects.to_pylist(),
    }


def _of(neighbors: pa.Table, query: dict[str, Any]) -> pa.Table:
    import pyarrow.compute as pc

    return neighbors.filter(pc.equal(neighbors["query"], query["structure_id"]))


def write_csv(answer: Similar, file: Path) -> None:
    """Write all neighbours, a row each."""
    from pyarrow import csv

    csv.write_csv(answer.neighbors, file)
