"""Which files are meant by a path, a folder or a glob, and the connectors that read them."""

import os
import re
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path

from connectors.columns import load_mapping
from connectors.files import FilesConnector
from connectors.parquet import ParquetConnector
from engine.errors import CrysiftError
from engine.source import Connector

_WILDCARD = re.compile(r"[*?\[]")


def open_paths(
    texts: Sequence[str],
    format: str | None = None,  # noqa: A002 -- the option is --format
    columns: str | None = None,
) -> list[Connector]:
    """Return the connectors for files, folders and globs; those for files named one by one come last.

    Such files, as a shell names them for ``runs/*/CONTCAR``, share a connector: their ``source_id`` is the
    path below the folder that holds them all, which tells files of one name apart. Parquet is known by the
    extension ``.parquet`` or by the format ``parquet``; ``columns`` names the column mapping of all tables.

    Raises:
        CrysiftError: there is no such file, or its format has to be named.
    """
    mapping = load_mapping(columns) if columns else None
    connectors: list[Connector] = []
    named: dict[bool, list[Path]] = {True: [], False: []}
    for text in texts:
        root, paths = _find(text)
        tables = _are_tables(text, paths, format)
        if Path(text).is_file():
            named[tables].append(Path(text))
        elif tables:
            connectors.append(ParquetConnector(paths, mapping))
        else:
            connectors.append(FilesConnector(paths, root, format))
    if named[True]:
        connectors.append(ParquetConnector(list(dict.fromkeys(named[True])), mapping))
    if named[False]:
        connectors.append(FilesConnector(*_below_one_root(named[False]), format, named=True))
    if mapping and not any(isinstance(connector, ParquetConnector) for connector in connectors):
        raise CrysiftError(
            f"the column mapping {columns} is for Parquet files, and none is named; leave it out"
        )
    return connectors


def _are_tables(text: str, paths: list[Path], format: str | None) -> bool:  # noqa: A002
    """Whether what was found are Parquet files, all of them or none."""
    if format is not None:
        return format == "parquet"
    tables = [path for path in paths if path.suffix == ".parquet"]
    if tables and len(tables) < len(paths):
        raise CrysiftError(
            f"{text} holds {len(tables)} Parquet files and {len(paths) - len(tables)} others; "
            "name one kind, by a glob such as '*.parquet' or by --format"
        )
    return bool(tables)


def _below_one_root(named: list[Path]) -> tuple[list[Path], Path]:
    """Return the files, each once and in the order in which they are named, and the folder they share."""
    if len({path.is_absolute() for path in named}) > 1:
        named = [path.absolute() for path in named]
    return list(dict.fromkeys(named)), Path(os.path.commonpath([path.parent for path in named]))


def _find(text: str) -> tuple[Path, list[Path]]:
    """Return the root that paths are relative to, and the files, sorted by name."""
    place = Path(text)
    if not text:
        raise CrysiftError("a source has no name; name a file, a folder or a glob")
    if place.is_dir():
        root, paths = place, _visible(_files_below(place), place)
    elif place.is_file():
        root, paths = place.parent, [place]
    elif _WILDCARD.search(text):
        fixed = list(takewhile(lambda part: not _WILDCARD.search(part), place.parts))
        root = Path(*fixed)
        paths = _visible(root.glob(str(Path(*place.parts[len(fixed) :]))), root)
    else:
        raise CrysiftError(f"{text} does not exist; name a file, a folder or a glob")
    if not paths:
        raise CrysiftError(f"{text} holds no files; name a file, a folder or a glob that does")
    return root, paths


def _visible(found: Iterator[Path], root: Path) -> list[Path]:
    """Return the files among what was found, hidden ones left out; a broken link stays, to be rejected."""
    files = (path for path in found if path.is_file() or (path.is_symlink() and not path.exists()))
    return sorted(p for p in files if not any(part.startswith(".") for part in p.relative_to(root).parts))


def _files_below(root: Path) -> Iterator[Path]:
    """Yield all files in a folder and its subfolders; linked folders too, but no folder twice."""
    seen: set[str] = set()
    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=_refuse_unlisted):
        seen.add(os.path.realpath(folder))
        subfolders.sort()
        subfolders[:] = [
            name
            for name in subfolders
            if not name.startswith(".") and os.path.realpath(Path(folder, name)) not in seen
        ]
        yield from (Path(folder, name) for name in names)


def _refuse_unlisted(error: OSError) -> None:
    raise CrysiftError(
        f"the folder {error.filename} cannot be listed ({error.strerror}), so nobody knows what it holds; "
        "make it readable, or name the files to take by a glob"
    ) from error
