"""Sources of structures, one module each, behind the protocol of ``engine.ingest``."""

import os
import re
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path

from engine.errors import CrysiftError
from engine.ingest import Connector

_WILDCARD = re.compile(r"[*?\[]")
_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]+):")


def open_sources(texts: Sequence[str], format: str | None = None) -> list[Connector]:  # noqa: A002
    """Return the connectors for several sources, as ``open_source`` does for one.

    Files that are named one by one, as a shell does with ``runs/*/CONTCAR``, share one connector: their
    ``source_id`` is the path below the folder that holds them all, which tells files of one name apart.

    Raises:
        CrysiftError: there is no such source, or its format has to be named.
    """
    from connectors.files import FilesConnector

    connectors: list[Connector] = []
    named: list[Path] = []
    for text in texts:
        connector = open_source(text, format)
        if isinstance(connector, FilesConnector) and Path(text).is_file():
            named.append(Path(text))
        else:
            connectors.append(connector)
    if named:
        paths, root = _below_one_root(named)
        connectors.append(FilesConnector(paths, root, format, page_per_file=True))
    return connectors


def _below_one_root(named: list[Path]) -> tuple[list[Path], Path]:
    """Return the files, each once and in the order in which they are named, and the folder they share."""
    if len({path.is_absolute() for path in named}) > 1:
        named = [path.absolute() for path in named]
    return list(dict.fromkeys(named)), Path(os.path.commonpath([path.parent for path in named]))


def open_source(text: str, format: str | None = None) -> Connector:  # noqa: A002 -- the option is --format
    """Return the connector for ``examples:``, a file, a folder or a glob; ``format`` names a file format.

    Parquet is known by the extension ``.parquet`` or by ``format="parquet"``.

    Raises:
        CrysiftError: there is no such source, or its format has to be named.
    """
    if text == "examples:":
        from connectors.examples import ExamplesConnector

        return ExamplesConnector()
    scheme = _SCHEME.match(text)
    if scheme and not Path(text).exists():
        raise CrysiftError(
            f"there is no source {scheme[1]!r} (in {text!r}); "
            "sources are `examples:`, a file, a folder or a glob"
        )
    root, paths = _find(text)
    parquet = [path for path in paths if path.suffix == ".parquet"]
    if format == "parquet" or (format is None and len(parquet) == len(paths)):
        from connectors.parquet import ParquetConnector

        return ParquetConnector(paths)
    if format is None and parquet:
        raise CrysiftError(
            f"{text} holds {len(parquet)} Parquet files and {len(paths) - len(parquet)} others; "
            "name one kind, by a glob such as '*.parquet' or by --format"
        )
    from connectors.files import FilesConnector

    return FilesConnector(paths, root, format)


def _find(text: str) -> tuple[Path, list[Path]]:
    """Return the root that paths are relative to, and the files, sorted by name."""
    place = Path(text)
    if place.is_dir():
        root, paths = place, _visible(_files_below(place), place)
    elif place.is_file():
        root, paths = place.parent, [place]
    elif _WILDCARD.search(text):
        fixed = list(takewhile(lambda part: not _WILDCARD.search(part), place.parts))
        root = Path(*fixed)
        paths = _visible(root.glob(str(Path(*place.parts[len(fixed) :]))), root)
    else:
        raise CrysiftError(f"{text} does not exist; name a file, a folder, a glob or `examples:`")
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
