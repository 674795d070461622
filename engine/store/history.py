"""Which rows of a store are no longer current, since a later part holds another version of the structure."""

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from engine.store.record import PartRecord
from engine.store.store import Store


@dataclass(frozen=True)
class Superseded:
    """Ids of the structures, by part, whose row in that part is history; so it is in every derived table."""

    ids: dict[str, pa.Array]

    @classmethod
    def of(cls, store: Store) -> "Superseded":
        """Find the rows that later versions replaced; only the footers are read where there are none."""
        structures = store.structures
        footers = structures.footers(structures.part_names())
        records = {part: PartRecord.of(footer) for part, footer in footers.items()}
        revising = [part for part, record in records.items() if record.replaced]
        if not revising:
            return cls({})
        revised = pa.concat_tables(structures.read(part, ["structure_id"]) for part in revising)
        value_set = pc.unique(revised["structure_id"])
        seen = value_set.slice(0, 0)
        ids = {}
        for part in sorted(records, key=lambda part: (records[part].ingested_at, part), reverse=True):
            held = structures.read(part, ["structure_id"])["structure_id"].combine_chunks()
            candidates = held.filter(pc.is_in(held, value_set))
            ids[part] = candidates.filter(pc.is_in(candidates, seen))
            seen = pa.concat_arrays([seen, candidates])
        return cls({part: found for part, found in ids.items() if len(found)})

    def count(self, parts: Iterable[str]) -> int:
        """How many rows of these parts are history."""
        return sum(len(self.ids[part]) for part in parts if part in self.ids)

    def drop_from(self, part: str, rows: pa.Table) -> pa.Table:
        """The current ones among the rows of a part, or of what is derived from it."""
        if part not in self.ids:
            return rows
        return rows.filter(pc.invert(pc.is_in(rows["structure_id"], self.ids[part])))

    def as_table(self) -> pa.Table:
        """Columns ``part`` and ``structure_id``."""
        parts = [part for part, ids in self.ids.items() for _ in range(len(ids))]
        arrays = [pa.array([], pa.string()), *self.ids.values()]
        return pa.table({"part": pa.array(parts, pa.string()), "structure_id": pa.concat_arrays(arrays)})
