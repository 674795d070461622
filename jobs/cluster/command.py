"""The command line of a job, checked before anything is sent."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import CrysiftError
from jobs.cluster.keys import refuse_keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import typer

FROM_OUTSIDE = ("submit", "jobs", "logs", "stop")
_SCHEME = re.compile(r"^(?!files:)[a-z][a-z0-9+.-]*:")
_PATHS = (
    *("store", "csv", "parquet", "output", "work", "search", "out", "file", "order", "pictures", "report"),
)
_NAMES_OR_PATHS = ("columns", "weights")
_SOURCES = ("sources", "source", "added", "files")


def parse_command(context: typer.Context, arguments: Sequence[str]) -> Any:
    """Parse a command line without running it; ``context`` is that of the command that submits.

    What our commands do not accept ends as it does without a cluster: with their message and exit status 2.
    """
    root: Any = context.find_root()
    context, command, rest = root, root.command, list(arguments)
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
    return context


def checked_arguments(parsed: Any, arguments: Sequence[str]) -> list[str]:
    """Return the command line as the cluster is to run it.

    With the store that CRYSIFT_STORE names here, and without remarks where JSON was asked for.

    Raises:
        CrysiftError: the command speaks to a cluster from outside, names a path relative to this folder, or
            holds a key.
    """
    if parsed.info_name in FROM_OUTSIDE:
        raise CrysiftError(
            f"`crysift {parsed.info_name}` speaks to the cluster from outside: run it here, without submit"
        )
    spelled = {parameter.name: parameter.opts[0] for parameter in parsed.command.params}
    for name, value in _values(parsed.params):
        _refuse_relative(name, spelled[name], value)
    whole = list(arguments)
    source = parsed.get_parameter_source("store")
    if source is not None and source.name == "ENVIRONMENT":
        whole += ["--store", parsed.params["store"]]
    if parsed.params.get("as_json") and not parsed.params.get("quiet"):
        whole.append("--quiet")  # a job has one stream for results and remarks
    refuse_keys(whole)
    return whole


def _values(parameters: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in parameters.items():
        values = value if isinstance(value, list | tuple) else [value]
        yield from ((name, str(each)) for each in values if isinstance(each, str | Path))


def _refuse_relative(name: str, spelled: str, value: str) -> None:
    """Raise CrysiftError for a path that would be another one in the folder in which the job runs."""
    if name in _SOURCES:
        if _SCHEME.match(value) and not Path(value).exists():
            return
        path = value.removeprefix("files:")
    elif name in _PATHS or (name in _NAMES_OR_PATHS and Path(value).exists()):
        path = value
    else:
        return
    if "://" not in path and not Path(path).is_absolute():
        named = spelled if spelled.startswith("-") else f"the {name.removesuffix('s')}"
        bucket = "; or a URL, s3://…" if name in {"store", *_SOURCES} else ""
        raise CrysiftError(
            f"{named} {path!r} is relative to this folder, and the job runs in another one, maybe on another "
            f"machine: name an absolute path that all machines of the cluster see, such as "
            f"{Path(path).absolute()} on a shared disk{bucket}"
        )
