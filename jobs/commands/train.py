"""`crysift train`: a network from prototypes alone."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from jobs import options
from jobs.console import Console

_DEFAULT_OUTPUT = Path("NETWORK-model")


def _with_network(context: typer.Context, folder: Path) -> Path:
    """Put the network's name into the default folder."""
    return Path(f"{context.params.get('network')}-model") if folder == _DEFAULT_OUTPUT else folder


def train(
    context: typer.Context,
    network: Annotated[Literal["arise", "diffraction"], typer.Argument(help="Which network to train.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Folder for weights and model card.", metavar="DIR", callback=_with_network
        ),
    ] = _DEFAULT_OUTPUT,
    work: Annotated[
        Path | None,
        typer.Option(
            "--work",
            help="Folder for the training vectors, to go on after an interruption; default: OUTPUT/work.",
            metavar="DIR",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs",
            help="Passes over the training set.",
            min=1,
            show_default=", ".join(f"{name}: {number}" for name, number in options.EPOCHS.items()),
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", help="Seed of weights, order and split.", min=0)
    ] = options.TRAINING_SEED,
    basis: options.Basis = options.BASIS,
    channels: options.Channels = options.CHANNELS,
    mask: options.Mask = options.MASK,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Train a network on pristine prototypes, evaluate it, and write weights with a model card.

    crysift train arise --output my-model                 [dim]108 prototypes, by SOAP[/dim]

    crysift screen structures/ --weights my-model

    crysift train diffraction --channels rgb -o my-rgb    [dim]four cubic classes, by diffraction[/dim]

    crysift screen structures/ --models diffraction --channels rgb --weights my-rgb
    """
    with Console(quiet=quiet, as_json=as_json, debug=debug) as console:
        options.refuse_unused(context, [options.READ_BY[network]], f"`crysift train {network}`")
        from dataclasses import replace

        from jobs.progress import ProgressBars

        changed = {"seed": seed, "epochs": epochs or options.EPOCHS[network]}
        with ProgressBars(console) as bars:
            on_epoch = bars.count_epochs(network, changed["epochs"])
            if network == "arise":
                from models.training.arise import AriseTraining, train_arise
                from models.training.grid import GridSettings

                arise = AriseTraining(grid=GridSettings(basis=basis))
                arise = replace(arise, optimisation=replace(arise.optimisation, **changed))
                model = train_arise(output, arise, work=work, listener=bars, on_epoch=on_epoch)
            else:
                from engine.descriptors.diffraction import DiffractionSettings
                from models.training.diffraction import DiffractionTraining, train_diffraction

                images = DiffractionTraining(descriptor=DiffractionSettings(channels=channels, mask=mask))
                images = replace(images, optimisation=replace(images.optimisation, **changed))
                model = train_diffraction(output, images, work=work, listener=bars, on_epoch=on_epoch)
        accuracies: dict[str, float] = model.card["results"]["accuracies"]
        for name, accuracy in accuracies.items():
            console.say(f"  {100 * accuracy:6.2f} %  {name}")
        console.say(f"Weights and model card: {output}. Use them with --weights {output}")
        console.finish(
            {"network": network, "folder": output, "sha256": model.sha256, "accuracies": accuracies}
        )
