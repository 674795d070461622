"""What a screening selected as novel: views for the columns of a page, and the ranked list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobs.page.blocks import Block, json_block
from jobs.page.columns import NOVEL, SELECTION
from jobs.page.rows import PAGE
from jobs.tables import json_value

if TYPE_CHECKING:
    from jobs.page.tables import PageTables

MOST_LISTED = 10_000
"""Novel structures in the list: some 60 bytes of the page each."""


def add_views(tables: PageTables) -> None:
    """Create the views `SELECTION`, and `NOVEL` with the rank of the novel structure that each row is.

    Both leave out what a structure's newer version, with other predictions, has made void.
    """
    if tables.answer is None:
        return
    tables.connection.execute(
        f"""CREATE VIEW {SELECTION} AS SELECT * FROM {tables.view(tables.answer.selection)}
        SEMI JOIN {tables.view(tables.predictions)} USING (structure_id, ood_score)"""
    )
    tables.connection.execute(
        f"""CREATE VIEW {NOVEL} AS SELECT structure_id, novel_rank FROM
        (SELECT unnest(members) AS structure_id, rank AS novel_rank FROM {tables.view(tables.answer.novel)})
        SEMI JOIN {SELECTION} USING (structure_id)"""
    )


def novel_list(tables: PageTables) -> tuple[dict[str, Any] | None, list[Block]]:
    """Describe the list of novel structures, with its block; None where the store has none.

    ``row`` is that of the representative, null where the page lacks it or has a newer version of it.
    """
    if tables.answer is None:
        return None, []
    answer = tables.connection.sql(
        f"""SELECT novel.rank, representative."row" AS "row", novel.structure_id, novel.count, novel.formula,
        novel.ood_score, novel.ood_q_value, novel.nearest_class, novel.protostructure, novel.symmetry_class
        FROM {tables.view(tables.answer.novel)} AS novel LEFT JOIN {PAGE} AS representative
        ON representative.structure_id = novel.structure_id AND representative.novel_rank = novel.rank
        ORDER BY novel.rank LIMIT {MOST_LISTED}"""
    ).to_arrow_table()
    listed = [json_value(row) for row in answer.to_pylist()]
    [(count, selected)] = tables.connection.sql(
        f"""SELECT (SELECT count(*) FROM {tables.view(tables.answer.novel)}),
        (SELECT count(*) FROM {tables.view(tables.answer.selection)} WHERE is_ood)"""
    ).fetchall()
    described = {"block": "novel", "count": count, "selected": selected, "fdr": tables.answer.fdr}
    return described, [json_block("novel", listed)]
