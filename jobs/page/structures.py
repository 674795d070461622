"""Structures in a page: as many as fit, the most telling first, many in each compressed chunk."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import orjson

from engine.columns import StructureColumns
from engine.occupation import Occupation
from jobs.page.blocks import Block, encoded_bytes, gzipped, numbers
from jobs.page.rows import PAGE, column_values

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from numpy.typing import NDArray

    from jobs.page.tables import PageTables

COLUMNS = ("structure_id", "lattice_vectors", "dimension_types", "species_at_sites", "species")
POSITIONS = "cartesian_site_positions"
MOST_SITES = 2_000
"""Of a structure in the page: larger ones show nothing in a small picture."""
CHUNK_BYTES = 96 * 2**10
"""JSON in one chunk: what the page unpacks for one click."""
FEWEST_BYTES = 24
"""What a structure takes at the very least, compressed; each site adds `FEWEST_BYTES_OF_SITE`."""
FEWEST_BYTES_OF_SITE = 2
INDEX_ROW_BYTES = 8
"""What the index takes per structure at most, compressed and in base64."""
UNKNOWN_SYMBOL = "X"


@dataclass(frozen=True)
class PackedStructures:
    """The structures that fit: their description for the page, its blocks, and their number."""

    described: dict[str, Any] | None
    blocks: list[Block]
    count: int


def pack_structures(tables: PageTables, rows: int, room: int) -> PackedStructures:
    """Pack structures in the order of ``priority`` until their blocks take ``room`` bytes of the page."""
    wanted = _at_most(priority(tables), _sites(tables), room)
    with tempfile.TemporaryFile() as spool:
        places = _spool(tables, wanted, rows, spool)
        chunks, index = _chunks(wanted, places, spool, room)
    if not len(index):
        return PackedStructures(None, [], 0)
    blocks = [Block("structures", b"".join(chunks), "base64"), numbers("structure-index", index)]
    described = {"block": "structures", "index": "structure-index"}
    counts = {"count": len(index), "left_out": rows - len(index)}
    return PackedStructures({**described, **counts}, blocks, len(index))


def priority(tables: PageTables) -> NDArray[np.int64]:
    """Rows in the order in which they are packed.

    Medoids of clusters come first, then novel structures by rank, what is out of distribution, the strangest
    first, then neighbours of medoids, then the rest.
    """
    novel = "SELECT '' AS structure_id, 0 AS rank WHERE false"
    if tables.answer is not None:
        novel = f"SELECT structure_id, rank FROM {tables.view(tables.answer.novel)}"
    rows = tables.connection.sql(
        f"""WITH medoids AS (SELECT medoid AS structure_id FROM {tables.view(tables.clusters)}),
        near AS (SELECT DISTINCT neighbor.structure_id AS structure_id FROM (
            SELECT unnest(neighbors) AS neighbor FROM {tables.view(tables.map)} SEMI JOIN medoids
            USING (structure_id)))
        SELECT "row" FROM {PAGE} AS rows
        LEFT JOIN (SELECT DISTINCT structure_id, true AS is_medoid FROM medoids) USING (structure_id)
        LEFT JOIN (SELECT structure_id, true AS is_near FROM near) USING (structure_id)
        LEFT JOIN ({novel}) AS novel USING (structure_id)
        ORDER BY is_medoid DESC NULLS LAST, novel.rank NULLS LAST, is_ood DESC NULLS LAST,
            CASE WHEN is_ood THEN ood_score END DESC NULLS LAST, is_near DESC NULLS LAST, "row" """
    ).to_arrow_table()["row"]
    return np.asarray(rows.to_numpy(), dtype=np.int64)


def structure_documents(table: pa.Table) -> Iterator[bytes]:
    """Return each structure of a table as JSON: lattice, periodicity, elements and positions in Å.

    Of a site that several elements share it names the most frequent one. Positions are rounded to 0.001 Å.
    """
    sites = StructureColumns.from_table(table)
    occupation = Occupation.of_table(table)
    kinds = np.array([_symbol(kind.amounts) for kind in occupation.kinds], dtype=object)
    symbols = kinds[occupation.sites]
    positions, lattices = np.round(sites.positions, 3) + 0.0, np.round(sites.lattices, 4) + 0.0
    has_cell = table["lattice_vectors"].is_valid().to_numpy()
    for row in range(len(table)):
        own = slice(sites.offsets[row], sites.offsets[row + 1])
        lattice = lattices[row]
        document = {
            "lattice": lattice if has_cell[row] and np.isfinite(lattice).all() else None,
            "pbc": sites.periodic[row].astype(np.int64),
            "species": symbols[own].tolist(),
            "positions": positions[own],
        }
        yield orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def _symbol(amounts: dict[str, float]) -> str:
    return max(sorted(amounts), key=amounts.__getitem__, default=UNKNOWN_SYMBOL)


def _sites(tables: PageTables) -> NDArray[np.int64]:
    return np.asarray(column_values(tables.connection, "nsites").to_numpy(), dtype=np.int64)


def _at_most(ordered: NDArray[np.int64], sites: NDArray[np.int64], room: int) -> NDArray[np.int64]:
    """Leave out rows that cannot fit, so that no more than a few times the room is looked at."""
    shown = ordered[sites[ordered] <= MOST_SITES]
    least = np.cumsum(FEWEST_BYTES + FEWEST_BYTES_OF_SITE * sites[shown])
    return shown[: int(np.searchsorted(least, room))]


def _spool(tables: PageTables, wanted: NDArray[np.int64], rows: int, spool: IO[bytes]) -> NDArray[np.int64]:
    """Write the JSON of wanted rows, part by part; return where each begins and ends (rows, 2)."""
    from engine.store import Superseded

    structures, superseded = tables.store.structures, Superseded.of(tables.store)
    is_wanted = np.zeros(rows, dtype=bool)
    is_wanted[wanted] = True
    places = np.zeros((rows, 2), dtype=np.int64)
    end = 0
    for part in sorted(structures.part_names()):
        held = superseded.drop_from(part, structures.read(part, [*COLUMNS, POSITIONS]))
        own = _page_rows(tables, held)
        keep = np.flatnonzero((own >= 0) & is_wanted[own])
        for row, document in zip(own[keep], structure_documents(held.take(keep)), strict=True):
            spool.write(document)
            places[row] = end, end + len(document)
            end += len(document)
    return places


def _page_rows(tables: PageTables, held: pa.Table) -> NDArray[np.int64]:
    """Rows of the page (B,) of the structures of a part; -1 for those that it does not have."""
    connection = tables.connection
    connection.register("held", held.select(["structure_id"]))
    found = connection.sql(
        f"""SELECT coalesce({PAGE}."row", -1) AS "row" FROM
        (SELECT structure_id, row_number() OVER () AS place FROM held) AS held
        LEFT JOIN {PAGE} USING (structure_id) ORDER BY place"""
    ).to_arrow_table()
    connection.unregister("held")
    return np.asarray(found["row"].to_numpy(), dtype=np.int64)


def _chunks(
    wanted: NDArray[np.int64], places: NDArray[np.int64], spool: IO[bytes], room: int
) -> tuple[list[bytes], NDArray[np.uint32]]:
    """Compress documents in their order until there is no room; return chunks and (row, offset, length)."""
    chunks: list[bytes] = []
    index: list[tuple[int, int, int]] = []
    end = 0
    for members in _grouped(wanted, places[:, 1] - places[:, 0]):
        chunk = gzipped(_chunk(members, places, spool))
        taken = encoded_bytes(end + len(chunk)) + INDEX_ROW_BYTES * (len(index) + len(members))
        if taken > room:
            break
        chunks.append(chunk)
        index += [(int(row), end, len(chunk)) for row in members]
        end += len(chunk)
    return chunks, np.array(index, dtype=np.uint32).reshape(-1, 3)


def _grouped(wanted: NDArray[np.int64], lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Cut rows into groups whose documents come to about ``CHUNK_BYTES``."""
    known = wanted[lengths[wanted] > 0]
    group = (np.cumsum(lengths[known]) - 1) // CHUNK_BYTES
    yield from np.split(known, np.flatnonzero(np.diff(group)) + 1)


def _chunk(members: NDArray[np.int64], places: NDArray[np.int64], spool: IO[bytes]) -> bytes:
    entries = []
    for row in members:
        begin, end = places[row]
        spool.seek(begin)
        entries.append(b'"%d":%s' % (row, spool.read(end - begin)))
    return b"{" + b",".join(entries) + b"}"
