"""A store's tables: which there are, which may be added, and the refusal to mix settings."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from engine.errors import CrysiftError
from engine.schema import REJECTS, STRUCTURES
from engine.store.damage import DERIVED, SUFFIX, DamagedPartError
from engine.store.fingerprint import Fingerprint
from engine.store.folder import Folder
from engine.store.runs import Run, runs_in
from engine.store.table import Table, parts_in, read_footer

_PART = re.compile(r"^part-")
_FIXED = {"structures": STRUCTURES, "rejects": REJECTS}
_RUNS = "runs"


@dataclass(frozen=True)
class Store:
    """A folder of tables and runs, on a local path or an fsspec URL; holds no state beside the files."""

    folder: Folder

    @classmethod
    def open(cls, url: str | Path, create: bool = False) -> Self:
        """Open a store; ``create`` makes one where there is nothing yet.

        Raises CrysiftError where there is no store, and where ``create`` meets a folder of other things.
        """
        store = cls(Folder.at(url))
        if store._has_begun():
            return store
        if not create:
            raise CrysiftError(
                f"there is no store at {store.folder.url}: `crysift screen` or `crysift spm` makes one"
            )
        foreign = [name for name in _visible(store.folder) if not store._is_mere_beginning(name)]
        if foreign:
            raise CrysiftError(
                f"{store.folder.url} exists and is no store: it holds {foreign[0]!r} "
                f"and {len(foreign) - 1} more; name a new or empty folder"
            )
        return store

    def _has_begun(self) -> bool:
        """Whether there are parts or runs; that folders are named ``structures`` or ``runs`` says nothing."""
        parts = (part for name in _FIXED for part in self._fixed(name).part_names())
        ingested = any(map(_PART.match, parts))
        return ingested or bool(runs_in(self.folder.child(_RUNS))) or bool(self._derived_tables())

    def _is_mere_beginning(self, name: str) -> bool:
        """Whether a process that died made this folder and put nothing whole into it."""
        return name in (*_FIXED, _RUNS) and not _visible(self.folder.child(name))

    @property
    def structures(self) -> Table:
        """The structures that were accepted."""
        return self._fixed("structures")

    @property
    def rejects(self) -> Table:
        """The candidates that did not become structures, with the reason."""
        return self._fixed("rejects")

    def derived(self, fingerprint: Fingerprint, allow_new: bool = False) -> Table:
        """Return the table of this fingerprint, existing or yet to be filled.

        Raises CrysiftError, naming every differing field, where the store holds a table of this name with
        another fingerprint; ``allow_new`` keeps both side by side.
        """
        asked = Table(self.folder.child(fingerprint.folder_name), fingerprint)
        present = self.existing(fingerprint.table)
        if allow_new or not present or any(table.fingerprint == fingerprint for table in present):
            return asked
        stored = present[-1]
        raise CrysiftError(
            f"{self.folder.url} already holds {stored.folder.name}, made differently "
            f"({'; '.join(stored.fingerprint.differences(fingerprint))}): ask for the same settings, "
            "name another store, or keep both side by side with --add-table"
        )

    def existing(self, name: str) -> list[Table]:
        """Tables of this name that hold parts, the one with the newest part last."""
        if name in _FIXED:
            table = self._fixed(name)
            return [table] if table.part_names() else []
        tables = self._derived_tables(name)
        if len(tables) < 2:  # the usual case, in which no time of a part need be asked
            return tables
        return sorted(tables, key=lambda table: (_newest(table), table.folder.name))

    def latest(self, name: str) -> Table:
        """Return the table of this name with the newest part; raises CrysiftError where there is none."""
        tables = self.existing(name)
        if not tables:
            held = ", ".join(table.folder.name for table in self.tables()) or "nothing yet"
            raise CrysiftError(f"{self.folder.url} holds no table {name}; it holds {held}")
        return tables[-1]

    def make_newest(self, table: Table) -> None:
        """Make a table that holds parts the newest of its name, by writing one of its parts once more."""
        if self.latest(table.name).folder.name == table.folder.name:
            return
        table.write_again(min(table.part_names()))

    def tables(self) -> list[Table]:
        """Every table that holds parts: structures, rejects, then the derived ones by folder name."""
        fixed = [self._fixed(name) for name in _FIXED]
        return [table for table in fixed if table.part_names()] + self._derived_tables()

    def sweep(self) -> list[str]:
        """Delete what processes that died left half written; returns the names of the temporaries deleted."""
        swept: list[str] = []
        for name in self.folder.names():
            if name in _FIXED or DERIVED.match(name):
                swept += self.folder.child(name).sweep()
        runs = self.folder.child(_RUNS)
        for name in runs.names():
            swept += runs.child(name).sweep()
        return swept

    def start_run(self, command: str, settings: dict[str, Any]) -> Run:
        """Begin the record of one invocation in ``runs/``."""
        return Run.start(self.folder.child(_RUNS), command, settings)

    def _fixed(self, name: str) -> Table:
        return Table(self.folder.child(name), Fingerprint.ingested(name), _FIXED[name])

    def _derived_tables(self, name: str | None = None) -> list[Table]:
        matches = filter(None, map(DERIVED.match, self.folder.names()))
        folders = [self.folder.child(match[0]) for match in matches if name in (None, match["name"])]
        return [table for folder in folders if (table := _found(folder)) is not None]


def _found(folder: Folder) -> Table | None:
    """Return the table in a folder, its fingerprint read from its first sound part; None where there is none.

    Raises CrysiftError where that fingerprint is not the one in the folder's name.
    """
    for part_name in parts_in(folder):
        try:
            fingerprint = read_footer(folder, part_name).fingerprint
        except DamagedPartError:
            continue
        if fingerprint.folder_name != folder.name:
            raise CrysiftError(
                f"{folder.path(part_name + SUFFIX)} belongs to {fingerprint.folder_name}, not to "
                f"{folder.name}: move the file out of the store and run the same command again"
            )
        return Table(folder, fingerprint)
    return None


def _visible(folder: Folder) -> list[str]:
    return [name for name in folder.names() if not name.startswith(".")]


def _newest(table: Table) -> float:
    return max(table.folder.modified(name + SUFFIX) for name in table.part_names())
