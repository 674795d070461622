"""`crysift report`: a store's map and results as one HTML file within a budget of bytes."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import CrysiftError
from jobs.page.blocks import Block, json_element
from jobs.page.columns import page_columns
from jobs.page.novelty import novel_list
from jobs.page.panels import cluster_rows, facts, panels
from jobs.page.relations import candidates, neighbors
from jobs.page.rows import encode_column, make_rows
from jobs.page.structures import pack_structures
from jobs.page.tables import PageTables
from jobs.page.template import Template

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from engine.store import Store

MOST_NEIGHBORS = 10
FEW_NEIGHBORS = 5
"""Neighbours per structure where more of them would take the room of the structures."""
JOINT = ", "
"""Between prototypes where a structure may be one of several."""
COUNT_BYTES = 64
"""Room for what the description says of the packed structures."""


@dataclass(frozen=True)
class ReportSettings:
    """What goes into a page: at most ``budget`` bytes; ``columns`` beside the usual ones."""

    budget: int = 20_000_000
    columns: tuple[str, ...] = ()
    title: str | None = None


@dataclass
class Contents:
    """The description of a page and its blocks."""

    meta: dict[str, Any]
    blocks: list[Block] = field(default_factory=list)

    def add(self, name: str, described: dict[str, Any] | None, blocks: list[Block]) -> None:
        """Add blocks, described under a name."""
        self.meta[name] = described
        self.blocks += blocks

    def html(self) -> Iterator[bytes]:
        """Yield the elements that hold all of it."""
        yield json_element("meta", self.meta)
        for block in self.blocks:
            yield block.html()


def write_report(store: Store, out: Path, settings: ReportSettings) -> dict[str, Any]:
    """Write the page; return its size in bytes and what it holds, ``novel`` is null if none was looked for.

    Raises CrysiftError where the store has no map, where the budget is too small for its points, and where
    the file cannot be written.
    """
    template = Template.built()
    contents = pack(PageTables.of(store), template, settings)
    try:
        size = _write(out, template.render(contents.meta["title"], contents.html(), template.policy()))
    except OSError as error:
        raise CrysiftError(f"{out} cannot be written ({error.strerror}): name another file") from error
    run = contents.meta["run"]
    packed = contents.meta["structures"] or {"count": 0, "left_out": contents.meta["rows"]}
    novel = contents.meta["novel"]
    return {
        "file": str(out),
        "bytes": size,
        "structures": contents.meta["rows"],
        "clusters": len(contents.meta["clusters"]),
        "novel": None if novel is None else novel["count"],
        "columns": [column["name"] for column in contents.meta["columns"]],
        "not_on_the_map": run["Structures in the store"] - contents.meta["rows"],
        "with_positions": packed["count"],
        "without_positions": packed["left_out"],
    }


def pack(tables: PageTables, template: Template, settings: ReportSettings) -> Contents:
    """Pack columns, relations and panels, and as many structures as the budget has room for."""
    contents = _without_structures(tables, settings)
    rows = contents.meta["rows"]
    described, blocks = neighbors(tables, rows, MOST_NEIGHBORS)
    fixed = _size(template, contents)
    if fixed + sum(block.size for block in blocks) > settings.budget / 2:
        described, blocks = neighbors(tables, rows, FEW_NEIGHBORS)
    contents.add("neighbors", described, blocks)
    fixed = _size(template, contents) + COUNT_BYTES
    if fixed > settings.budget:
        raise CrysiftError(
            f"a page of {rows:,} structures takes {fixed:,} bytes before any atom is in it, more than the "
            f"budget of {settings.budget:,}: give --budget {-(-fixed // 1_000_000)}MB or more"
        )
    packed = pack_structures(tables, rows, settings.budget - fixed)
    contents.add("structures", packed.described, packed.blocks)
    return contents


def _without_structures(tables: PageTables, settings: ReportSettings) -> Contents:
    columns = page_columns(tables, settings.columns)
    rows = make_rows(tables, columns)
    if not rows:
        raise CrysiftError(f"{tables.map.folder.url} holds no rows: there is nothing to show")
    clusters = cluster_rows(tables)
    labels = {row["cluster"]: row["label"] for row in clusters}
    contents = Contents({"version": 1, "title": settings.title or tables.store.folder.name})
    encoded = [
        encode_column(tables.connection, column, f"column-{number}", labels)
        for number, column in enumerate(columns)
    ]
    contents.meta |= {
        "run": facts(tables, rows, len(clusters)),
        "rows": rows,
        "served": False,
        "columns": [described for described, _ in encoded],
        "panels": panels(tables),
        "clusters": clusters,
        "structures": None,
    }
    contents.blocks += [block for _, block in encoded]
    contents.add("candidates", *candidates(tables, rows))
    contents.add("novel", *novel_list(tables))
    contents.meta["titles"] = _titles(contents.meta)
    return contents


def _titles(meta: dict[str, Any]) -> dict[str, str]:
    """Return readable titles of the prototypes that the page names, by their label."""
    from models.prototypes import titles

    named = {name for column in meta["columns"] for name in column.get("categories", ())}
    named |= {part for name in named for part in name.split(JOINT)}
    named |= set((meta["candidates"] or {"names": ()})["names"])
    return {label: title for label, title in titles().items() if label in named and label != title}


def _size(template: Template, contents: Contents) -> int:
    """Bytes of the page with what it holds so far."""
    elements = len(json_element("meta", contents.meta)) + sum(block.size for block in contents.blocks)
    bare = template.render(contents.meta["title"], (), template.policy())
    return elements + sum(map(len, bare))


def _write(out: Path, pieces: Iterable[bytes]) -> int:
    """Write a file so that it is there whole or not at all; return its size."""
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            for piece in pieces:
                file.write(piece)
            size = file.tell()
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(out)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return size


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
