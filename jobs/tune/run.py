"""`crysift tune arise`: the search, its second stage, and what is written of both."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.torch import load_file

from engine.errors import CrysiftError
from engine.execution.events import Listener, ignore
from jobs.tune.search import SearchEvents, SearchSettings, search
from jobs.tune.trials import Trial, network_path, write_tables
from models.prototypes import prototypes
from models.training.arise import AriseTraining
from models.training.grid import GridSettings
from models.training.hyperparameters import network_of
from models.training.ranking import Ranked, ranking_sets, score
from models.training.recipe import Recipe, Workplace
from models.training.train import TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Callable

SETTINGS_FILE = "settings.json"
BEST_FILE = "best.json"
FORMAT = 1
PUBLISHED = Recipe(grid=GridSettings())
"""The training vectors of the published search: 39,204 of pristine structures."""
QUICK = Recipe(grid=GridSettings(cutoffs=(3.6, 4.0, 4.4), sigmas=(0.10,)))
EPOCHS, QUICK_EPOCHS = 120, 30


def _published() -> AriseTraining:
    return AriseTraining(recipe=PUBLISHED, optimisation=TrainingSettings(epochs=EPOCHS))


@dataclass(frozen=True)
class TuningSettings:
    """A search among the published hyperparameters and its second stage."""

    search: SearchSettings = field(default_factory=SearchSettings)
    training: AriseTraining = field(default_factory=_published)
    """What all networks have in common: vectors, epochs, split."""
    best: int = 15
    """Networks, by validation accuracy, that the second stage ranks (as published)."""
    passes: int = 100
    """Dropout passes per structure in the second stage."""


@dataclass(frozen=True)
class TuningReport:
    """All trials, and the scores of the best ones, the winner first."""

    trials: list[Trial]
    ranked: dict[int, Ranked]

    @property
    def winner(self) -> Trial:
        """The trial that the second stage puts first."""
        return self.trial(next(iter(self.ranked)))

    def trial(self, number: int) -> Trial:
        """Return the trial of a number."""
        return next(trial for trial in self.trials if trial.number == number)


def quick(training: AriseTraining) -> AriseTraining:
    """A smaller training: nine settings of the descriptor instead of 99, fewer epochs and defects."""
    optimisation = replace(training.optimisation, epochs=QUICK_EPOCHS)
    return replace(training, recipe=QUICK, optimisation=optimisation, draws=1, passes=100)


def tune_arise(
    folder: str | Path,
    settings: TuningSettings,
    listener: Listener = ignore,
    events: SearchEvents | None = None,
    on_ranked: Callable[[int, int], None] = lambda *_: None,
) -> TuningReport:
    """Search, rank the best, and write both into `folder`; the same call goes on after an interruption.

    The tables are `trials.parquet` (a row per training) and `ranking.parquet` (a row per ranked network and
    set of structures); `best.json` holds the winner. `on_ranked` takes how many networks are ranked, and of
    how many. Raises CrysiftError where the folder holds a search with other settings.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    place = Workplace(folder / "work", listener)
    _check_settings(folder / SETTINGS_FILE, _fingerprint(settings.training, settings.search))
    data = _training_data(place, settings.training.recipe)
    trials = search(folder, data, settings.search, settings.training.optimisation, events)
    sets = ranking_sets(place, settings.training.recipe.center)
    chosen = sorted(trials, key=lambda trial: trial.key)[: settings.best]
    scores: dict[int, Ranked] = {}
    for trial in chosen:
        network = network_of(trial.chosen, load_file(network_path(folder, trial.number)))
        scores[trial.number] = score(network, sets, settings.passes)
        on_ranked(len(scores), len(chosen))
    ranked = dict(sorted(scores.items(), key=lambda item: item[1].key))
    report = TuningReport(trials, ranked)
    write_tables(folder, trials, ranked)
    (folder / BEST_FILE).write_text(json.dumps(summary(report), indent=2) + "\n", encoding="utf-8")
    return report


def summary(report: TuningReport) -> dict[str, Any]:
    """The winner's settings and figures."""
    winner = report.winner
    of_winner = report.ranked[winner.number]
    return {
        "trial": winner.number,
        "hyperparameters": winner.chosen.as_json(),
        "epochs": winner.epochs,
        "validation_accuracy": winner.validation_accuracy,
        "ranked_accuracy": of_winner.accuracy,
        "accuracies": {name: score.accuracy for name, score in of_winner.scores.items()},
    }


def _training_data(place: Workplace, recipe: Recipe) -> Path:
    """The training vectors and their classes as a file that workers read.

    Raises CrysiftError where it is there with others: trials on different data do not compare.
    """
    labels = [prototype.label for prototype in prototypes()]
    vectors, classes = place.training_vectors(recipe, prototypes(), labels).all
    path, temporary = (place.folder / name for name in ("training.npz", ".training.npz.tmp"))
    if path.is_file():
        with np.load(path) as kept:
            if np.array_equal(kept["vectors"], vectors) and np.array_equal(kept["classes"], classes):
                return path
        raise CrysiftError(
            f"{path} holds other training vectors than this version of crysift makes: name another folder"
        )
    with temporary.open("wb") as file:
        np.savez(file, vectors=vectors, classes=classes)
    temporary.replace(path)
    return path


def _fingerprint(training: AriseTraining, settings: SearchSettings) -> dict[str, Any]:
    """What all trials of one search have in common; how many there are may grow."""
    optimisation = asdict(training.optimisation)
    del optimisation["batch"], optimisation["learning_rate"]
    common = {"format": FORMAT, "seed": settings.seed, **asdict(settings.space)}
    recipe = {f"recipe {name}": value for name, value in asdict(training.recipe).items()}
    training_settings = {f"training {name}": value for name, value in optimisation.items()}
    found: dict[str, Any] = json.loads(json.dumps({**common, **recipe, **training_settings}))
    return found


def _check_settings(path: Path, settings: dict[str, Any]) -> None:
    """Write the settings of a new search; refuse to go on with those of another one."""
    if not path.is_file():
        path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        return
    kept = json.loads(path.read_text(encoding="utf-8"))
    differing = [
        f"{name}: {kept.get(name)} there, {settings.get(name)} asked"
        for name in {**kept, **settings}
        if kept.get(name) != settings.get(name)
    ]
    if differing:
        raise CrysiftError(
            f"{path.parent} holds a search with other settings ({'; '.join(differing)}): go on with its "
            "settings, or name another folder"
        )
