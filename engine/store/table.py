"""One table of a store: a folder of immutable Parquet parts that share a fingerprint."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import IO

import pyarrow as pa
import pyarrow.dataset as ds

from engine.errors import CrysiftError
from engine.store.damage import SUFFIX, DamagedPartError, damage_explained
from engine.store.encoding import (
    decode_footer,
    decode_part,
    decode_schema,
    encode_part,
    metadata_bytes,
    verify_part,
)
from engine.store.fingerprint import Fingerprint
from engine.store.folder import Folder
from engine.store.footer import PartFooter, package_version
from engine.store.parallel import in_parallel
from engine.store.remote import REQUESTS_AT_ONCE, open_filesystem

_ENDING_BYTES = 2**16
"""What is read of a part for its footer at first; larger Parquet metadata take a second read."""


@dataclass(frozen=True)
class TableCounts:
    """Sums over a table's parts; of ``damaged`` ones nothing else is known."""

    parts: int = 0
    rows: int = 0
    failed: int = 0
    cost: float = 0.0
    damaged: int = 0


@dataclass(frozen=True)
class DerivedParts:
    """What was found of derived parts: sums over the sound ones, and why others are to be made again."""

    counts: TableCounts = TableCounts()
    unsound: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A folder of parts; picklable, so that workers read and commit on their own.

    ``schema`` is what an empty table scans as, None where only its parts know.
    """

    folder: Folder
    fingerprint: Fingerprint
    schema: pa.Schema | None = None

    @property
    def name(self) -> str:
        """Table name without hash, such as ``features_soap``."""
        return self.fingerprint.table

    def part_names(self) -> set[str]:
        """Names of the committed parts, without suffix."""
        return set(parts_in(self.folder))

    def commit(  # noqa: PLR0913 -- these are the fields of a part's provenance, each named by the caller
        self,
        part_name: str,
        table: pa.Table,
        *,
        source_part: str | None,
        rows_in: int,
        failed: int,
        cost: float,
        source_hash: str | None = None,
        cursor: str | None = None,
        exclusive: bool = False,
    ) -> PartFooter:
        """Write a part so that readers see all of it or nothing; replaces a part of the same name.

        ``source_hash`` is the content hash of ``source_part``. Returns the part's footer. Raises CrysiftError
        when the disk is full, and with ``exclusive`` FileExistsError where there is a part of the name.
        """

        def describe(content_hash: str) -> PartFooter:
            return PartFooter(
                fingerprint=self.fingerprint,
                content_hash=content_hash,
                source_part=source_part,
                source_hash=source_hash,
                rows_in=rows_in,
                rows_out=table.num_rows,
                failed=failed,
                cost=cost,
                package_version=package_version(),
                cursor=cursor,
            )

        data, footer = encode_part(table, describe)
        self._put(part_name, data, exclusive=exclusive)
        return footer

    def write_again(self, part_name: str) -> None:
        """Write a part once more, the same bytes at a later time."""
        with self._open(part_name) as part:
            data = part.read()
        self._put(part_name, data, exclusive=False)

    def read(self, part_name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Read a part, or some of its columns in the order asked.

        Raises DamagedPartError, and CrysiftError where the part is absent or lacks a column.
        """
        with damage_explained(self.folder.url, part_name), self._open(part_name) as part:
            try:
                return decode_part(part, columns)
            except KeyError as error:
                raise CrysiftError(f"{self._path(part_name)} has no column {error.args[0]!r}") from error

    def footer(self, part_name: str) -> PartFooter:
        """Read a part's footer.

        Raises DamagedPartError, and CrysiftError where the part is absent or belongs to another table.
        """
        return self._own(part_name, read_footer(self.folder, part_name))

    def part_schema(self, part_name: str) -> pa.Schema:
        """Columns of one part."""
        with damage_explained(self.folder.url, part_name):
            return decode_schema(_metadata(self.folder, part_name))

    def footers(self, part_names: Iterable[str]) -> dict[str, PartFooter]:
        """Read the footers of many parts, several at a time; raises what ``footer`` raises."""
        found = {}
        for part_name, footer in self.examined(part_names):
            if isinstance(footer, DamagedPartError):
                raise footer
            found[part_name] = footer
        return found

    def examined(self, part_names: Iterable[str]) -> Iterator[tuple[str, PartFooter | DamagedPartError]]:
        """Read the footers of many parts, several at a time, or what is wrong with them, sorted by name."""

        def footer_or_damage(part_name: str) -> PartFooter | DamagedPartError:
            try:
                return self.footer(part_name)
            except DamagedPartError as damage:
                return damage

        return in_parallel(footer_or_damage, sorted(part_names), REQUESTS_AT_ONCE)

    def discard(self, part_name: str) -> None:
        """Take a derived part away, so that it is made again; an ingested one is never taken."""
        if self.fingerprint.source_table is None:
            raise ValueError(f"{self._path(part_name)} is not derived from another part")
        self.folder.remove(part_name + SUFFIX)

    def missing(self, source: "Table") -> list[str]:
        """Sorted names of the source's parts that this table has not yet derived: a set difference."""
        return sorted(source.part_names() - self.part_names())

    def check_derived(self, source: "Table", part_names: Iterable[str]) -> DerivedParts:
        """Find which of these parts are whole and derive from the source's present content.

        Raises what ``footer`` raises of the source's parts, and CrysiftError for a part of other settings.
        """
        names = sorted(part_names)
        counts, unsound = TableCounts(), {}
        of_source = source.examined(names)
        for (part_name, footer), (_, present) in zip(self.examined(names), of_source, strict=True):
            if isinstance(present, DamagedPartError):
                raise present
            if isinstance(footer, DamagedPartError):
                unsound[part_name] = footer.reason
            elif footer.source_hash != present.content_hash:
                unsound[part_name] = (
                    f"derived from a part of {source.name} that has since been replaced "
                    f"(content {_short(footer.source_hash)}, now {_short(present.content_hash)})"
                )
            else:
                counts = _add(counts, footer)
        return DerivedParts(counts, unsound)

    def count(self) -> TableCounts:
        """Sum rows, failures and cost over all parts, from their footers."""
        counts = TableCounts()
        for _, footer in self.examined(self.part_names()):
            if isinstance(footer, DamagedPartError):
                counts = replace(counts, damaged=counts.damaged + 1)
            else:
                counts = _add(counts, footer)
        return counts

    def scan(self, columns: Sequence[str] | None = None) -> ds.Dataset:
        """Return a lazy dataset over all parts in the order of their names, with all columns or those asked.

        Raises CrysiftError for an empty table of unknown schema and for a column that it lacks.
        """
        paths = [self._path(part_name) for part_name in sorted(self.part_names())]
        dataset = self._dataset(paths)
        if columns is None:
            return dataset
        for column in columns:
            if column not in dataset.schema.names:
                raise CrysiftError(
                    f"table {self.name} has no column {column!r}; it has {', '.join(dataset.schema.names)}"
                )
        return dataset.replace_schema(pa.schema([dataset.schema.field(column) for column in columns]))

    def _dataset(self, paths: list[str]) -> ds.Dataset:
        if not paths:
            if self.schema is None:
                raise CrysiftError(f"table {self.folder.url} holds no parts yet")
            return ds.dataset(self.schema.empty_table())
        if self.folder.is_local:
            return ds.dataset(paths, format="parquet")
        filesystem, root = open_filesystem(self.folder.url)
        inner = [root + path.removeprefix(self.folder.url) for path in paths]
        return ds.dataset(inner, format="parquet", filesystem=filesystem)

    def _put(self, part_name: str, data: bytes, *, exclusive: bool) -> None:
        def check(written: IO[bytes]) -> None:
            with damage_explained(self.folder.url, part_name):
                verify_part(written.read())

        self.folder.put(part_name + SUFFIX, data, check, exclusive=exclusive)

    def _path(self, part_name: str) -> str:
        return self.folder.path(part_name + SUFFIX)

    def _open(self, part_name: str) -> IO[bytes]:
        with _absence_explained(self.folder, part_name):
            return self.folder.open(part_name + SUFFIX)

    def _own(self, part_name: str, footer: PartFooter) -> PartFooter:
        """Return the footer, with this table's own fingerprint; raises CrysiftError where it has another."""
        if footer.fingerprint == self.fingerprint:
            return replace(footer, fingerprint=self.fingerprint)
        differing = footer.fingerprint.differences(self.fingerprint)
        raise CrysiftError(
            f"{self._path(part_name)} was made with other settings than its folder "
            f"({'; '.join(differing)}): move the file out of the store and run the same command again"
        )


def parts_in(folder: Folder) -> list[str]:
    """Sorted names of the parts committed to a folder, without suffix."""
    names = (name for name in folder.names() if name.endswith(SUFFIX) and not name.startswith("."))
    return [name.removesuffix(SUFFIX) for name in names]


def read_footer(folder: Folder, part_name: str) -> PartFooter:
    """Read the footer of a part, of whatever table.

    Raises DamagedPartError, and CrysiftError where there is no such part.
    """
    with damage_explained(folder.url, part_name):
        return decode_footer(_metadata(folder, part_name))


def _metadata(folder: Folder, part_name: str) -> bytes:
    """Read the Parquet metadata that end a part."""
    name = part_name + SUFFIX
    with _absence_explained(folder, part_name):
        ending = folder.ending(name, _ENDING_BYTES)
        length = metadata_bytes(ending)
        if length > len(ending):
            ending = folder.ending(name, length)
        return ending[-length:]


@contextmanager
def _absence_explained(folder: Folder, part_name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise CrysiftError(f"there is no part {folder.path(part_name + SUFFIX)}") from error


def _add(counts: TableCounts, footer: PartFooter) -> TableCounts:
    return replace(
        counts,
        parts=counts.parts + 1,
        rows=counts.rows + footer.rows_out,
        failed=counts.failed + footer.failed,
        cost=counts.cost + footer.cost,
    )


def _short(digest: str | None) -> str:
    return "unrecorded" if digest is None else digest[:12]
