import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from engine.ingest.known import KnownStructures, State, entries_of

PARTS = [f"part-{i}" for i in range(4)]
versions = st.fixed_dictionaries(
    {
        "structure_id": st.sampled_from([f"db:{i}" for i in range(30)]),
        "content_hash": st.sampled_from([bytes([i]) * 32 for i in range(3)]),
        "url": st.sampled_from([None, "here", "there"]),
        "license": st.sampled_from([None, "CC BY 4.0"]),
        "deprecated": st.sampled_from([None, True]),
    }
)
batches = st.lists(versions, max_size=20, unique_by=lambda row: row["structure_id"])
SCHEMA = pa.schema(
    {
        "structure_id": pa.string(),
        "content_hash": pa.binary(32),
        "url": pa.string(),
        "license": pa.string(),
        "deprecated": pa.bool_(),
    }
)


def expected(row: dict[str, object], held: dict[str, object] | None) -> State:
    if held is None:
        return State.NEW
    if all(row[name] == held[name] for name in ("content_hash", "license", "deprecated")):
        return State.SAME
    elsewhere = row["url"] != held["url"] and None not in (row["url"], held["url"])
    return State.FOREIGN if elsewhere else State.CHANGED


@given(st.lists(st.tuples(st.sampled_from(PARTS), batches), max_size=8))
def test_rows_are_compared_with_the_latest_version_of_their_id(
    history: list[tuple[str, list[dict[str, object]]]],
) -> None:
    known, latest = KnownStructures(), dict[object, tuple[str, dict[str, object]]]()
    for part, rows in history:
        entries = entries_of(pa.Table.from_pylist(rows, schema=SCHEMA))
        states, holders = known.compare(entries)
        held = [latest.get(row["structure_id"], ("", None)) for row in rows]
        assert states.tolist() == [expected(row, old) for row, (_, old) in zip(rows, held, strict=True)]
        assert np.array([*known.parts, ""])[holders].tolist() == [where for where, _ in held]
        known.add(entries, part)
        latest.update({row["structure_id"]: (part, row) for row in rows})
