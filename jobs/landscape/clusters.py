"""The clusters of a map as a table: who is in them, and what they have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from engine.columns import contiguous
from engine.schema import CLUSTERS
from jobs.landscape.joined import joined_tables, predictions_of
from jobs.landscape.labels import cluster_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.store import Store, Table

MOST_FREQUENT = 10
"""Values that a list of shares holds at most."""

_MEMBERS = """CREATE TEMP TABLE members AS
    SELECT structure_id, cluster, assigned, x, y, outlier_score, source, formula, nelements, nsites,
        prototype, mutual_information, ood_score, is_ood, protostructure
    FROM (SELECT structure_id, cluster, assigned, x, y, outlier_score FROM map WHERE cluster >= 0)
    JOIN (SELECT structure_id, source, formula, nelements, nsites FROM structures) USING (structure_id)
    LEFT JOIN (SELECT structure_id, prototype, mutual_information, ood_score, is_ood FROM predictions)
        USING (structure_id)
    LEFT JOIN (SELECT structure_id, protostructure FROM protostructures) USING (structure_id)"""

_FORMULAS = """CREATE TEMP TABLE formulas AS
    WITH amounts AS (
        SELECT formula, unnest(regexp_extract_all(formula, '[A-Z][a-z]?([0-9]*)', 1)) AS amount
        FROM (SELECT DISTINCT formula FROM members)),
    ranked AS (
        SELECT formula, amount,
            row_number() OVER (PARTITION BY formula ORDER BY coalesce(try_cast(amount AS BIGINT), 1)) AS place
        FROM amounts)
    SELECT formula, string_agg(chr((64 + place)::INTEGER) || amount, '' ORDER BY place) AS anonymous
    FROM ranked GROUP BY formula"""

_TOTALS = """CREATE TEMP TABLE totals AS
    SELECT cluster, count(*) AS size, count(*) FILTER (assigned) AS assigned,
        avg(mutual_information) AS mutual_information, avg(ood_score) AS ood_score,
        avg(is_ood::INTEGER) AS ood_fraction, avg(outlier_score) AS outlier_score,
        median(nsites) AS nsites, count(DISTINCT formula) AS formulas
    FROM members GROUP BY cluster"""

_SHARED = {
    "prototypes": "SELECT cluster, prototype AS value FROM members",
    "protostructures": "SELECT cluster, protostructure AS value FROM members",
    "anonymous_formulas": "SELECT cluster, anonymous AS value FROM members JOIN formulas USING (formula)",
    "elements": """SELECT cluster, unnest(regexp_extract_all(formula, '[A-Z][a-z]?')) AS value
        FROM members""",
    "species": "SELECT cluster, nelements AS value FROM members",
    "sources": "SELECT cluster, source AS value FROM members",
}
"""What the members of a cluster have, one row per member and value."""

_CLUSTERS = f"""SELECT wanted.cluster, coalesce(size, 0) AS size, coalesce(totals.assigned, 0) AS assigned,
        medoid, middle.formula AS medoid_formula, x, y,
        prototypes[1].value AS prototype, prototypes[1].share AS prototype_share,
        protostructures[1].value AS protostructure, protostructures[1].share AS protostructure_share,
        totals.mutual_information, totals.ood_score, ood_fraction, totals.outlier_score, totals.nsites,
        coalesce(formulas, 0) AS formulas, anonymous_formulas, elements, species, sources
    FROM wanted LEFT JOIN totals USING (cluster)
    LEFT JOIN members AS middle ON middle.structure_id = medoid
    {" ".join(f"LEFT JOIN shared_{name} USING (cluster)" for name in _SHARED)}
    ORDER BY wanted.cluster"""


def cluster_table(store: Store, map_table: Table, medoids: Sequence[str]) -> pa.Table:
    """Describe the clusters of a map: the table `CLUSTERS`, a row for each of the ``medoids``, in order.

    ``medoids[k]`` is the id of the structure in the middle of cluster k. Counted are the current versions of
    the structures in the map's parts, with their predictions by the map's own descriptors and with their
    protostructures, where the store has such tables; shares are those of all members. Memory does not grow
    with the number of structures: DuckDB moves what it cannot hold to temporary files.
    """
    with joined_tables(store, predictions_of(store, map_table), map_table) as connection:
        wanted = {
            "cluster": pa.array(range(len(medoids)), pa.int32()),
            "medoid": pa.array(medoids, pa.string()),
        }
        connection.register("wanted", pa.table(wanted))
        for statement in (_MEMBERS, _FORMULAS, _TOTALS):
            connection.execute(statement)
        for name, values in _SHARED.items():
            connection.execute(_most_frequent(name, values))
        found = connection.sql(_CLUSTERS).to_arrow_table()
    columns = {name: contiguous(found[name]) for name in found.column_names}
    columns["label"] = pa.array([cluster_label(row) for row in found.to_pylist()], pa.string())
    return pa.table([columns[field.name].cast(field.type) for field in CLUSTERS], schema=CLUSTERS)


def _most_frequent(name: str, values: str) -> str:
    """SQL for the values that the members of each cluster have most often, with the shares that have them."""
    return f"""CREATE TEMP TABLE shared_{name} AS
        WITH counted AS (
            SELECT cluster, value, count(*) AS n FROM ({values}) WHERE value IS NOT NULL GROUP BY ALL),
        ranked AS (
            SELECT *, row_number() OVER (PARTITION BY cluster ORDER BY n DESC, value) AS place FROM counted)
        SELECT cluster, list({{'value': value, 'share': n / size}} ORDER BY place) AS {name}
        FROM ranked JOIN totals USING (cluster) WHERE place <= {MOST_FREQUENT} GROUP BY cluster"""
