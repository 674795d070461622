"""`crysift tune`: search the hyperparameters of a network."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from engine.errors import CrysiftError
from jobs import options
from jobs.console import Console

if TYPE_CHECKING:
    from jobs.progress import ProgressBars
    from jobs.tune.run import TuningReport, TuningSettings
    from jobs.tune.search import SearchEvents
    from jobs.tune.trials import Trial
    from models.training.arise import AriseTraining

TRIALS, BEST, RANKING_PASSES, WORKERS = 50, 15, 100, 2


def tune(
    network: Annotated[Literal["arise"], typer.Argument(help="Which network.")],
    search: Annotated[
        Path,
        typer.Option("--search", help="Folder of the search: its trials, tables and vectors.", metavar="DIR"),
    ] = Path("arise-tuning"),
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Train the winner as `crysift train` does, and write it to this folder.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
    trials: Annotated[
        int, typer.Option("--trials", help="Trainings in all, earlier calls included.", min=1)
    ] = TRIALS,
    best: Annotated[int, typer.Option("--best", help="Networks that the second stage ranks.", min=1)] = BEST,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", help="Passes over the training set.", min=1, show_default="120, quick: 30"),
    ] = None,
    passes: Annotated[
        int, typer.Option("--passes", help="Dropout passes per structure in the second stage.", min=1)
    ] = RANKING_PASSES,
    quick: Annotated[
        bool, typer.Option("--quick", help="3,564 training vectors instead of 39,204, 30 epochs.")
    ] = False,
    seed: Annotated[
        int, typer.Option("--seed", help="Seed of proposals, weights, order and split.", min=0)
    ] = options.TRAINING_SEED,
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            "-j",
            help="Trainings at a time, each on one core; the fewer, the more each proposal knows.",
            min=1,
            rich_help_panel=options.RUNNING,
        ),
    ] = WORKERS,
    ray: options.Ray = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Search widths, batch, learning rate and dropout, then rank the best networks.

    crysift tune arise --search tuning                      [dim]50 trainings on 39,204 vectors[/dim]

    crysift tune arise --search quick --quick               [dim]the same on a tenth of the vectors[/dim]

    crysift tune arise --search tuning --trials 80          [dim]30 more, knowing the first 50[/dim]

    crysift tune arise --search tuning -o best              [dim]train the winner as a model of its own[/dim]

    First stage: Ray Tune, proposals by a tree-structured Parzen estimator, goal the accuracy on the 20 % of
    the vectors that are held out; none is stopped early. Second stage: the best ones on pristine and mildly
    defective structures. An interrupted search goes on with the same command.
    """
    with Console(quiet=quiet, as_json=as_json, debug=debug) as console:
        _need_packages()
        from engine.execution import Cluster
        from jobs.progress import ProgressBars
        from jobs.tune.run import TuningSettings, summary, tune_arise
        from jobs.tune.search import SearchSettings

        settings = TuningSettings(
            SearchSettings(trials, workers, seed, cluster=Cluster(ray)),
            _training(epochs, quick=quick, seed=seed),
            best,
            passes,
        )
        with ProgressBars(console) as bars:
            events = _events(console, bars, settings)
            report = tune_arise(
                search, settings, bars, events, lambda k, n: console.note(f"ranked {k} of {n}")
            )
        _show(console, report, search)
        found = summary(report)
        if output is not None:
            with ProgressBars(console) as bars:
                found["sha256"] = _train_winner(report, settings, search, output, bars)
            console.say(escape(f"Weights and model card: {output}. Use them with --weights {output}"))
        console.finish({"network": network, "folder": search, "trials": len(report.trials), "best": found})


def _need_packages() -> None:
    """Raise CrysiftError, with what to install, where the packages of the extra `tune` are absent."""
    from importlib.util import find_spec

    missing = [name for name in ("optuna", "pandas") if find_spec(name) is None]
    if missing:
        raise CrysiftError(
            f"a search needs {' and '.join(missing)} (Ray Tune with Optuna): pip install 'crysift[tune]'"
        )


def _training(epochs: int | None, *, quick: bool, seed: int) -> "AriseTraining":
    """What all networks of the search have in common."""
    from dataclasses import replace

    from jobs.tune import run

    training = run.TuningSettings().training
    if quick:
        training = run.quick(training)
    optimisation = replace(training.optimisation, seed=seed)
    if epochs is not None:
        optimisation = replace(optimisation, epochs=epochs)
    return replace(training, optimisation=optimisation)


def _events(console: Console, bars: "ProgressBars", settings: "TuningSettings") -> "SearchEvents":
    """A bar over the epochs of all trainings, and a line for each that is finished."""
    from jobs.tune.search import SearchEvents
    from models.training.train import Epoch

    trials, epochs = settings.search.trials, settings.training.optimisation.epochs
    count = bars.count_epochs(f"{trials} networks", trials * epochs)
    done: dict[int, tuple[int, float]] = {}

    def on_epoch(trial: int, epoch: int, accuracy: float) -> None:
        done[trial] = epoch, accuracy
        count(Epoch(sum(e for e, _ in done.values()), 0.0, 0.0, max(a for _, a in done.values())))

    def on_trial(trial: "Trial") -> None:
        console.note(
            f"trial {trial.number}: validation accuracy {trial.validation_accuracy:.4f} in "
            f"{trial.seconds:.0f} s ({_layers(trial)}, batch {trial.chosen.batch}, learning rate "
            f"{trial.chosen.learning_rate:.2e}, dropout {trial.chosen.dropout:.4f})"
        )

    return SearchEvents(on_epoch, on_trial)


def _layers(trial: "Trial") -> str:
    return "-".join(map(str, trial.chosen.hidden))


def _show(console: Console, report: "TuningReport", out: Path) -> None:
    table = Table(box=None, pad_edge=False)
    first = ("rank", "trial", "hidden layers", "batch", "learning rate", "dropout")
    for heading in (*first, "validation, %", "ranked, %", "log loss"):
        table.add_column(heading, justify="left" if heading == "hidden layers" else "right")
    for rank, (number, ranked) in enumerate(report.ranked.items(), start=1):
        trial = report.trial(number)
        chosen = trial.chosen
        table.add_row(
            *(str(rank), str(number), _layers(trial), str(chosen.batch), f"{chosen.learning_rate:.2e}"),
            *(f"{chosen.dropout:.4f}", f"{100 * trial.validation_accuracy:.2f}"),
            *(f"{100 * ranked.accuracy:.3f}", f"{ranked.log_loss:.4f}"),
        )
    console.show(table)
    tables = f"{out / 'trials.parquet'}; scores by set: {out / 'ranking.parquet'}"
    console.say(escape(f"All {len(report.trials)} trials: {tables}"))


def _train_winner(
    report: "TuningReport", settings: "TuningSettings", out: Path, output: Path, bars: "ProgressBars"
) -> str:
    """Train the winner anew, on the search's vectors, with calibration, evaluation and card."""
    from models.training.arise import train_arise

    training = report.winner.chosen.applied(settings.training)
    on_epoch = bars.count_epochs("arise", training.optimisation.epochs)
    return train_arise(output, training, work=out / "work", listener=bars, on_epoch=on_epoch).sha256
