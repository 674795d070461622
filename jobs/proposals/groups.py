"""The dense groups among the novel structures of a store, and which of their members shows them best."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.columns import contiguous
from engine.errors import CrysiftError
from engine.structure import Structure
from jobs.landscape.joined import joined_tables
from jobs.views import add_view, add_whole
from models.ood import JointSpace

if TYPE_CHECKING:
    import duckdb

    from engine.store import Store, Table
    from models.weights_file import Model

_GROUPS = """WITH labelled AS (
        SELECT rank, novel.structure_id, count, protostructure
        FROM (SELECT rank, structure_id, count, unnest(members) AS member FROM novel WHERE count >= $least)
            AS novel
        LEFT JOIN (SELECT structure_id AS member, protostructure FROM protostructures) USING (member)),
    labels AS (
        SELECT rank, structure_id, count, protostructure, count(*) AS members FROM labelled GROUP BY ALL)
    SELECT rank, structure_id, count, arg_max(protostructure, (members, protostructure)) AS label,
        coalesce(max(members) FILTER (WHERE protostructure IS NOT NULL), 0) AS labelled
    FROM labels GROUP BY rank, structure_id, count ORDER BY count DESC, rank"""

_MEMBERS = """CREATE TEMP TABLE members AS
    SELECT rank, structure_id, formula, nsites, space_group, vector
    FROM (SELECT rank, unnest(members) AS structure_id FROM novel)
    JOIN (SELECT rank, label AS protostructure FROM groups) USING (rank)
    JOIN (SELECT structure_id, protostructure, space_group FROM protostructures)
        USING (structure_id, protostructure)
    JOIN (SELECT structure_id, formula, nsites FROM structures) USING (structure_id)
    JOIN (SELECT structure_id, vector FROM features WHERE status = 'ok') USING (structure_id)
    ORDER BY rank, structure_id"""


@dataclass(frozen=True)
class Group:
    """Novel structures that are equivalent to a network: a row of the table `novel`.

    `label` is the protostructure that most of the `count` members have, `labelled` how many do;
    `structure_id` is that of the member that stands for all.
    """

    rank: int
    structure_id: str
    count: int
    label: str | None
    labelled: int


@dataclass(frozen=True)
class Members:
    """The members of a group that have its label, those of the fewest atoms first, then by distance.

    The distance is that to the middle of all of them, in the joint space of the score.
    """

    ids: list[str]
    formulas: list[str]
    nsites: int
    space_group: int


class NovelGroups:
    """What a store's table `novel` says of equivalent structures, and what else the store knows of them."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, base: Model) -> None:
        """Ask on a connection with the views `novel`, `structures`, `protostructures` and `features`."""
        self._connection = connection
        self._base = base

    def dense(self, least: int) -> list[Group]:
        """Return the groups of at least so many members, the largest first.

        Raises CrysiftError where there is none, naming the largest.
        """
        rows = self._rows(_GROUPS, {"least": least})
        if not rows:
            raise CrysiftError(self._none(least))
        groups = [Group(**row) for row in rows]
        self._connection.register("groups", _table(groups))
        self._connection.execute(_MEMBERS)
        return groups

    def members(self, group: Group) -> Members:
        """Return the members of a dense group that have its label."""
        question = "SELECT * EXCLUDE (rank) FROM members WHERE rank = $rank ORDER BY structure_id"
        rows = self._connection.sql(question, params={"rank": group.rank}).to_arrow_table()
        values = contiguous(rows["vector"]).flatten().to_numpy().reshape(len(rows), -1)
        sites = rows["nsites"].to_numpy()
        order = np.lexsort((_from_middle(self._base, values), sites))
        formulas = rows["formula"].take(order).to_pylist()
        return Members(
            rows["structure_id"].take(order).to_pylist(),
            list(dict.fromkeys(formulas)),
            int(sites[order[0]]),
            int(rows["space_group"][int(order[0])].as_py()),
        )

    def structure(self, structure_id: str) -> Structure:
        """Read a structure of the store."""
        (row,) = self._rows("SELECT * FROM structures WHERE structure_id = $id", {"id": structure_id})
        return Structure.from_row(row)

    def _none(self, least: int) -> str:
        (row,) = self._rows("SELECT count(*) AS groups, max(count) AS largest FROM novel", {})
        if not row["groups"]:
            return "nothing in the store is novel: there is no structure to make a class of"
        return (
            f"the largest of {row['groups']:,} groups of equivalent novel structures has {row['largest']:,} "
            f"members, and a class is proposed from {least:,} on: lower --min-members, or screen more"
        )

    def _rows(self, question: str, values: dict[str, Any]) -> list[dict[str, Any]]:
        found = self._connection.sql(question, params=values)
        return list(found.to_arrow_table().to_pylist())


@contextmanager
def novel_groups(store: Store, base: Model, weights: str) -> Iterator[NovelGroups]:
    """Open what a store says of novel structures; `weights` is the name of the `base` that they are novel to.

    Raises CrysiftError for a store without the table `novel`, and for one made with another model.
    """
    novel, predictions = _made_with(store, base, weights)
    features = _table_in(store, "features_soap", str(predictions.fingerprint.source_table))
    with joined_tables(store, predictions, None) as connection:
        from engine.store import Superseded

        add_whole(connection, "novel", novel)
        add_view(connection, "features", features, features.part_names(), Superseded.of(store))
        yield NovelGroups(connection, base)


def _made_with(store: Store, base: Model, weights: str) -> tuple[Table, Table]:
    """Return the newest table `novel` and the predictions that it was made of, by the base."""
    if not store.existing("novel"):
        raise CrysiftError(
            f"{store.folder.url} holds no table novel, in which the novel structures are: `crysift screen` "
            "makes it"
        )
    novel = store.latest("novel")
    source = str(novel.fingerprint.source_table)
    if not source.startswith("predictions_arise"):
        raise CrysiftError(
            f"{novel.folder.url} was made from {source}, and classes are added to the network arise: screen "
            "with --models arise"
        )
    made_with = str(novel.fingerprint.model)
    if made_with != base.sha256:
        raise CrysiftError(
            f"{novel.folder.url} tells what is novel to another model than {weights} (SHA-256 "
            f"{made_with[:12]}…, not {base.sha256[:12]}…): name that one with --weights, or screen with "
            f"--weights {weights}"
        )
    return novel, _table_in(store, "predictions_arise", source)


def _table_in(store: Store, name: str, folder: str) -> Table:
    for table in store.existing(name):
        if table.folder.name == folder:
            return table
    raise CrysiftError(
        f"{store.folder.url} does not hold {folder}, which its table novel was made of: run the `crysift "
        "screen` that made it again"
    )


def _table(groups: list[Group]) -> Any:
    import pyarrow as pa

    return pa.table({"rank": [group.rank for group in groups], "label": [group.label for group in groups]})


def _from_middle(base: Model, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Distances (B,) of descriptors (B, width) to their mean direction in the joint space."""
    inputs = torch.tensor(vectors, dtype=torch.float32)
    points = JointSpace(base.network.head, base.reference.units)(inputs)
    middle = torch.nn.functional.normalize(points.mean(dim=0), dim=0)
    return np.asarray(torch.linalg.vector_norm(points - middle, dim=1).numpy(), np.float32)
