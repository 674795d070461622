"""New classes as users name them: files of structures with a label, or tables of prototypes."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import CrysiftError

if TYPE_CHECKING:
    from connectors.settings import SourceSettings
    from engine.structure import Structure
    from models.prototypes import Prototype

MAX_STRUCTURES = 1000
"""Structures of which the examples of the new classes can be chosen."""
LABEL = "label"
"""Column of a Parquet table that names the class of each structure."""
_JSON, _PARQUET = ".json", ".parquet"


@dataclass(frozen=True)
class Candidates:
    """Prototypes of new classes, and the reasons why others that were named are none."""

    prototypes: list[Prototype]
    rejects: list[str]


def read_additions(added: Sequence[str], labels: Sequence[str], sources: SourceSettings) -> Candidates:
    """Read new classes: one label for all that is `added`, one for each, or none for tables that have labels.

    Such tables are Parquet files of structures with a column `label`, and JSON files in the format of
    `models/data/prototypes.json`. Raises CrysiftError for labels that do not fit what is added, and where
    there is no structure.
    """
    from models.training.additions import prototype_from

    structures: list[tuple[Structure, str]] = []
    rejects: list[str] = []
    for path, label in _paired(added, labels, sources.format):
        found, refused = _labelled_table(path) if label is None else _structures([path], sources)
        structures += [(each, of or label or "") for each, of in found]
        rejects += refused
    if not structures:
        raise CrysiftError(
            f"no structure to make a class of: {'; '.join(rejects[:3]) or 'the files are empty'}"
        )
    _refuse_many(len(structures))
    return Candidates([prototype_from(structure, label) for structure, label in structures], rejects)


def _refuse_many(structures: int) -> None:
    if structures > MAX_STRUCTURES:
        raise CrysiftError(
            f"{structures:,} structures are more than the {MAX_STRUCTURES:,} that classes can be made of: a "
            "class needs few examples, name those that differ most"
        )


_Labelled = tuple[list[tuple["Structure", str | None]], list[str]]
"""Structures with their labels, where these are known, and reasons of rejects."""


def _paired(
    added: Sequence[str], labels: Sequence[str], file_format: str | None
) -> Iterator[tuple[str, str | None]]:
    """Each path with its label, or with None where a table tells the labels itself."""
    if not labels:
        for path in added:
            if Path(path).suffix not in {_JSON, _PARQUET}:
                raise CrysiftError(f"the class of {path} has no name: give one, as in --label rutile")
            if not Path(path).is_file():
                raise CrysiftError(
                    f"{path} is no single table: name each file with its own --add, or the class of all with "
                    "--label"
                )
        yield from ((path, None) for path in added)
    elif file_format is None and (tables := [path for path in added if Path(path).suffix == _JSON]):
        raise CrysiftError(
            f"the labels of {tables[0]} are in the table itself: leave --label out, and add what needs one "
            "in a run of its own"
        )
    elif len(labels) in {1, len(added)}:
        yield from zip(added, labels if len(labels) > 1 else [labels[0]] * len(added), strict=True)
    else:
        raise CrysiftError(
            f"{len(added)} times --add and {len(labels)} times --label: give one label for all, or one each"
        )


def _structures(paths: Sequence[str], sources: SourceSettings) -> _Labelled:
    """Everything that `screen` reads, through a store of its own."""
    from connectors import open_sources
    from engine.execution.events import ignore
    from engine.store import Store
    from engine.structure import structures_in
    from engine.validation import StructureLimits
    from jobs.pipeline import ingest_all

    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(f"{folder}/added", create=True)
        ingest_all(open_sources(paths, sources), store, StructureLimits(), ignore)
        _refuse_many(store.structures.count().rows)
        found = sorted(structures_in(store.structures.scan().to_table()), key=lambda s: s.structure_id)
        refused = store.rejects.scan(["source_id", "error_message"]).to_table().to_pylist()
    return [(each, None) for each in found], [_reason(row) for row in refused]


def _labelled_table(path: str) -> _Labelled:
    if Path(path).suffix == _JSON:
        return _prototype_table(Path(path))
    import pyarrow.parquet as pq

    from connectors.settings import SourceSettings

    _check_columns(path)
    found, refused = _structures([path], SourceSettings())
    rows = pq.read_table(path, columns=[*_NAMED_BY, LABEL]).to_pylist()
    ids = [f"{row['source']}:{row['source_id']}" for row in rows]
    label_of = {name: row[LABEL] for name, row in zip(ids, rows, strict=True)}
    ((most_frequent, times),) = Counter(ids).most_common(1) or [("", 0)]
    if times > 1:
        raise CrysiftError(
            f"{path} holds {most_frequent} {times} times, so that its {LABEL} is not certain: give each "
            "structure a source_id of its own"
        )
    unnamed = [name for name, label in label_of.items() if not isinstance(label, str) or not label]
    if unnamed:
        raise CrysiftError(
            f"{path} gives {unnamed[0]} no {LABEL} ({len(unnamed)} of {len(label_of)} rows have none): name "
            "the class of every structure"
        )
    return [(each, label_of[each.structure_id]) for each, _ in found], refused


_NAMED_BY = ("source", "source_id")


def _check_columns(path: str) -> None:
    """Raise CrysiftError for a table that does not tell the class of each structure."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(path).names
    except pa.ArrowInvalid as error:
        raise CrysiftError(f"{path} cannot be read as a Parquet table ({error}): is it complete?") from error
    if LABEL not in names:
        raise CrysiftError(
            f"{path} has no column {LABEL!r}, which tells the classes of its structures: name the class "
            "of all of them with --label"
        )
    missing = [name for name in _NAMED_BY if name not in names]
    if missing:
        raise CrysiftError(
            f"{path} has no column {missing[0]!r}, which its structures are told apart by: add one, or name "
            "the class of all of them with --label"
        )


def _prototype_table(path: Path) -> _Labelled:
    """Structures in a table of the format of `models/data/prototypes.json`; its sites may be any elements."""
    from engine.structure import candidates_table, structures_in
    from engine.validation import StructureLimits, validate
    from models.prototypes import prototype_of

    records = _records(path)
    found: list[tuple[Structure, str]] = []
    for number, record in enumerate(records, start=1):
        try:
            prototype = prototype_of({**_UNSAID, "title": record["label"], **record})
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise CrysiftError(
                f"prototype {number} of {path} cannot be read ({type(error).__name__}: {error}): it needs "
                "label, periodic (three times 0 or 1), lattice (three vectors, Å, or null) and sites (symbol "
                "and three coordinates each, fractional where there is a lattice)"
            ) from error
        found.append((_structure(prototype, f"{path.name}/{number}"), prototype.label))
    if not found:
        return [], []
    accepted, refused = validate(candidates_table(each for each, _ in found), StructureLimits())
    labels = {each.structure_id: label for each, label in found}
    return [(each, labels[each.structure_id]) for each in structures_in(accepted)], [
        _reason(row) for row in refused.to_pylist()
    ]


_UNSAID: Mapping[str, Any] = {"family": "", "source": "", "space_group": None}
"""What a record may leave out."""


def _records(path: Path) -> list[dict[str, Any]]:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        records: Any = table["prototypes"]
    except OSError as error:
        raise CrysiftError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CrysiftError(
            f"{path} is no table of prototypes: it must be JSON with a list `prototypes`; name the class of "
            "other files with --label"
        ) from error
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise CrysiftError(f"{path} is no table of prototypes: `prototypes` must be a list of objects")
    return list(records)


def _structure(prototype: Prototype, source_id: str) -> Structure:
    from engine.structure import Structure

    first, second, third = (int(axis) for axis in prototype.periodic)
    lattice = prototype.lattice if prototype.lattice.any() else None
    return Structure(
        "table", source_id, prototype.species, prototype.positions, lattice, (first, second, third)
    )


def _reason(row: Mapping[str, Any]) -> str:
    return f"{row['source_id']}: {row['error_message']}"
