"""Sources of structures, one module each, behind the protocol of ``engine.source``."""

import re
from collections.abc import Sequence
from pathlib import Path

from connectors.settings import SourceSettings
from engine.errors import CrysiftError
from engine.source import Connector

_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]*):")

SOURCES = (
    "`mp:`, `optimade:PROVIDER`, `optimade:https://…`, `nomad:`, `examples:`, or files, folders and globs "
    "(`files:` may stand before them)"
)
_READERS_OF = {
    "format": {"files"},
    "columns": {"files"},
    "filter": {"mp", "optimade", "nomad"},
    "include_nc": {"mp"},
    "include_deprecated": {"mp"},
    "oasis": {"nomad"},
}


def open_sources(texts: Sequence[str], settings: SourceSettings | None = None) -> list[Connector]:
    """Return the connectors for several sources; a text that names several databases gives several.

    Files that are named one by one, as a shell does with ``runs/*/CONTCAR``, share one connector: their
    ``source_id`` is the path below the folder that holds them all, which tells files of one name apart.

    Raises:
        CrysiftError: there is no such source, its format has to be named, or a setting is for another source.
    """
    asked = settings or SourceSettings()
    named = [_scheme_of(text) for text in texts]
    _check_settings(asked, {scheme for scheme, _ in named})
    connectors = [connector for scheme, rest in named for connector in _open(scheme, rest, asked)]
    files = [rest for scheme, rest in named if scheme == "files"]
    if files:
        from connectors.paths import open_paths

        connectors += open_paths(files, asked.format, asked.columns)
    return connectors


def _scheme_of(text: str) -> tuple[str, str]:
    """Tell the kind of a source, ``files`` without a scheme, and what follows it."""
    scheme = _SCHEME.match(text)
    if scheme is None or Path(text).exists():
        return "files", text
    return scheme[1], text[scheme.end() :]


def _check_settings(asked: SourceSettings, schemes: set[str]) -> None:
    defaults = SourceSettings()
    for name, readers in _READERS_OF.items():
        if getattr(asked, name) != getattr(defaults, name) and not readers & schemes:
            raise CrysiftError(
                f"--{name.replace('_', '-')} is for {' and '.join(sorted(readers))} sources; named are "
                f"{', '.join(sorted(schemes))}: leave it out"
            )


def _open(scheme: str, rest: str, asked: SourceSettings) -> Sequence[Connector]:
    """Open a source of a scheme; files are opened together, later."""
    match scheme:
        case "files":
            return []
        case "examples":
            from connectors.examples import ExamplesConnector

            return [ExamplesConnector()]
        case "mp":
            from connectors.materials_project import open_materials_project

            return [
                open_materials_project(
                    rest,
                    filter=asked.filter,
                    include_nc=asked.include_nc,
                    include_deprecated=asked.include_deprecated,
                    patience=asked.patience,
                )
            ]
        case "optimade":
            from connectors.optimade import open_optimade

            return open_optimade(rest, asked.filter, asked.patience)
        case "nomad":
            from connectors.nomad import open_nomad

            return [open_nomad(rest, oasis=asked.oasis, filter=asked.filter, patience=asked.patience)]
        case _:
            raise CrysiftError(f"there is no source {scheme!r}; sources are {SOURCES}")
