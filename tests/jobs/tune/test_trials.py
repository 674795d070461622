"""Trials are rows of Parquet tables, and what is read again is what was written."""

from pathlib import Path

import pyarrow.parquet as pq

from jobs.tune.trials import (
    RANKED_SCHEMA,
    RANKING_TABLE,
    SCHEMA,
    SETS_SCHEMA,
    TABLE,
    Trial,
    network_path,
    read_trials,
    write_tables,
    write_trial,
)
from models.training.hyperparameters import Hyperparameters
from models.training.ranking import Ranked, Score

TABLE_1 = Hyperparameters((256, 512, 256), 64, 2.16e-4, 0.0317)


def trial(number: int, accuracy: float, chosen: Hyperparameters = TABLE_1) -> Trial:
    return Trial(number, chosen, 30, 28, 0.02, 0.03, accuracy, 12.5)


def with_network(folder: Path, number: int) -> None:
    path = network_path(folder, number)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"weights")


def test_finished_trials_are_read_as_they_were_written(tmp_path: Path) -> None:
    wide = Hyperparameters((512, 512), 128, 1e-3, 0.02)
    written = [trial(0, 0.9), trial(7, 0.95, wide)]
    for each in reversed(written):
        write_trial(tmp_path, each)
        with_network(tmp_path, each.number)
    assert read_trials(tmp_path) == written
    assert read_trials(tmp_path / "elsewhere") == []
    table = pq.read_table(tmp_path / "trials")
    assert table.schema.names == SCHEMA.names
    assert table["parameters"].to_pylist() == [371_820, 316 * 512 + 512 * 512 + 512 * 108 + 512 + 512 + 108]


def test_a_trial_whose_network_is_gone_is_trained_again(tmp_path: Path) -> None:
    for number in (0, 1):
        write_trial(tmp_path, trial(number, 0.9))
    with_network(tmp_path, 1)
    assert [each.number for each in read_trials(tmp_path)] == [1]


def test_tables_hold_all_trials_with_the_ranks_of_those_that_were_ranked(tmp_path: Path) -> None:
    trials = [trial(0, 0.90), trial(1, 0.97), trial(2, 0.95)]
    sets = {"pristine": Score(10, 9, 0.2), "δ 1 %": Score(20, 20, 0.1)}
    worse = {"pristine": Score(10, 8, 0.2), "δ 1 %": Score(20, 20, 0.1)}
    write_tables(tmp_path, trials, {2: Ranked(sets), 1: Ranked(worse)})
    table = pq.read_table(tmp_path / TABLE)
    assert table.schema.equals(RANKED_SCHEMA)
    assert table["rank"].to_pylist() == [None, 2, 1]
    assert table["ranked_accuracy"].to_pylist() == [None, 0.9, 0.95]
    ranking = pq.read_table(tmp_path / RANKING_TABLE)
    assert ranking.schema.equals(SETS_SCHEMA)
    assert ranking.slice(0, 2).to_pylist() == [
        {"trial": 2, "set": "pristine", "structures": 10, "correct": 9, "log_loss": 0.2},
        {"trial": 2, "set": "δ 1 %", "structures": 20, "correct": 20, "log_loss": 0.1},
    ]


def test_every_set_counts_alike_and_the_log_loss_breaks_ties() -> None:
    sure = Ranked({"small": Score(2, 1, 0.1), "large": Score(100, 100, 0.1)})
    unsure = Ranked({"small": Score(2, 1, 0.3), "large": Score(100, 100, 0.1)})
    better = Ranked({"small": Score(2, 2, 0.9), "large": Score(100, 99, 0.9)})
    assert sure.accuracy == 0.75
    assert sorted([unsure, sure, better], key=lambda ranked: ranked.key) == [better, sure, unsure]
