"""The columns of a page: which there are by default, and those that a user names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal

from engine.errors import CrysiftError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.page.tables import PageTables

Kind = Literal["number", "integer", "category", "text", "boolean"]

KINDS: dict[str, Kind] = {
    "BOOLEAN": "boolean",
    "VARCHAR": "category",
    "FLOAT": "number",
    "DOUBLE": "number",
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"), "integer"),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"), "integer"),
}
"""How values of an SQL type are shown; others cannot be."""
SELECTION, NOVEL = "page_selection", "page_novel"
"""Views of the rows that a screening selected from, and of the rank of those that are novel."""
NOT_BY_STRUCTURE = ("structures_history", "rejects", "superseded", SELECTION, NOVEL)
LOOKED_AT = 1_000
"""Structures whose `extra_json` is looked through for what a misspelt name may mean."""


@dataclass(frozen=True)
class Column:
    """A column of the page; ``sql`` is its value in the rows of ``structures``, ``map``, ``predictions``.

    Where ``view`` is set, ``sql`` is a column of that view.
    """

    name: str
    title: str
    kind: Kind
    sql: str
    unit: str | None = None
    scale: Literal["linear", "log"] = "linear"
    description: str = ""
    view: str | None = None


STANDARD = (
    Column("structure_id", "Structure", "text", "structures.structure_id"),
    Column("formula", "Formula", "text", "structures.formula"),
    Column("x", "x", "number", "map.x", description="place in the embedding"),
    Column("y", "y", "number", "map.y", description="place in the embedding"),
    Column("cluster", "Cluster", "category", "map.cluster", description="by density (HDBSCAN)"),
    Column("prototype", "Prototype", "category", "predictions.prototype", description="the most probable"),
    Column(
        "mutual_information",
        "Mutual information",
        "number",
        "predictions.mutual_information",
        "nat",
        description="how little the network knows of the structure",
    ),
    Column(
        "ood_score",
        "Out-of-distribution score",
        "number",
        "predictions.ood_score",
        description="how far from all that the network was taught",
    ),
    Column(
        "ood_p_value",
        "Out-of-distribution p-value",
        "number",
        "predictions.ood_p_value",
        description="share of known structures with as high a score",
    ),
    Column("is_ood", "Out of distribution", "boolean", "predictions.is_ood"),
    Column("nelements", "Number of species", "integer", "structures.nelements"),
    Column(
        "probability",
        "Probability of the prototype",
        "number",
        "predictions.probability",
        description="mean over the stochastic passes",
    ),
    Column(
        "outlier_score",
        "Outlier score",
        "number",
        "map.outlier_score",
        description="how much sparser than its surroundings (GLOSH)",
    ),
    Column("cluster_probability", "Cluster membership", "number", "map.cluster_probability"),
    Column(
        "assigned",
        "Assigned",
        "boolean",
        "map.assigned",
        description="an outlier that soft clustering gave to its cluster",
    ),
    Column(
        "fitted",
        "Fitted",
        "boolean",
        "map.fitted",
        description="the map was made with it; others were placed afterwards",
    ),
    Column("nearest_class", "Nearest known prototype", "category", "predictions.nearest_class"),
    Column("nsites", "Sites", "integer", "structures.nsites", scale="log"),
    Column("source", "Source", "category", "structures.source"),
)


def page_columns(tables: PageTables, named: Sequence[str]) -> list[Column]:
    """Return the columns of a page: those of every one, protostructures and a selection if any, those named.

    Raises CrysiftError for a name that the store does not know, or of values that cannot be shown.
    """
    columns = list(STANDARD)
    views = _views(tables)
    if "protostructures" in views:
        columns += [
            Column("protostructure", "Protostructure", "category", "protostructure", view="protostructures"),
            Column("space_group", "Space group", "integer", "space_group", view="protostructures"),
        ]
    if tables.answer is not None:
        columns += _selection_columns(tables.answer.fdr)
    for name in dict.fromkeys(named):
        if name not in (column.name for column in columns):
            columns.append(_named(tables, views, name))
    return columns


def _selection_columns(fdr: float) -> list[Column]:
    """Columns of what a screening selected at a false discovery rate."""
    share = f"{100 * fdr:g} %"
    selected = f"out of distribution, at a false discovery rate of {share} in the screening"
    q_value = "the least false discovery rate at which it is selected"
    rank = "of the novel structure that it is, or is equivalent to"
    by_symmetry = "the known prototypes that have its protostructure: a second opinion"
    of_selection: tuple[tuple[str, str, Kind, str, str], ...] = (
        ("selection.is_ood", f"Selected (FDR {share})", "boolean", "is_ood", selected),
        ("ood_q_value", "Out-of-distribution q-value", "number", "ood_q_value", q_value),
        ("nearest_training_id", "Nearest training structure", "category", "nearest_training_id", ""),
        ("symmetry_class", "Prototype by symmetry", "category", "symmetry_class", by_symmetry),
    )
    return [
        *(Column(*each[:4], description=each[4], view=SELECTION) for each in of_selection),
        Column("novel_rank", "Rank among the novel", "integer", "novel_rank", description=rank, view=NOVEL),
    ]


def quoted(identifier: str) -> str:
    """Return an SQL identifier."""
    return '"' + identifier.replace('"', '""') + '"'


def _views(tables: PageTables) -> dict[str, dict[str, str]]:
    """Columns, with their types, of the views with one row per structure; this page's own views first."""
    own = [tables.view(tables.map), tables.view(tables.predictions), "structures"]
    shown = [str(row[0]) for row in tables.connection.sql("SHOW TABLES").fetchall()]
    found = {view: tables.columns(view) for view in dict.fromkeys([*own, *shown]) if _holds_structures(view)}
    return {view: columns for view, columns in found.items() if "structure_id" in columns}


def _holds_structures(view: str) -> bool:
    return view not in NOT_BY_STRUCTURE and not view.startswith("spm_")


def _named(tables: PageTables, views: dict[str, dict[str, str]], name: str) -> Column:
    """Find a column by its name, `view.column`, or a key of `extra_json`."""
    view, _, column = name.rpartition(".")
    for each, columns in views.items():
        if (each == view and column in columns) or name in columns:
            found = column if each == view else name
            unit = tables.unit(each, found)
            return _column(Column(name, name, "number", quoted(found), unit, view=each), columns[found])
    kind = _extra_kind(tables, name)
    if kind is None:
        raise CrysiftError(_unknown(views, _extra_keys(tables), name))
    value = f"json_extract_string(structures.extra_json, {_json_path(name)})"
    sql = value if kind == "category" else f"TRY_CAST({value} AS DOUBLE)"
    return Column(name, name, kind, sql)


def _column(named: Column, sql_type: str) -> Column:
    """Return the column with the kind that follows from its SQL type."""
    kind = "number" if sql_type.startswith("DECIMAL") else KINDS.get(sql_type)
    if kind is None:
        raise CrysiftError(
            f"column {named.name}: {named.view}.{named.sql} holds {sql_type.lower()}, no number, text or "
            "truth value: name another column"
        )
    return replace(named, kind=kind)


def _extra_kind(tables: PageTables, key: str) -> Kind | None:
    """How to show the values of a key of `extra_json`: as numbers where most are; None without any."""
    value = f"json_extract_string(extra_json, {_json_path(key)})"
    [(held, numeric)] = tables.connection.sql(
        f"SELECT count({value}), count(TRY_CAST({value} AS DOUBLE)) FROM structures"
    ).fetchall()
    if not held:
        return None
    return "number" if 2 * numeric > held else "category"


def _json_path(key: str) -> str:
    path = '$."' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return "'" + path.replace("'", "''") + "'"


def _extra_keys(tables: PageTables) -> set[str]:
    keys = tables.connection.sql(
        "SELECT DISTINCT unnest(json_keys(extra_json)) FROM "
        f"(SELECT extra_json FROM structures WHERE extra_json IS NOT NULL LIMIT {LOOKED_AT})"
    ).fetchall()
    return {str(key) for (key,) in keys}


def _unknown(views: dict[str, dict[str, str]], extra: set[str], name: str) -> str:
    known = {
        column for columns in views.values() for column, kind in columns.items() if kind in KINDS
    } | extra
    near = get_close_matches(name, sorted(known), n=3, cutoff=0.5)
    meant = f"did you mean {' or '.join(near)}?" if near else f"the tables have {', '.join(sorted(known))}"
    return f"column {name}: no table has it with a row per structure, nor has any extra_json; {meant}"
