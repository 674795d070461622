"""What a store holds of one structure, or why it holds nothing that can be explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from engine.errors import CrysiftError
from engine.schema import STATUS_OK
from engine.structure import Structure
from jobs.summary import answer

if TYPE_CHECKING:
    import duckdb

    from engine.store import Store

LISTED = 3
"""Ids named beside an unknown one."""

_STRUCTURE = "SELECT * FROM structures WHERE structure_id = $1"
_PREDICTION = "SELECT * EXCLUDE (representation) FROM predictions_arise WHERE structure_id = $1"
_REJECT = """SELECT error_stage, error_class, error_message FROM rejects
    WHERE structure_id = $1 OR concat(source, ':', source_id) = $1 ORDER BY fetched_at DESC LIMIT 1"""
_LIKE = f"""SELECT structure_id FROM structures
    ORDER BY contains(lower(structure_id), lower($1)) DESC, levenshtein(structure_id, $1), structure_id
    LIMIT {LISTED}"""


class Found(NamedTuple):
    """A structure, its formula, and the row of the newest predictions about it, without representation."""

    structure: Structure
    formula: str
    prediction: dict[str, Any]


def look_up(store: Store, structure_id: str) -> Found:
    """Find a structure and its prediction by the ARISE network, the newest version of both.

    Raises CrysiftError for a store without such predictions, an id that the store does not know, naming those
    like it, and with the reason that the store holds for a structure that was rejected or not described.
    """
    from jobs.views import connect

    _check_predictions(store)
    with connect(store) as connection:
        row = _row(connection, _STRUCTURE, structure_id)
        if row is None:
            raise CrysiftError(_why_absent(connection, store, structure_id))
        prediction = _row(connection, _PREDICTION, structure_id)
    if prediction is None:
        raise CrysiftError(
            f"{structure_id} is in {store.folder.url}, but its newest predictions say nothing of it: run the "
            "`crysift screen` that brought it again"
        )
    if prediction["status"] != STATUS_OK:
        raise CrysiftError(
            f"nothing is predicted of {structure_id}, which failed in {prediction['error_stage']} "
            f"({prediction['error_class']}): {prediction['error_message']}"
        )
    return Found(Structure.from_row(row), row["formula"], prediction)


def _check_predictions(store: Store) -> None:
    if store.existing("predictions_arise"):
        return
    if store.existing("predictions_diffraction"):
        raise CrysiftError(
            f"{store.folder.url} holds predictions of the diffraction network alone, whose descriptor is no "
            "mean over pairs of species: `crysift predict --model arise` makes those that can be explained, "
            "after `crysift featurize`"
        )
    raise CrysiftError(
        f"{store.folder.url} holds no predictions to explain: `crysift screen` makes them, or `crysift "
        "featurize` and `crysift predict` of structures that it holds"
    )


def _why_absent(connection: duckdb.DuckDBPyConnection, store: Store, structure_id: str) -> str:
    """Say that a structure was rejected, and why, or what ids the store has that are like an unknown one."""
    reject = _row(connection, _REJECT, structure_id)
    if reject is not None:
        return (
            f"{structure_id} was rejected in {reject['error_stage']} ({reject['error_class']}): "
            f"{reject['error_message']}"
        )
    like = answer(connection, _LIKE, structure_id)["structure_id"].to_pylist()
    near = f"; ids like it: {', '.join(like)}" if like else "; it holds none"
    return f"{store.folder.url} holds no structure {structure_id!r}{near}"


def _row(connection: duckdb.DuckDBPyConnection, sql: str, structure_id: str) -> dict[str, Any] | None:
    """Return the first row of an answer about a structure."""
    rows: list[dict[str, Any]] = answer(connection, sql, structure_id).to_pylist()
    return rows[0] if rows else None
