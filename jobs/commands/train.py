"""`crysift train`: a network from the prototype table alone."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from jobs import options
from jobs.console import Console


def train(
    network: Annotated[Literal["arise"], typer.Argument(help="Which network to train.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for weights and model card.", metavar="DIR")
    ] = Path("arise-model"),
    work: Annotated[
        Path | None,
        typer.Option(
            "--work",
            help="Folder for the training vectors, to go on after an interruption; default: OUTPUT/work.",
            metavar="DIR",
        ),
    ] = None,
    basis: options.Basis = options.BASIS,
    epochs: Annotated[
        int, typer.Option("--epochs", help="Passes over the training set.", min=1)
    ] = options.EPOCHS,
    seed: Annotated[
        int, typer.Option("--seed", help="Seed of weights, order and split.", min=0)
    ] = options.TRAINING_SEED,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Train a network on the 108 prototypes, evaluate it, and write weights with a model card.

    crysift train arise --output my-model

    crysift screen structures/ --weights my-model
    """
    with Console(quiet=quiet, as_json=as_json, debug=debug) as console:
        from jobs.progress import ProgressBars
        from models.training.arise import AriseTraining, train_arise
        from models.training.grid import GridSettings
        from models.training.train import TrainingSettings

        settings = AriseTraining(
            grid=GridSettings(basis=basis), optimisation=TrainingSettings(epochs=epochs, seed=seed)
        )
        with ProgressBars(console) as bars:
            on_epoch = bars.count_epochs(network, epochs)
            model = train_arise(output, settings, work=work, listener=bars, on_epoch=on_epoch)
        accuracies: dict[str, float] = model.card["results"]["accuracies"]
        for name, accuracy in accuracies.items():
            console.say(f"  {100 * accuracy:6.2f} %  {name}")
        console.say(f"Weights and model card: {output}. Use them with --weights {output}")
        console.finish(
            {"network": network, "folder": output, "sha256": model.sha256, "accuracies": accuracies}
        )
