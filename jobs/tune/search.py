"""The first stage of a search: trainings on Ray Tune, proposed by a tree-structured Parzen estimator."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import CrysiftError
from engine.execution.cluster import LOCAL, Cluster
from jobs.tune.trials import Trial, network_path, read_trials, write_trial
from models.training.hyperparameters import Hyperparameters, SearchSpace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import optuna
    from ray.tune import Callback, ResultGrid

    from models.training.train import TrainingSettings

METRIC = "validation_accuracy"
STUDY = "crysift"
_BYTES_PER_TRIAL = 1024**3


@dataclass(frozen=True)
class SearchSettings:
    """How many networks are trained, of which kinds, and where."""

    trials: int = 50
    """Trainings in all, those of earlier calls included."""
    workers: int = 2
    """Trainings at a time, each on one core. The fewer, the more each proposal knows."""
    seed: int = 42
    """Of the proposals."""
    space: SearchSpace = field(default_factory=SearchSpace)
    cluster: Cluster = LOCAL
    """A Ray cluster that runs already and sees the folder; by default one is started on this machine."""


@dataclass(frozen=True)
class SearchEvents:
    """Who is told what happens."""

    on_epoch: Callable[[int, int, float], None] = lambda *_: None
    """Takes a trial's number, its epoch and the epoch's validation accuracy."""
    on_trial: Callable[[Trial], None] = lambda _: None
    """Takes a finished trial."""


def search(
    folder: Path,
    data: Path,
    settings: SearchSettings,
    optimisation: TrainingSettings,
    events: SearchEvents | None = None,
) -> list[Trial]:
    """Train networks until `settings.trials` are finished; returns all, by number.

    `data` is an npz file of `vectors` (N, inputs) and `classes` (N,), which every worker reads.
    `optimisation` is the same for all trainings, but for batch and learning rate. A finished
    trial is a file in `folder`: after an interruption the same call trains what is missing, and what is
    proposed rests on all finished trials. No training is stopped early, as in the published search.
    Raises CrysiftError where trainings failed.
    """
    done = read_trials(folder)
    events = events or SearchEvents()
    for trial in done:
        events.on_epoch(trial.number, trial.epochs, trial.validation_accuracy)
    missing = settings.trials - len(done)
    if missing <= 0:
        return done
    _prepare_environment()
    from ray import tune

    training = tune.with_parameters(
        _train_trial,
        folder=str(folder.resolve()),
        data=str(data.resolve()),
        optimisation=optimisation,
    )
    with _ray(settings), tempfile.TemporaryDirectory(prefix="crysift-tune-") as scratch:
        tuner = tune.Tuner(
            tune.with_resources(training, {"cpu": 1}),
            tune_config=tune.TuneConfig(
                num_samples=missing,
                max_concurrent_trials=settings.workers,
                search_alg=_proposals(settings, done),
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(storage_path=scratch, verbose=0, callbacks=[_recorder(folder, events)]),
        )
        _check(tuner.fit(), folder)
    return read_trials(folder)


def hyperparameters_of(config: dict[str, Any]) -> Hyperparameters:
    """What a proposal says."""
    hidden = tuple(int(config[f"neurons_{layer}"]) for layer in range(config["layers"]))
    return Hyperparameters(hidden, config["batch"], config["learning_rate"], config["dropout"])


def _proposals(settings: SearchSettings, done: Sequence[Trial]) -> Any:
    """The estimator, told of the trials that are done; it starts to propose after ten random ones."""
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, study_name=STUDY, direction="maximize")
    for trial in done:
        study.add_trial(_finished(trial, settings.space))
    first = max((trial.number for trial in done), default=-1) + 1 - len(done)

    seed = int(np.random.SeedSequence([settings.seed, len(done)]).generate_state(1)[0])
    sampler = optuna.samplers.TPESampler(seed=seed)
    return OptunaSearch(
        partial(_propose, space=settings.space, first=first),
        metric=METRIC,
        mode="max",
        sampler=sampler,
        storage=storage,
        study_name=STUDY,
    )


def _propose(trial: optuna.Trial, space: SearchSpace, first: int) -> dict[str, Any]:
    """Values for the study's trial, and its number: `first` is the study's first one's."""
    _suggest(trial, space)
    return {"number": trial.number + first}


def _suggest(trial: optuna.trial.BaseTrial, space: SearchSpace) -> None:
    """Ask for every value; a network has as many widths as layers."""
    for layer in range(trial.suggest_categorical("layers", space.layers)):
        trial.suggest_categorical(f"neurons_{layer}", space.neurons)
    trial.suggest_categorical("batch", space.batch)
    trial.suggest_float("learning_rate", *space.learning_rate, log=True)
    trial.suggest_float("dropout", *space.dropout)


def _finished(trial: Trial, space: SearchSpace) -> optuna.trial.FrozenTrial:
    """What the estimator is told of a trial of an earlier call."""
    import optuna

    chosen = trial.chosen
    neurons = {f"neurons_{layer}": units for layer, units in enumerate(chosen.hidden)}
    values = {name: getattr(chosen, name) for name in ("batch", "learning_rate", "dropout")}
    fixed = optuna.trial.FixedTrial({"layers": len(chosen.hidden), **neurons, **values})
    _suggest(fixed, space)
    return optuna.trial.create_trial(
        params=fixed.params, distributions=fixed.distributions, value=trial.validation_accuracy
    )


def _train_trial(config: dict[str, Any], folder: str, data: str, optimisation: TrainingSettings) -> None:
    """Train one network in a worker, keep it, and report its best epoch last."""
    import torch
    from ray import tune
    from safetensors.torch import save

    from models.training.hyperparameters import train_with
    from models.training.train import Epoch

    torch.set_num_threads(1)
    began = time.perf_counter()
    best = 0.0

    def report(epoch: Epoch) -> None:
        nonlocal best
        best = max(best, epoch.validation_accuracy)
        tune.report({METRIC: best, "epoch": epoch.number})

    with np.load(data) as arrays:
        vectors, classes = arrays["vectors"], arrays["classes"]
    trained = train_with(hyperparameters_of(config), vectors, classes, optimisation, report)
    path = network_path(Path(folder), config["number"])
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(
        save({name: value.contiguous() for name, value in trained.network.state_dict().items()})
    )
    temporary.replace(path)
    figures = {"training_loss": trained.best.loss, "validation_loss": trained.best.validation_loss}
    ended = {"best_epoch": trained.best.number, "seconds": time.perf_counter() - began}
    tune.report({METRIC: trained.best.validation_accuracy, "epoch": optimisation.epochs, **figures, **ended})


def _recorder(folder: Path, events: SearchEvents) -> Callback:
    """What writes finished trials, in this process alone, and tells of all epochs."""
    from ray import tune

    class Recorder(tune.Callback):
        def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
            del iteration, trials, info
            events.on_epoch(trial.config["number"], result["epoch"], result[METRIC])

        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            del iteration, trials, info
            result = trial.last_result
            names = ("best_epoch", "training_loss", "validation_loss", METRIC, "seconds")
            finished = Trial(
                trial.config["number"],
                hyperparameters_of(trial.config),
                result["epoch"],
                **{name: result[name] for name in names},
            )
            write_trial(folder, finished)
            events.on_trial(finished)

        def __reduce__(self) -> tuple[Any, ...]:
            return tune.Callback, ()  # Tune keeps its state, which nobody reads again

    return Recorder()


@contextmanager
def _ray(settings: SearchSettings) -> Iterator[None]:
    from engine.execution.ray_session import local_session

    with settings.cluster.connected():
        if settings.cluster.ray is not None:
            yield
            return
        with local_session(settings.workers, 0, settings.workers * _BYTES_PER_TRIAL):
            yield


def _prepare_environment() -> None:
    """Let Tune write and print nothing of its own, and leave Ctrl-C to this process."""
    settings = {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "TUNE_DISABLE_SIGINT_HANDLER": "1"}
    for name, value in {**settings, "RAY_AIR_NEW_OUTPUT": "0"}.items():
        os.environ.setdefault(name, value)


def _check(results: ResultGrid, folder: Path) -> None:
    if results.errors:
        raise CrysiftError(
            f"{len(results.errors)} of the trainings failed, the first one with: {results.errors[0]}; the "
            f"others are kept in {folder}, and the same command trains what is missing"
        )
