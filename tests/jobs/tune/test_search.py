"""A search proposes what the space allows, learns from what is finished, and loses nothing when it stops."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file

from engine.errors import CrysiftError
from jobs.tune.run import _check_settings
from jobs.tune.search import SearchSettings, _proposals, hyperparameters_of
from jobs.tune.trials import Trial, network_path, read_trials
from models.training.hyperparameters import Hyperparameters, SearchSpace, network_of, train_with
from models.training.train import TrainingSettings, plain_logits, stratified_split

SPACE = SearchSpace()


def value_of(chosen: Hyperparameters) -> float:
    """An accuracy that is best for two layers at a learning rate of 1e-3."""
    return 0.99 - 0.02 * (len(chosen.hidden) - 2) - 0.05 * abs(math.log10(chosen.learning_rate) + 3)


def proposed(settings: SearchSettings, done: list[Trial], count: int) -> list[dict[str, Any]]:
    """What is proposed, each proposal being judged before the next."""
    search = _proposals(settings, done)
    configs = []
    for number in range(count):
        config = search.suggest(str(number))
        result = {"validation_accuracy": value_of(hyperparameters_of(config)), "training_iteration": 1}
        search.on_trial_complete(str(number), result)
        configs.append(config)
    return configs


def finished(configs: list[dict[str, Any]]) -> list[Trial]:
    chosen = [hyperparameters_of(config) for config in configs]
    return [
        Trial(config["number"], each, 1, 1, 0.0, 0.0, value_of(each), 0.0)
        for config, each in zip(configs, chosen, strict=True)
    ]


def test_proposals_stay_in_the_published_space_and_are_numbered() -> None:
    configs = proposed(SearchSettings(), [], 30)
    assert [config["number"] for config in configs] == list(range(30))
    for chosen in map(hyperparameters_of, configs):
        assert len(chosen.hidden) in SPACE.layers
        assert set(chosen.hidden) <= set(SPACE.neurons)
        assert chosen.batch in SPACE.batch
        assert SPACE.learning_rate[0] <= chosen.learning_rate <= SPACE.learning_rate[1]
        assert SPACE.dropout[0] <= chosen.dropout <= SPACE.dropout[1]
    assert {len(hyperparameters_of(config).hidden) for config in configs} == set(SPACE.layers)
    assert proposed(SearchSettings(), [], 30) == configs
    assert proposed(SearchSettings(seed=1), [], 30) != configs


def test_proposals_go_on_from_finished_trials_without_repeating_them() -> None:
    first = proposed(SearchSettings(), [], 30)
    done = [trial for trial in finished(first) if trial.number not in (3, 29)]  # two were not finished
    second = proposed(SearchSettings(), done, 20)
    assert [config["number"] for config in second] == list(range(29, 49))
    known = {trial.chosen for trial in done}
    assert not known & {hyperparameters_of(config) for config in second}

    def mean(configs: list[dict[str, Any]]) -> float:
        return float(np.mean([value_of(hyperparameters_of(config)) for config in configs]))

    assert mean(second) > mean(first[:10]) + 0.01  # the first ten are drawn at random


def test_a_network_is_made_again_of_its_trial() -> None:
    random = np.random.default_rng(0)
    classes = np.repeat(np.arange(4), 30)
    vectors = (np.eye(4, 12)[classes] * 3 + random.normal(size=(120, 12))).astype(np.float32)
    chosen = Hyperparameters((32, 16), 16, 5e-3, 0.03)
    settings = TrainingSettings(epochs=8, sparsity=0.0)
    trained = train_with(chosen, vectors, classes, settings)
    network = network_of(chosen, trained.network.state_dict())
    _, held_out = stratified_split(classes, settings.validation, settings.seed)
    import torch

    predicted = plain_logits(network, torch.from_numpy(vectors[held_out])).argmax(dim=1).numpy()
    assert (predicted == classes[held_out]).mean() == pytest.approx(trained.best.validation_accuracy)
    assert network.shape.dropout == 0.03


def test_a_folder_of_another_search_is_refused_naming_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    _check_settings(path, {"seed": 42, "training epochs": 30})
    _check_settings(path, {"seed": 42, "training epochs": 30})
    with pytest.raises(CrysiftError, match=r"training epochs: 30 there, 60 asked"):
        _check_settings(path, {"seed": 42, "training epochs": 60})


def command(out: Path, *options: str) -> list[str]:
    settings = ("--quick", "--epochs", "1", "--workers", "1", "--passes", "5", "--best", "2", "--json")
    return [sys.executable, "-m", "crysift", "tune", "arise", "--search", str(out), *settings, *options]


@pytest.mark.slow
def test_an_interrupted_search_goes_on_with_the_same_command(tmp_path: Path) -> None:
    out = tmp_path / "tuning"
    started = subprocess.Popen(command(out, "--trials", "200"), stdout=subprocess.DEVNULL)
    until = time.monotonic() + 500
    while len(list((out / "trials").glob("*.parquet"))) < 2:
        assert started.poll() is None
        assert time.monotonic() < until
        time.sleep(0.1)
    started.send_signal(signal.SIGINT)
    assert started.wait(60) == 130
    before = {trial.number: trial for trial in read_trials(out)}
    trials = len(before) + 2
    ended = subprocess.run(
        command(out, "--trials", str(trials)), capture_output=True, text=True, check=True, env={**os.environ}
    )
    after = {trial.number: trial for trial in read_trials(out)}
    assert len(after) == trials
    assert before.items() <= after.items()
    best = json.loads(ended.stdout)["best"]
    rows = pq.read_table(out / "trials.parquet").to_pylist()
    assert sorted(row["rank"] for row in rows if row["rank"]) == [1, 2]
    (winner,) = (row for row in rows if row["rank"] == 1)
    assert (winner["trial"], winner["hidden"]) == (best["trial"], best["hyperparameters"]["hidden"])
    sets = pq.read_table(out / "ranking.parquet").to_pylist()
    assert len(sets) == 2 * 8
    assert {row["structures"] for row in sets} == {396, 588}
    weights = load_file(network_path(out, winner["trial"]))
    assert weights["layers.0.weight"].shape == (winner["hidden"][0], 316)
