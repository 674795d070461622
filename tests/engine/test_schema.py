import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.schema import REJECTS, STRUCTURES, features_schema, predictions_schema

STRUCTURE_COLUMNS = {
    "structure_id": (pa.string(), False),
    "source": (pa.string(), False),
    "source_id": (pa.string(), False),
    "nsites": (pa.int32(), False),
    "species_at_sites": (pa.list_(pa.string()), False),
    "cartesian_site_positions": (pa.list_(pa.list_(pa.float64(), 3)), False),
    "dimension_types": (pa.list_(pa.int8(), 3), False),
    "is_ordered": (pa.bool_(), False),
    "content_hash": (pa.binary(32), False),
    "fetched_at": (pa.timestamp("us", tz="UTC"), False),
    "lattice_vectors": (pa.list_(pa.list_(pa.float64(), 3), 3), True),
    "atomic_numbers": (pa.list_(pa.uint8()), True),
    "formula": (pa.string(), True),
    "nelements": (pa.int32(), True),
    "last_modified": (pa.timestamp("us", tz="UTC"), True),
    "deprecated": (pa.bool_(), True),
    "extra_json": (pa.string(), True),
}


@pytest.mark.parametrize("name", STRUCTURE_COLUMNS)
def test_structures_have_the_promised_types_and_nullability(name: str) -> None:
    field = STRUCTURES.field(name)
    assert (field.type, field.nullable) == STRUCTURE_COLUMNS[name]


def test_lengths_carry_their_unit() -> None:
    for field in (STRUCTURES.field("cartesian_site_positions"), STRUCTURES.field("lattice_vectors")):
        assert field.metadata == {b"unit": b"angstrom"}
    assert features_schema(3).field("d_nn_min").metadata == {b"unit": b"angstrom"}


def test_features_and_predictions_start_with_id_and_status() -> None:
    first = ["structure_id", "status", "error_stage", "error_class", "error_message"]
    assert features_schema(316).names == [*first, "vector", "d_nn_min", "n_pairs"]
    predictions = predictions_schema(256, pa.float16())
    assert predictions.names[:5] == first
    assert predictions.field("representation").type == pa.list_(pa.float16(), 256)
    assert not predictions.field("status").nullable


@pytest.mark.parametrize(
    "schema", [STRUCTURES, REJECTS, features_schema(4), predictions_schema(4, pa.float32())], ids=len
)
def test_schemas_survive_parquet_unchanged(schema: pa.Schema) -> None:
    stream = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), stream)
    assert pq.read_schema(pa.BufferReader(stream.getvalue())).equals(schema, check_metadata=True)
