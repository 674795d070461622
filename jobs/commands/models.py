"""`crysift models`: which there are, and weights that others trained."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from jobs import options
from jobs.console import Console

if TYPE_CHECKING:
    from models.catalogue import ModelEntry

models = typer.Typer(no_args_is_help=True, help="List models, or import the published weights.")


@models.command("list")
def list_models(
    quiet: options.Quiet = False, as_json: options.AsJson = False, debug: options.Debug = False
) -> None:
    """Show the models that `--weights` takes by name: the shipped ones and those in $CRYSIFT_MODELS.

    crysift models list

    CRYSIFT_MODELS=~/crysift-models crysift models list     [dim]folders of models, separated as in PATH[/dim]
    """
    with Console(quiet=quiet, as_json=as_json, debug=debug) as console:
        from models.catalogue import named_models

        entries = named_models()
        table = Table(box=None, pad_edge=False)
        for heading in ("name", "network", "classes", "parameters", "reads", "folder"):
            table.add_column(heading, justify="right" if heading in {"classes", "parameters"} else "left")
        for entry in entries:
            _add(table, entry)
        console.show(table)
        console.finish({"models": [_as_json(entry) for entry in entries]})


@models.command("import-keras")
def import_keras_command(
    file: Annotated[
        Path, typer.Argument(help="HDF5 file of Keras 2 with the published network.", metavar="FILE.h5")
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder for weights and model card.", metavar="DIR"),
    ],
    order: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            help="JSON with the labels in the order of the file's classes, if that is not the published one.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    dropout: Annotated[
        float | None,
        typer.Option("--dropout", help="Dropout ratio, where the file does not say it.", show_default=False),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            "--work",
            help="Folder for vectors, to go on after an interruption; default: OUTPUT/work.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Make a model of the weights that the authors of ARISE published, without Keras.

    crysift models import-keras ARISE_Leitherer_et_al_2021.h5 -o published

    crysift screen structures/ --weights published

    The file is read with h5py: nothing in it is run. Its layers must be 316 → 256 → 512 → 256 → 108
    (Leitherer et al., Nat. Commun. 12, 6234 (2021), Table 1), and it must know the pristine prototypes.
    """
    with Console(quiet=quiet, as_json=as_json, debug=debug) as console:
        from jobs.progress import ProgressBars
        from models.training.published import ImportSettings, import_keras, read_labels

        settings = ImportSettings(None if order is None else read_labels(order), dropout)
        with ProgressBars(console) as bars:
            model = import_keras(file, output, settings, work=work, listener=bars)
        accuracies: dict[str, float] = model.card["results"]["accuracies"]
        for name, accuracy in accuracies.items():
            console.say(f"  {100 * accuracy:6.2f} %  {name}")
        console.say(escape(f"Weights and model card: {output}. Use them with --weights {output}"))
        console.finish({"folder": output, "sha256": model.sha256, "accuracies": accuracies})


def _add(table: Table, entry: "ModelEntry") -> None:
    name, folder = escape(entry.name), escape(str(entry.folder))
    if entry.error:
        table.add_row(name, "[red]unusable[/red]", "", "", escape(entry.error), folder)
        return
    default = " (default)" if options.WEIGHTS.get(entry.architecture) == entry.name else ""
    features = ", ".join(f"{name} {value}" for name, value in entry.features.items())
    numbers = (f"{entry.classes}", f"{entry.parameters:,}")
    table.add_row(name + default, escape(entry.architecture), *numbers, escape(features), folder)


def _as_json(entry: "ModelEntry") -> dict[str, object]:
    from dataclasses import asdict

    return {**asdict(entry), "default": options.WEIGHTS.get(entry.architecture) == entry.name}
