"""Structures of a page's rows, read from the store one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.page.blocks import SEPARATOR
from jobs.page.structures import COLUMNS, POSITIONS, structure_documents

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from engine.store import Store

UNKNOWN = -1


@dataclass(frozen=True, eq=False)
class StructureReader:
    """Knows of each row of a page in which part of the store its structure is.

    ``structure_ids`` are as a page has them: on one line.
    """

    store: Store
    structure_ids: Sequence[str]
    parts: tuple[str, ...]
    part_of_row: NDArray[np.int64]

    @classmethod
    def of(cls, store: Store, structure_ids: Sequence[str]) -> StructureReader:
        """Find the current version of each structure; those that the store does not have stay unknown."""
        from engine.store import Superseded

        superseded, parts = Superseded.of(store), tuple(sorted(store.structures.part_names()))
        held = [
            superseded.drop_from(part, store.structures.read(part, ["structure_id"]))["structure_id"]
            for part in parts
        ]
        of_part = np.repeat(np.arange(len(parts)), [len(ids) for ids in held])
        together = pa.chunked_array([chunk for ids in held for chunk in _lines(ids).chunks], pa.string())
        places = pc.index_in(pa.array(structure_ids, pa.string()), value_set=together)
        known = pc.fill_null(places, UNKNOWN).to_numpy()
        part_of_row = np.where(known == UNKNOWN, UNKNOWN, np.append(of_part, UNKNOWN)[known])
        return cls(store, structure_ids, parts, part_of_row)

    def document(self, row: int) -> bytes | None:
        """Return the structure of a row as JSON; None where the page or the store has none."""
        if not 0 <= row < len(self.structure_ids) or self.part_of_row[row] == UNKNOWN:
            return None
        part = self.parts[self.part_of_row[row]]
        table = self.store.structures.read(part, [*COLUMNS, POSITIONS])
        found = table.filter(pc.equal(_lines(table["structure_id"]), self.structure_ids[row]))
        return next(structure_documents(found), None)


def _lines(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return ids as a page has them."""
    return pc.replace_substring(ids, SEPARATOR, " ")
