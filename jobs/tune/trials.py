"""The trials of a search as files: one Parquet file per finished trial, and the table of all."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from models.training.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.training.ranking import Ranked

TRIALS = "trials"
NETWORKS = "networks"
TABLE = "trials.parquet"
RANKING_TABLE = "ranking.parquet"

SCHEMA = pa.schema(
    [
        pa.field("trial", pa.int32(), nullable=False),
        pa.field("layers", pa.int32(), nullable=False),
        pa.field("hidden", pa.list_(pa.int32()), nullable=False),
        pa.field("parameters", pa.int32(), nullable=False),
        pa.field("batch", pa.int32(), nullable=False),
        pa.field("learning_rate", pa.float64(), nullable=False),
        pa.field("dropout", pa.float64(), nullable=False),
        pa.field("epochs", pa.int32(), nullable=False),
        pa.field("best_epoch", pa.int32(), nullable=False),
        pa.field("training_loss", pa.float64(), nullable=False),
        pa.field("validation_loss", pa.float64(), nullable=False),
        pa.field("validation_accuracy", pa.float64(), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),
    ]
)
"""A finished trial: losses and accuracy (dropout off) are those of the best epoch, seconds on one core."""

RANKED_SCHEMA = pa.schema(
    [
        *SCHEMA,
        pa.field("rank", pa.int32()),
        pa.field("ranked_accuracy", pa.float64()),
        pa.field("ranked_log_loss", pa.float64()),
    ]
)
"""All trials with the rank of those that the second stage saw, from 1, and null for the others."""

SETS_SCHEMA = pa.schema(
    [
        pa.field("trial", pa.int32(), nullable=False),
        pa.field("set", pa.string(), nullable=False),
        pa.field("structures", pa.int32(), nullable=False),
        pa.field("correct", pa.int32(), nullable=False),
        pa.field("log_loss", pa.float64(), nullable=False),
    ]
)
"""The second stage: one row per trial and set of structures."""


@dataclass(frozen=True)
class Trial:
    """A finished training."""

    number: int
    chosen: Hyperparameters
    epochs: int
    best_epoch: int
    training_loss: float
    validation_loss: float
    validation_accuracy: float
    seconds: float

    @property
    def key(self) -> tuple[float, float, int]:
        """Sorts the best first: by validation accuracy, then loss, then age."""
        return -self.validation_accuracy, self.validation_loss, self.number

    def row(self) -> dict[str, Any]:
        """The trial as a row of `SCHEMA`."""
        values = asdict(self)
        del values["number"], values["chosen"]
        chosen = self.chosen
        return {
            "trial": self.number,
            "layers": len(chosen.hidden),
            "parameters": chosen.parameters,
            **chosen.as_json(),
            **values,
        }


def write_trial(folder: Path, trial: Trial) -> None:
    """Add a finished trial; a reader sees the whole file or none."""
    (folder / TRIALS).mkdir(parents=True, exist_ok=True)
    _write(
        pa.Table.from_pylist([trial.row()], schema=SCHEMA),
        folder / TRIALS / f"{trial_name(trial.number)}.parquet",
    )


def read_trials(folder: Path) -> list[Trial]:
    """All finished trials whose network is there, by number."""
    found = (pq.read_table(path, schema=SCHEMA) for path in sorted((folder / TRIALS).glob("trial-*.parquet")))
    trials = [_trial(row) for table in found for row in table.to_pylist()]
    return [trial for trial in trials if network_path(folder, trial.number).is_file()]


def write_tables(folder: Path, trials: Sequence[Trial], ranked: Mapping[int, Ranked]) -> None:
    """Write all trials, and the scores of the `ranked` ones, whose order is their rank, as one table each."""
    ranks = {number: rank for rank, number in enumerate(ranked, start=1)}
    rows = [
        {
            **trial.row(),
            "rank": ranks.get(trial.number),
            "ranked_accuracy": ranked[trial.number].accuracy if trial.number in ranked else None,
            "ranked_log_loss": ranked[trial.number].log_loss if trial.number in ranked else None,
        }
        for trial in trials
    ]
    _write(pa.Table.from_pylist(rows, schema=RANKED_SCHEMA), folder / TABLE)
    scores = [
        {"trial": number, "set": name, **asdict(score)}
        for number, of_trial in ranked.items()
        for name, score in of_trial.scores.items()
    ]
    _write(pa.Table.from_pylist(scores, schema=SETS_SCHEMA), folder / RANKING_TABLE)


def trial_name(number: int) -> str:
    """The name of a trial's files."""
    return f"trial-{number:04d}"


def network_path(folder: Path, number: int) -> Path:
    """Where the weights of a trial's network are kept."""
    return folder / NETWORKS / f"{trial_name(number)}.safetensors"


def _trial(row: dict[str, Any]) -> Trial:
    chosen = Hyperparameters(tuple(row["hidden"]), row["batch"], row["learning_rate"], row["dropout"])
    figures = ("epochs", "best_epoch", "training_loss", "validation_loss", "validation_accuracy", "seconds")
    return Trial(row["trial"], chosen, **{name: row[name] for name in figures})


def _write(table: pa.Table, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    pq.write_table(table, temporary)
    temporary.replace(path)
