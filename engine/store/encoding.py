"""Arrow tables to the bytes of a part, and back: the one place that chooses Parquet's settings."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from io import SEEK_END, BytesIO
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from engine.store.footer import FOOTER_KEY, PartFooter

ROW_GROUP_ROWS = 4096
CHECKSUM_KEY = b"crysift_checksum"
"""Names the hash of the Parquet metadata, from their first byte to the file's last, itself read as zeros."""

_MAGIC = b"PAR1"
_ENDING_BYTES = 8
_UNSET = b"0" * 64
_FIELD = b"\x18"
"""A text in the field after the last one."""
_LAST_OF_NUMBER = 0x7F
"""Bytes of a number above it say that more follow, of 7 bits each, the lowest first."""


def encode_part(table: pa.Table, describe: Callable[[str], PartFooter]) -> tuple[bytes, PartFooter]:
    """Encode a part; ``describe`` makes its footer from the hash of the encoded columns.

    zstd; dictionaries and statistics for all but floating-point numbers; a checksum on every page and one on
    the metadata. The same rows give the same bytes, however the table was chunked: a part holds no time, host
    or path.
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
        with sink.getbuffer() as columns:  # released here, whoever looks at the frames of this thread
            footer = describe(_digest(columns))
        entries = {FOOTER_KEY: footer.to_bytes(), CHECKSUM_KEY: _UNSET}
        writer.add_key_value_metadata({key.decode(): value.decode() for key, value in entries.items()})
    data = sink.getbuffer()
    metadata = data[-metadata_bytes(data) :]
    place = _place_of(CHECKSUM_KEY, bytes(metadata))
    metadata[place] = _digest(metadata).encode()
    return sink.getvalue(), footer


def decode_part(part: IO[bytes], columns: Sequence[str] | None) -> pa.Table:
    """Read columns of a part, all that is read checked against its checksum; all where ``columns`` is None.

    Raises KeyError for a column that the part lacks and whatever pyarrow raises for damaged bytes.
    """
    _check_metadata(read_metadata(part))
    with pq.ParquetFile(part, page_checksum_verification=True) as file:
        lacking = [name for name in columns or () if name not in file.schema_arrow.names]
        if lacking:
            raise KeyError(lacking[0])
        table: pa.Table = file.read(columns=None if columns is None else list(columns), use_threads=False)
        return table if columns is None else table.select(list(columns))


def decode_footer(metadata: bytes) -> PartFooter:
    """Return a part's footer from the Parquet metadata that end it; raises ValueError for damaged bytes.

    Pyarrow would decode the description of every column as well, which takes four times as long.
    """
    _check_metadata(metadata)
    return PartFooter.from_bytes(metadata[_place_of(FOOTER_KEY, metadata)])


def decode_schema(metadata: bytes) -> pa.Schema:
    """Return a part's columns; raises ValueError for damaged bytes."""
    _check_metadata(metadata)
    return pq.read_schema(pa.BufferReader(metadata))


def verify_part(data: bytes) -> PartFooter:
    """Check every byte of a part and return its footer; raises as ``decode_footer`` does."""
    length = metadata_bytes(data)
    footer = decode_footer(data[-length:])
    if _digest(data[:-length]) != footer.content_hash:
        raise ValueError("its columns are not those that were written: their hash differs")
    rows = pq.read_metadata(pa.BufferReader(data)).num_rows
    if rows != footer.rows_out:
        raise ValueError(f"{rows} rows where its footer says {footer.rows_out}")
    return footer


def metadata_bytes(ending: bytes | memoryview) -> int:
    """Length of the Parquet metadata that end a file, by its last bytes."""
    if len(ending) < _ENDING_BYTES or ending[-len(_MAGIC) :] != _MAGIC:
        raise ValueError("it does not end as a Parquet file does")
    return int.from_bytes(ending[-_ENDING_BYTES : -len(_MAGIC)], "little") + _ENDING_BYTES


def read_metadata(part: IO[bytes]) -> bytes:
    """Read the Parquet metadata that end an open file."""
    size = part.seek(0, SEEK_END)
    part.seek(max(0, size - _ENDING_BYTES))
    length = metadata_bytes(part.read())
    part.seek(max(0, size - length))
    return part.read()


def _digest(data: bytes | memoryview) -> str:
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def _place_of(key: bytes, metadata: bytes) -> slice:
    """Where the value of a key stands: Thrift's compact protocol writes field, length and text of each."""
    entry = _FIELD + bytes([len(key)]) + key + _FIELD
    place = metadata.rfind(entry) + len(entry)
    if place < len(entry):
        raise ValueError(f"it has no {key.decode()} of its own")
    length = shift = 0
    while metadata[place] > _LAST_OF_NUMBER:
        length |= (metadata[place] & _LAST_OF_NUMBER) << shift
        shift, place = shift + 7, place + 1
    length |= metadata[place] << shift
    return slice(place + 1, place + 1 + length)


def _check_metadata(metadata: bytes) -> None:
    """Raise ValueError or KeyError where a bit of the metadata is not what was written."""
    place = _place_of(CHECKSUM_KEY, metadata)
    if _digest(metadata[: place.start] + _UNSET + metadata[place.stop :]) != metadata[place].decode("ascii"):
        raise ValueError("its metadata are not those that were written: their hash differs")


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
