"""Structures of a study in a store, featurized and classified as those of a user are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import CrysiftError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.execution import Listener
    from engine.structure import Structure
    from jobs.settings import ExecutionSettings, ScreenSettings
    from jobs.studies.study import StudyRequest

SAID = (
    "structure_id",
    "status",
    "prototype",
    "probability",
    "top",
    "mutual_information",
    "predictive_entropy",
    "variation_ratio",
    "n_passes",
    "ood_score",
    "ood_p_value",
    "is_ood",
    "nearest_class",
)
"""Columns of the predictions that a study's table has too."""


@dataclass(frozen=True, eq=False)
class Classified:
    """What the network says of N structures, in their order."""

    predictions: pa.Table
    """N rows of the table `predictions_arise`."""
    descriptors: NDArray[np.float64]
    """(N, 316), SOAP vectors."""

    @property
    def said(self) -> pa.Table:
        """Predictions without the representation and the errors."""
        return self.predictions.select(SAID)

    @property
    def representations(self) -> NDArray[np.float64]:
        """(N, width), the last hidden layer before its ReLU."""
        return _lists(self.predictions["representation"])


def classify(
    structures: Sequence[Structure],
    folder: Path,
    request: StudyRequest,
    execution: ExecutionSettings,
    listener: Listener,
) -> Classified:
    """Write the structures to a Parquet file in `folder`, and screen it into a store beside it.

    What the store holds is not computed again. Raises CrysiftError where the weights are of another network.
    """
    from engine.structure import candidates_table
    from jobs.screening import screen

    size = "quick" if request.quick else "full"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"structures-{size}.parquet"
    pq.write_table(candidates_table(structures), path)
    result = screen(path, folder / f"store-{size}", _settings(request, execution), listener)
    ids = [structure.structure_id for structure in structures]
    vectors = result.tables["features_soap"].scan(["structure_id", "vector"]).to_table()
    return Classified(
        _in_order(result.predictions([*SAID, "error_message", "representation"]), ids),
        _lists(_in_order(vectors, ids)["vector"]),
    )


def _settings(request: StudyRequest, execution: ExecutionSettings) -> ScreenSettings:
    """Vectors as the model reads them, and its predictions beside those of other models."""
    from dataclasses import replace

    from engine.descriptors.soap import SoapSettings
    from jobs.settings import ScreenSettings
    from models.stage import PredictArise
    from models.weights_file import model_metadata

    network = PredictArise(passes=request.passes, seed=request.seed, weights=request.weights)
    _ = network.reads  # refuses weights of another architecture
    of_model = {**model_metadata(request.weights)["features"], "backend": "kernel"}
    return ScreenSettings(
        models=(network,), soap=SoapSettings(**of_model), execution=replace(execution, add_table=True)
    )


def _in_order(rows: pa.Table, ids: Sequence[str]) -> pa.Table:
    place = {structure_id: row for row, structure_id in enumerate(rows["structure_id"].to_pylist())}
    lost = [structure_id for structure_id in ids if structure_id not in place]
    if lost:
        raise CrysiftError(
            f"{len(lost)} of {len(ids)} structures of the study have no predictions, the first is {lost[0]}: "
            "the table `rejects` of the study's store says why"
        )
    return rows.take([place[structure_id] for structure_id in ids])


def _lists(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Rows of a column of fixed-size lists (N, width); NaN where there is none."""
    from engine.columns import contiguous, fixed_size_values

    values = fixed_size_values(contiguous(column)).reshape(len(column), -1).astype(np.float64)
    values[column.is_null().to_numpy()] = np.nan
    return np.asarray(values)
