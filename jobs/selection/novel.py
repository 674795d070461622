"""The table `novel`: what is selected, each structure once, the farthest from all known ones first."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv
import torch

from engine.columns import contiguous
from engine.schema import NOVEL
from jobs.selection.equivalents import leaders
from models.ood import JointSpace, unit_distance
from models.weights_file import load_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

    from models.stage import PredictStage
    from models.weights_file import Model

BATCH_ROWS = 16_384

_IDS = "SELECT structure_id FROM selection WHERE is_ood ORDER BY ood_score DESC, structure_id"

_POINTS = """SELECT structure_id, vector, representation
    FROM (SELECT structure_id, ood_score FROM selection WHERE is_ood)
    JOIN (SELECT structure_id, vector FROM {features}) USING (structure_id)
    JOIN (SELECT structure_id, representation FROM {predictions}) USING (structure_id)
    ORDER BY ood_score DESC, structure_id"""

_NOVEL = """SELECT (row_number() OVER (ORDER BY ood_score DESC, structure_id))::INTEGER AS rank, structure_id,
        groups.count, formula, nsites, space_group, prototype, probability, mutual_information, ood_score,
        ood_p_value, ood_q_value, nearest_class, nearest_training_id, selection.protostructure,
        symmetry_class, groups.members
    FROM groups JOIN selection USING (structure_id)
    JOIN (SELECT structure_id, formula, nsites FROM structures) USING (structure_id)
    LEFT JOIN (SELECT structure_id, space_group FROM protostructures) USING (structure_id)
    ORDER BY rank"""


def novel_rows(connection: duckdb.DuckDBPyConnection, stage: PredictStage) -> pa.Table:
    """Rank what the view `selection` selects, equivalent structures once: `NOVEL`.

    Structures are equivalent that are no farther apart in the joint space of the score (`models.ood`) than
    the distance at which the score is one: as little as a known structure may differ from its class. Elements
    and lengths make no difference, nor does the protostructure, which defects destroy.
    """
    model = load_model(stage.weights)
    ids = [row[0] for row in connection.sql(_IDS).fetchall()]
    standing = leaders(_points(connection, stage, model), unit_distance(model.reference))
    members: dict[str, list[str]] = {}
    for member, leader in zip(ids, standing, strict=True):
        members.setdefault(ids[leader], []).append(member)
    groups = {
        "structure_id": pa.array(members, pa.string()),
        "count": pa.array(map(len, members.values()), pa.int64()),
        "members": pa.array(members.values(), pa.list_(pa.string())),
    }
    connection.register("groups", pa.table(groups))
    rows = connection.sql(_NOVEL).to_arrow_table()
    return pa.table([contiguous(rows[field.name]).cast(field.type) for field in NOVEL], schema=NOVEL)


def _points(
    connection: duckdb.DuckDBPyConnection, stage: PredictStage, model: Model
) -> Iterator[torch.Tensor]:
    """Yield what is selected as blocks of points of the joint space, the farthest first."""
    space = JointSpace(model.network.head, model.reference.units)
    names = {"features": stage.source, "predictions": stage.name}
    for batch in connection.sql(_POINTS.format(**names)).to_arrow_reader(BATCH_ROWS):
        vectors, representations = (_numbers(batch[name]) for name in ("vector", "representation"))
        yield space(model.network.head_inputs(vectors, representations))


def _numbers(lists: pa.Array) -> torch.Tensor:
    """Lists of one length as a matrix (rows, length)."""
    return torch.tensor(lists.flatten().to_numpy(zero_copy_only=False), dtype=torch.float32).reshape(
        len(lists), -1
    )


def as_csv(novel: pa.Table) -> bytes:
    """Lay out the table as CSV, the members of a group in one field with spaces between them."""
    members = [" ".join(ids) for ids in novel["members"].to_pylist()]
    place = novel.schema.get_field_index("members")
    file = io.BytesIO()
    pyarrow.csv.write_csv(novel.set_column(place, "members", pa.array(members, pa.string())), file)
    return file.getvalue()
