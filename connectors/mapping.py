"""From rows of a foreign table, by a column mapping, to candidates and to rejects with the reasons."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from connectors.columns import FRACTIONAL, LATTICES, NUMBERS, POSITIONS, SPECIES_AT_SITES, ColumnMapping
from connectors.entries import Failure, rejects_table
from engine.columns import contiguous, list_offsets
from engine.errors import CrysiftError
from engine.execution.packing import TYPICAL_SPECIES, predicted_pairs, row_costs
from engine.schema import LABELS, REJECTS, SPECIES, STRUCTURES, TIMESTAMP, VECTOR
from engine.species import ELEMENTS

VECTORS = pa.list_(pa.list_(pa.float64()))
"""Positions and lattices before validation, which tells the rows whose vectors have not 3 components."""
KINDS = {
    **{field.name: field.type for field in STRUCTURES},
    **dict.fromkeys((POSITIONS, FRACTIONAL, LATTICES), VECTORS),
    "dimension_types": pa.list_(pa.int8()),
    NUMBERS: pa.list_(pa.int64()),
}
IDENTITY = ("source", "source_id")
SYMBOLS = dict(enumerate(ELEMENTS, start=1))
ZONE = r":.*(Z|[+-]\d\d(:?\d\d)?)$"
"""Ends a time of day that names its time zone."""
UNREADABLE = (ValueError, TypeError, OverflowError, RecursionError)
"""What values raise that are not what their column should hold."""


class _UnreadableError(Exception):
    """At least one row has a value that cannot be read."""


@dataclass(frozen=True)
class MappedTable:
    """A table that is read by ``mapping``; ``place`` is told to the user."""

    mapping: ColumnMapping
    schema: pa.Schema = field(repr=False)
    place: str

    def __post_init__(self) -> None:
        """Refuse a table that lacks a column which the mapping reads."""
        for path in self.mapping.paths:
            if not _leads_somewhere(self.schema, *self._split(path)):
                raise CrysiftError(
                    f"{self.place} has no column {path!r}, which the column mapping reads; "
                    f"it has {', '.join(self.schema.names)}"
                )

    @property
    def columns(self) -> list[str]:
        """The columns that are read."""
        return list(dict.fromkeys(self._split(path)[0] for path in self.mapping.paths))

    @property
    def label_column(self) -> str:
        """The column that tells the elements at the sites."""
        return self._split(self.mapping.labels)[0]

    def _split(self, path: str) -> tuple[str, list[str]]:
        """The column that a path begins with, and the names below; a column of that very name comes first."""
        if path in self.schema.names:
            return path, []
        head, *rest = path.split(".")
        return head, rest

    def costs(self, rows: pa.RecordBatch) -> NDArray[np.float64]:
        """Neighbour pairs that featurizing each row is predicted to visit (B,)."""
        head, rest = self._split(self.mapping.labels)
        column = contiguous(rows[head])
        if _is_text(column.type):
            commas = pc.fill_null(pc.count_substring(column, ","), 0)
            return predicted_pairs(commas.to_numpy(zero_copy_only=False) + 1, TYPICAL_SPECIES)
        try:
            return row_costs(_below(column, rest))
        except pa.ArrowNotImplementedError as error:
            raise self._unsuitable(self.mapping.labels, column.type, LABELS) from error

    def read(self, table: pa.Table, first: int) -> tuple[pa.Table, pa.Table]:
        """Candidates, and rejects (REJECTS) for rows with a value that cannot be read.

        ``first`` is the number of the first row, from 0.

        Raises:
            CrysiftError: a column is of a type that has nothing to do with what it is mapped to.
        """
        try:
            return self._candidates(table), REJECTS.empty_table()
        except _UnreadableError as error:
            if len(table) == 1:
                return self._candidates(table.slice(0, 0)), self._reject(table, first, error)
        half = len(table) // 2
        parts = [self.read(table.slice(0, half), first), self.read(table.slice(half), first + half)]
        candidates, rejects = zip(*parts, strict=True)
        return pa.concat_tables(candidates), pa.concat_tables(rejects)

    def _candidates(self, table: pa.Table) -> pa.Table:
        """Map all rows; raises _UnreadableError where one of them has a value that cannot be read."""
        mapping, count = self.mapping, len(table)
        columns = {name: self._identity(table, name) for name in IDENTITY}
        for target in mapping.columns:
            if target not in IDENTITY:
                (path,) = mapping.inputs(target)
                columns[target] = self._converted(table, path, KINDS[target])
        if NUMBERS in columns:
            columns[SPECIES_AT_SITES] = _symbols(columns.pop(NUMBERS))
        for name in {POSITIONS, LATTICES} & columns.keys():
            if mapping.angstrom_per_unit != 1.0:
                columns[name] = _scaled(columns[name], mapping.angstrom_per_unit)
        if FRACTIONAL in columns:
            columns[POSITIONS] = _cartesian(columns.pop(FRACTIONAL), columns[LATTICES])
        columns.setdefault("nsites", pc.list_value_length(columns[SPECIES_AT_SITES]))
        for name, value in mapping.constants.items():
            columns[name] = pa.array([value] * count, KINDS[name])
        if mapping.extra:
            columns["extra_json"] = self._extra(table)
        return pa.table(columns)

    def _identity(self, table: pa.Table, name: str) -> pa.Array:
        """``source`` or ``source_id`` of each row."""
        paths = self.mapping.inputs(name)
        if not paths:
            return pa.array([self.mapping.source] * len(table), pa.string())
        return pc.binary_join_element_wise(
            *(self._converted(table, path, pa.string()) for path in paths), "/"
        )

    def _extra(self, table: pa.Table) -> pa.Array:
        """One JSON object a row; NaN becomes null in it."""
        names = self.mapping.extra
        try:
            rows = zip(*(self._values(table, path) for path in names), strict=True)
            texts = [orjson.dumps(dict(zip(names, row, strict=True)), default=str) for row in rows]
        except UNREADABLE as error:
            raise _UnreadableError(f"columns {', '.join(names)} do not become JSON: {error}") from error
        return pa.array(texts, pa.binary()).cast(pa.string())

    def _values(self, table: pa.Table, path: str) -> list[Any]:
        head, rest = self._split(path)
        column = contiguous(table[head])
        if rest and _is_text(column.type):
            return _decoded(column, rest)
        values: list[Any] = _below(column, rest).to_pylist()
        return values

    def _converted(self, table: pa.Table, path: str, kind: pa.DataType) -> pa.Array:
        """A column, or what a path leads to, as ``kind``; errors name it."""
        head, rest = self._split(path)
        column = contiguous(table[head])
        try:
            if _is_text(column.type) and (rest or pa.types.is_nested(kind)):
                values = _decoded(column, rest)
                if kind == SPECIES:
                    sites = self._values(table, self.mapping.labels)
                    values = [
                        None if _say_no_more(*row) else row[0] for row in zip(values, sites, strict=True)
                    ]
                return pa.array(values, kind)
            column = _below(column, rest)
            return _times(column) if kind == TIMESTAMP else column.cast(kind)
        except pa.ArrowNotImplementedError as error:
            raise self._unsuitable(path, column.type, kind) from error
        except UNREADABLE as error:
            raise _UnreadableError(f"column {path!r} holds what cannot be read: {error}") from error

    def _unsuitable(self, path: str, found: pa.DataType, kind: pa.DataType) -> CrysiftError:
        return CrysiftError(
            f"column {path!r} of {self.place} is {found}, which does not convert to {kind}; "
            "map another column"
        )

    def _reject(self, row: pa.Table, number: int, error: Exception) -> pa.Table:
        names = []
        for name in IDENTITY:
            try:
                names.append(self._identity(row, name)[0].as_py() or "")
            except (_UnreadableError, UnicodeDecodeError):
                names.append("")
        message = f"row {number} of {self.place}: {error}; correct it or leave the row out"
        return rejects_table(names[0], [Failure(names[1], "UnreadableValue", message)])


def _leads_somewhere(schema: pa.Schema, head: str, path: Sequence[str]) -> bool:
    if head not in schema.names:
        return False
    kind = schema.field(head).type
    for name in path:
        while _is_list(kind):
            kind = kind.value_type
        if _is_text(kind):
            return True
        if not pa.types.is_struct(kind) or kind.get_field_index(name) < 0:
            return False
        kind = kind.field(name).type
    return True


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _below(column: pa.Array, path: Sequence[str]) -> pa.Array:
    """Follow field names through structs and the structs of lists, which stay lists."""
    if not path:
        return column
    if _is_list(column.type):
        return _relisted(column, _below(column.flatten(), path))
    return _below(pc.struct_field(column, path[0]), path[1:])


def _relisted(lists: pa.Array, values: pa.Array) -> pa.Array:
    """Lists of the same lengths with other values."""
    offsets = pa.array(list_offsets(lists), pa.int32())
    return pa.ListArray.from_arrays(offsets, values, mask=lists.is_null())


def _decoded(texts: pa.Array, path: Sequence[str]) -> list[Any]:
    """What a path leads to in JSON, with NaN and Infinity where it has them."""
    values = []
    for text in texts.to_pylist():
        try:
            value = None if text is None else orjson.loads(text)
        except orjson.JSONDecodeError:
            value = json.loads(text)
        values.append(_dig(value, path))
    return values


def _dig(value: Any, path: Sequence[str]) -> Any:
    """Follow field names through objects and lists of objects; what is not there is None."""
    if not path:
        return value
    if isinstance(value, list):
        return [_dig(item, path) for item in value]
    return _dig(value.get(path[0]), path[1:]) if isinstance(value, dict) else None


def _say_no_more(species: Any, labels: Any) -> bool:
    """Whether definitions of species only repeat that each label is an element."""
    if not isinstance(species, list) or not all(isinstance(each, dict) for each in species):
        return False
    plain = all(
        [each.get("name")] == each.get("chemical_symbols")
        and each.get("concentration") == [1]
        and not any(map(each.get, ("mass", "attached", "nattached")))
        for each in species
    )
    return plain and {each["name"] for each in species}.issuperset(labels or ())


def _times(column: pa.Array) -> pa.Array:
    """Times in UTC, which is assumed where none tells its zone."""
    kind = column.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return column.cast(pa.timestamp("us", getattr(kind, "tz", None)), safe=False).cast(TIMESTAMP)
    if not _is_text(kind):
        raise pa.ArrowNotImplementedError("a number does not tell its unit of time")
    zoned = pc.match_substring_regex(column, ZONE)
    absent = pa.scalar(None, kind)
    local = pc.if_else(zoned, absent, column).cast(pa.timestamp("us"))
    return pc.coalesce(pc.if_else(zoned, column, absent).cast(TIMESTAMP), local.cast(TIMESTAMP))


def _symbols(numbers: pa.Array) -> pa.Array:
    """Element symbols for atomic numbers; what is none becomes a label that validation rejects."""
    codes = numbers.flatten().dictionary_encode()
    symbols = [SYMBOLS.get(number, f"atomic number {number}") for number in codes.dictionary.to_pylist()]
    labels = pa.DictionaryArray.from_arrays(codes.indices, pa.array(symbols, pa.string()))
    return _relisted(numbers, labels.cast(pa.string()))


def _scaled(lengths: pa.Array, factor: float) -> pa.Array:
    if _is_list(lengths.type):
        return _relisted(lengths, _scaled(lengths.flatten(), factor))
    return pc.multiply(lengths, factor)


def _cartesian(fractional: pa.Array, lattices: pa.Array) -> pa.Array:
    """Cartesian positions; null for a site without 3 coordinates, NaN in a row without 3 lattice vectors."""
    sites = fractional.flatten()
    coordinates = _by_three(sites, _numbers(sites))
    matrices = _by_three(lattices, _by_three(lattices.flatten(), _numbers(lattices.flatten())))
    rows = np.repeat(np.arange(len(lattices)), np.diff(list_offsets(fractional)))
    with np.errstate(all="ignore"):  # validation tells what is not finite
        positions = np.einsum("ni,nij->nj", coordinates, matrices[rows])
    incomplete = pa.array(np.diff(list_offsets(sites)) != 3)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(positions.reshape(-1)), type=VECTOR, mask=incomplete)
    return _relisted(fractional, vectors)


def _numbers(lists: pa.Array) -> NDArray[np.float64]:
    return np.asarray(lists.flatten().to_numpy(zero_copy_only=False), dtype=np.float64)


def _by_three(lists: pa.Array, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The three of the flattened ``values`` that each list has (B, 3, ...), NaN where it has not three."""
    offsets = list_offsets(lists)
    sound = np.diff(offsets) == 3
    found = np.full((len(lists), 3, *values.shape[1:]), np.nan)
    found[sound] = values[offsets[:-1][sound, None] + np.arange(3)]
    return found
