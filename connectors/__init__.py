"""Sources of structures, one module each, behind the protocol of ``engine.ingest``."""

import re
from itertools import takewhile
from pathlib import Path

from engine.errors import CrysiftError
from engine.ingest import Connector

_WILDCARD = re.compile(r"[*?\[]")
_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]+):")


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
        root, paths = place, _files_in(place, "**/*")
    elif place.is_file():
        root, paths = place.parent, [place]
    elif _WILDCARD.search(text):
        fixed = list(takewhile(lambda part: not _WILDCARD.search(part), place.parts))
        root = Path(*fixed)
        paths = _files_in(root, str(Path(*place.parts[len(fixed) :])))
    else:
        raise CrysiftError(f"{text} does not exist; name a file, a folder, a glob or `examples:`")
    if not paths:
        raise CrysiftError(f"{text} holds no files; name a file, a folder or a glob that does")
    return root, paths


def _files_in(root: Path, pattern: str) -> list[Path]:
    """Return the files below ``root`` that match, hidden ones left out."""
    found = (path for path in root.glob(pattern) if path.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(root).parts))
