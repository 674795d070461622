"""The table `selection`: what of a screening is out of distribution, at a false discovery rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from engine.columns import contiguous
from engine.schema import SELECTION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import duckdb

_ROWS = """SELECT structure_id, predictions.status, predictions.error_stage, predictions.error_class,
        predictions.error_message, prototype, probability, mutual_information, ood_score, ood_p_value,
        nearest_class, nearest_training_id, protostructure
    FROM predictions_{model} AS predictions
    LEFT JOIN (SELECT structure_id, protostructure FROM protostructures) USING (structure_id)
    ORDER BY structure_id"""


def selection_rows(
    connection: duckdb.DuckDBPyConnection, model: str, fdr: float, classes: Mapping[str, Sequence[str]]
) -> pa.Table:
    """Select among the structures that a network was asked about: `SELECTION`, in the order of their ids.

    `fdr` is the false discovery rate, `classes` are those of the network by protostructure.
    """
    rows = connection.sql(_ROWS.format(model=model)).to_arrow_table()
    q = q_values(contiguous(rows["ood_p_value"]).to_numpy(zero_copy_only=False))
    of_type = {kind: ", ".join(labels) for kind, labels in classes.items()}
    missing = np.isnan(q)
    columns = {
        **{name: contiguous(rows[name]) for name in rows.column_names},
        "ood_q_value": pa.array(q, mask=missing),
        "is_ood": pa.array(q <= fdr, mask=missing),
        "symmetry_class": pa.array(map(of_type.get, rows["protostructure"].to_pylist()), pa.string()),
    }
    return pa.table([columns[field.name].cast(field.type) for field in SELECTION], schema=SELECTION)


def q_values(p: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the q-values (B,) of p-values (B,): the least false discovery rate at which each is selected.

    NaN, of what failed, stays NaN and counts for nothing. Benjamini and Hochberg, J. R. Statist. Soc. B 57,
    289 (1995); that the false discovery rate is kept with conformal p-values, which share one calibration:
    Bates et al., Ann. Statist. 51, 149 (2023), theorem 2.
    """
    q = np.full(len(p), np.nan)
    known = ~np.isnan(p)
    if known.any():
        q[known] = false_discovery_control(p[known].astype(np.float64), method="bh")
    return q
