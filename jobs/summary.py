"""What a screening found, as SQL over the views of its scope, and as one summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb
    import pyarrow as pa

_STRANGEST = """SELECT structure_id, formula, nsites, prototype, probability, mutual_information,
    ood_score, ood_p_value, is_ood, nearest_class, extra_json ->> '$.mineral' AS mineral
    FROM predictions_{model} AS predictions JOIN structures USING (structure_id)
    WHERE predictions.status = 'ok' ORDER BY ood_score DESC, structure_id LIMIT ?"""

_STRANGEST_OF_BOTH = """SELECT structure_id, formula, nsites, verdicts.* EXCLUDE (structure_id),
    arise.ood_score AS arise_ood_score, diffraction.ood_score AS diffraction_ood_score,
    extra_json ->> '$.mineral' AS mineral
    FROM verdicts JOIN structures USING (structure_id) JOIN predictions_arise AS arise USING (structure_id)
    JOIN predictions_diffraction AS diffraction USING (structure_id)
    WHERE arise.status = 'ok' ORDER BY arise_ood_score DESC, structure_id LIMIT ?"""

_PROTOTYPES = """SELECT prototype, count(*) FILTER (WHERE NOT is_ood) AS recognised,
    count(*) FILTER (WHERE is_ood) AS out_of_distribution, median(probability) AS median_probability,
    arg_min(concat_ws(' ', formula, extra_json ->> '$.mineral'), (ood_score, structure_id))
        FILTER (WHERE NOT is_ood) AS example
    FROM predictions_{model} AS predictions JOIN structures USING (structure_id)
    WHERE predictions.status = 'ok' GROUP BY prototype ORDER BY recognised DESC, prototype"""

_TAKEN = (
    """SELECT (SELECT count(*) FROM structures) AS structures, (SELECT count(*) FROM rejects) AS rejects"""
)

_PREDICTED = """SELECT count(*) AS predictions, count(*) FILTER (WHERE status = 'failed') AS failed,
    count(*) FILTER (WHERE is_ood) AS out_of_distribution FROM predictions_{model}"""

_COMPARED = """SELECT count(*) FILTER (WHERE agree) AS agree, count(*) FILTER (WHERE NOT agree) AS disagree,
    count(*) FILTER (WHERE agree IS NULL) AS not_compared FROM verdicts"""

_SELECTED = """SELECT count(*) FILTER (WHERE is_ood) AS selected, (SELECT count(*) FROM novel) AS novel,
    count(*) FILTER (WHERE is_ood AND symmetry_class IS NOT NULL) AS known_by_symmetry FROM selection"""

_FAILURES = """SELECT error_stage, error_class, count(*) AS structures, min(error_message) AS example
    FROM ({failed}) GROUP BY ALL ORDER BY structures DESC, error_stage, error_class"""


def answer(connection: duckdb.DuckDBPyConnection, sql: str, *values: object) -> pa.Table:
    """Return the rows of a question as an Arrow table."""
    return connection.sql(sql, params=list(values) or None).to_arrow_table()


def strangest(models: Sequence[str]) -> str:
    """SQL for so many structures, the farthest from all that the first network knows first."""
    return _STRANGEST.format(model=models[0]) if len(models) == 1 else _STRANGEST_OF_BOTH


def prototypes(model: str) -> str:
    """SQL for the prototypes that a network found: how often recognised, how often resembled."""
    return _PROTOTYPES.format(model=model)


def summarize(connection: duckdb.DuckDBPyConnection, models: Sequence[str], rows_in: int) -> dict[str, Any]:
    """Count what was screened; the views `structures`, `rejects` and `predictions_…` are its scope.

    `rows_in` is what the sources gave, as counted when it was read. What depends on the network stands at the
    top where there is one, else under `models`, and beside it under `verdicts` how often two agree.
    """
    [taken] = answer(connection, _TAKEN).to_pylist()
    found = {model: _found(connection, model) for model in models}
    counted = {
        **taken,
        "rows_in": rows_in,
        "accounted": all(rows_in == each["predictions"] + taken["rejects"] for each in found.values()),
        "failures": answer(connection, _failures(models)).to_pylist(),
    }
    if len(models) == 1:
        return {**counted, **found[models[0]]}
    [verdicts] = answer(connection, _COMPARED).to_pylist()
    return {**counted, "models": found, "verdicts": verdicts}


def selected(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Count what the view `selection` selects, and how many different structures that are."""
    [counts] = answer(connection, _SELECTED).to_pylist()
    return dict(counts)


def _found(connection: duckdb.DuckDBPyConnection, model: str) -> dict[str, Any]:
    [counts] = answer(connection, _PREDICTED.format(model=model)).to_pylist()
    return {**counts, "prototypes": answer(connection, prototypes(model)).to_pylist()}


def _failures(models: Sequence[str]) -> str:
    columns = "SELECT error_stage, error_class, error_message"
    failed = [f"{columns} FROM predictions_{model} WHERE status = 'failed'" for model in models]
    return _FAILURES.format(failed=" UNION ALL ".join([f"{columns} FROM rejects", *failed]))
