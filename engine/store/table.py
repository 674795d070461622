"""One table of a store: a folder of immutable Parquet parts that share a fingerprint."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import fsspec
import pyarrow as pa
import pyarrow.dataset as ds

from engine.errors import CrysiftError
from engine.store.encoding import decode_footer, decode_part, encode_part
from engine.store.fingerprint import Fingerprint
from engine.store.folder import Folder
from engine.store.footer import PartFooter, package_version

SUFFIX = ".parquet"

DAMAGE = (pa.ArrowException, OSError, ValueError, KeyError, TypeError)
"""What decoding a file raises when it is not a whole part."""


def damaged(path: str, error: BaseException) -> BaseException:
    """Name the file and the way out; an error of the disk or network (it has an errno) stays what it is."""
    if isinstance(error, OSError) and error.errno is not None:
        return error
    return CrysiftError(
        f"{path} is damaged or was not written by crysift ({error}): "
        "delete the file and run the same command again to make it anew"
    )


@dataclass(frozen=True)
class TableCounts:
    """Sums over a table's parts."""

    parts: int = 0
    rows: int = 0
    failed: int = 0
    cost: float = 0.0


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
        return {name.removesuffix(SUFFIX) for name in self.folder.names() if _is_part(name)}

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

        def check(written: IO[bytes]) -> None:
            with self._damage_explained(part_name):
                found, rows, _ = decode_footer(written)
                if found != footer or rows != table.num_rows:
                    raise ValueError(f"{rows} rows read back, {table.num_rows} written")

        self.folder.put(part_name + SUFFIX, data, check, exclusive=exclusive)
        return footer

    def read(self, part_name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Read a part, or some of its columns in the order asked.

        Raises CrysiftError where the part is absent, damaged or lacks a column.
        """
        with self._damage_explained(part_name), self._open(part_name) as part:
            try:
                return decode_part(part, columns)
            except KeyError as error:
                raise CrysiftError(f"{self._path(part_name)} has no column {error.args[0]!r}") from error

    def footer(self, part_name: str) -> PartFooter:
        """Read a part's footer; raises CrysiftError where the part is damaged or belongs to another table."""
        with self._damage_explained(part_name), self._open(part_name) as part:
            footer, rows, _ = decode_footer(part)
            if rows != footer.rows_out:
                raise ValueError(f"{rows} rows where its footer says {footer.rows_out}")
        differing = footer.fingerprint.differences(self.fingerprint)
        if differing:
            raise CrysiftError(
                f"{self._path(part_name)} was made with other settings than its folder "
                f"({'; '.join(differing)}): move the file out of the store and run the same command again"
            )
        return footer

    def part_schema(self, part_name: str) -> pa.Schema:
        """Columns of one part."""
        with self._damage_explained(part_name), self._open(part_name) as part:
            return decode_footer(part)[2]

    def missing(self, source: "Table") -> list[str]:
        """Sorted names of the source's parts that this table has not yet derived: a set difference."""
        return sorted(source.part_names() - self.part_names())

    def check_derived(self, source: "Table", part_names: Iterable[str]) -> TableCounts:
        """Check that these parts have this fingerprint and derive from the source's present content.

        Returns the sums over the parts. Raises CrysiftError naming the part that does not belong.
        """
        counts = TableCounts()
        for part_name in sorted(part_names):
            footer = self.footer(part_name)
            present = source.footer(part_name).content_hash
            if footer.source_hash != present:
                raise CrysiftError(
                    f"{self._path(part_name)} was derived from a part of {source.name} that has since been "
                    f"replaced (content {_short(footer.source_hash)}, now {_short(present)}): delete it "
                    "and run the same command again to derive it anew"
                )
            counts = _add(counts, footer)
        return counts

    def count(self) -> TableCounts:
        """Sum rows, failures and cost over all parts, from their footers."""
        counts = TableCounts()
        for part_name in sorted(self.part_names()):
            counts = _add(counts, self.footer(part_name))
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
        inner = [fsspec.core.url_to_fs(path)[1] for path in paths]
        return ds.dataset(inner, format="parquet", filesystem=self.folder.filesystem)

    def _path(self, part_name: str) -> str:
        return self.folder.path(part_name + SUFFIX)

    def _open(self, part_name: str) -> IO[bytes]:
        try:
            return self.folder.open(part_name + SUFFIX)
        except FileNotFoundError as error:
            raise CrysiftError(f"table {self.name} has no part {self._path(part_name)}") from error

    @contextmanager
    def _damage_explained(self, part_name: str) -> Iterator[None]:
        """Name the file and the way out when its bytes are not a whole part."""
        try:
            yield
        except DAMAGE as error:
            raise damaged(self._path(part_name), error) from error


def _is_part(name: str) -> bool:
    return name.endswith(SUFFIX) and not name.startswith(".")


def _add(counts: TableCounts, footer: PartFooter) -> TableCounts:
    return TableCounts(
        counts.parts + 1,
        counts.rows + footer.rows_out,
        counts.failed + footer.failed,
        counts.cost + footer.cost,
    )


def _short(digest: str | None) -> str:
    return "unrecorded" if digest is None else digest[:12]
