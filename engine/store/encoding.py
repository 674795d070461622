"""Arrow tables to the bytes of a part, and back: the one place that chooses Parquet's settings."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from engine.store.footer import FOOTER_KEY, PartFooter

ROW_GROUP_ROWS = 4096


def encode_part(table: pa.Table, describe: Callable[[str], PartFooter]) -> tuple[bytes, PartFooter]:
    """Encode a part; ``describe`` makes its footer from the hash of the encoded columns.

    zstd; dictionaries and statistics for all but floating-point numbers; a checksum on every page. The same
    rows give the same bytes, however the table was chunked: a part holds no time, host or path.
    """
    table = table.combine_chunks()
    sink = BytesIO()
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd",
        use_dictionary=list(_dictionary_columns(table.schema)),
        write_page_checksum=True,
        write_statistics=list(_dictionary_columns(table.schema)),
    ) as writer:
        writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
        footer = describe(hashlib.blake2b(sink.getbuffer(), digest_size=32).hexdigest())
        writer.add_key_value_metadata({FOOTER_KEY.decode(): footer.to_bytes().decode()})
    return sink.getvalue(), footer


def decode_part(part: IO[bytes], columns: Sequence[str] | None) -> pa.Table:
    """Read columns of a part, every page checked against its checksum; all columns where ``columns`` is None.

    Raises KeyError for a column that the part lacks and whatever pyarrow raises for damaged bytes.
    """
    with pq.ParquetFile(part, page_checksum_verification=True) as file:
        lacking = [name for name in columns or () if name not in file.schema_arrow.names]
        if lacking:
            raise KeyError(lacking[0])
        table: pa.Table = file.read(columns=None if columns is None else list(columns), use_threads=False)
        return table if columns is None else table.select(list(columns))


def decode_footer(part: IO[bytes]) -> tuple[PartFooter, int, pa.Schema]:
    """Return a part's footer, its true number of rows and its schema.

    Raises KeyError where the file is Parquet but not a part, and whatever pyarrow raises for damaged bytes.
    """
    with pq.ParquetFile(part) as file:
        metadata = file.metadata
        return PartFooter.from_bytes(metadata.metadata[FOOTER_KEY]), metadata.num_rows, file.schema_arrow


def _dictionary_columns(schema: pa.Schema) -> Iterator[str]:
    """Parquet paths of the leaf columns that repeat often enough for a dictionary: all but floats."""
    for field in schema:
        yield from _leaves(field.name, field.type)


def _leaves(path: str, kind: pa.DataType) -> Iterator[str]:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        yield from _leaves(f"{path}.list.element", kind.value_type)
    elif pa.types.is_struct(kind):
        for field in kind:
            yield from _leaves(f"{path}.{field.name}", field.type)
    elif not pa.types.is_floating(kind):
        yield path
