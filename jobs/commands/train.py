"""`crysift train`: a network from prototypes alone, or a trained one with further classes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape

from engine.errors import CrysiftError
from jobs import options
from jobs.console import Console

if TYPE_CHECKING:
    from jobs.extending import NewClasses
    from models.weights_file import Model

CLASSES = "Further classes (arise)"
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
    added: Annotated[
        list[str] | None,
        typer.Option(
            "--add",
            help="Extend a trained model by a class: files or folders of structures, or a table of "
            "prototypes (JSON, Parquet) with several classes.",
            metavar="FILE|DIR",
            rich_help_panel=CLASSES,
        ),
    ] = None,
    from_clusters: Annotated[
        str | None,
        typer.Option(
            "--from-clusters",
            help="Extend a trained model by what a screening found: dense clusters of novel structures in "
            "this store, each named after its protostructure.",
            metavar="STORE",
            rich_help_panel=CLASSES,
            show_default=False,
        ),
    ] = None,
    propose: Annotated[
        bool,
        typer.Option(
            "--propose",
            help="--from-clusters: write the classes as a table for --add, and train nothing.",
            rich_help_panel=CLASSES,
        ),
    ] = False,
    min_members: Annotated[
        int,
        typer.Option(
            "--min-members",
            help="--from-clusters: equivalent structures that show a class.",
            min=2,
            rich_help_panel=CLASSES,
        ),
    ] = options.MIN_MEMBERS,
    max_classes: Annotated[
        int,
        typer.Option(
            "--max-classes",
            help="--from-clusters: new classes, those of the largest clusters first.",
            min=1,
            rich_help_panel=CLASSES,
        ),
    ] = options.MAX_CLASSES,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            help="Name of the new class; one for all that is added, or one for each --add.",
            rich_help_panel=CLASSES,
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            help=f"The model to extend. {options.MODEL_HELP}",
            metavar="NAME|DIR",
            rich_help_panel=CLASSES,
            show_default=options.WEIGHTS["arise"],
        ),
    ] = None,
    allow_duplicates: Annotated[
        bool,
        typer.Option(
            "--allow-duplicates",
            help="Train a class all the same that is nearly a known one.",
            rich_help_panel=CLASSES,
        ),
    ] = False,
    file_format: options.FileFormat = None,
    recipe: Annotated[
        Literal["pristine", "robust"],
        typer.Option(
            "--recipe",
            help="arise: train on pristine prototypes only, or on defective ones, too.",
        ),
    ] = "robust",
    basis: options.Basis = options.BASIS,
    channels: options.Channels = options.CHANNELS,
    mask: options.Mask = options.MASK,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Train a network on prototypes, evaluate it, and write weights with a model card.

    crysift train arise --output my-model                 [dim]108 prototypes, by SOAP[/dim]

    crysift train arise --recipe pristine -o my-pristine  [dim]no defective structure is trained on[/dim]

    crysift screen structures/ --weights my-model

    crysift train diffraction --channels rgb -o my-rgb    [dim]four cubic classes, by diffraction[/dim]

    crysift screen structures/ --models diffraction --channels rgb --weights my-rgb

    crysift train arise --add rutile/ --label rutile -o my-classes    [dim]one class more[/dim]

    crysift train arise --from-clusters mp -o my-classes  [dim]what `crysift screen` found in quantity[/dim]
    """
    with Console(quiet=quiet, as_json=as_json, debug=debug) as console:
        options.refuse_unused(context, [options.READ_BY[network]], f"`crysift train {network}`")
        _refuse_misplaced(context, network)
        base = weights or options.WEIGHTS["arise"]
        new: NewClasses | None = None
        if from_clusters is not None:
            from jobs.proposals import FromClusters, ProposalSettings

            dense = ProposalSettings(min_members, max_classes)
            new = FromClusters(from_clusters, base, dense, output, console)
            if propose:
                console.finish(new.tell())
                return
        elif added:
            from connectors.settings import SourceSettings
            from jobs.extending import FromFiles

            new = FromFiles(added, labels or [], SourceSettings(file_format))
        if new is not None:
            from jobs.extending import Extending, extend_model, summary_of

            asked = Extending(base, allow_duplicates, epochs, seed)
            model = extend_model(new, asked, output, work, console)
            _finish(console, network, output, model, summary_of(model))
            return
        from dataclasses import replace

        from jobs.progress import ProgressBars

        changed = {"seed": seed, "epochs": epochs or options.EPOCHS[network]}
        with ProgressBars(console) as bars:
            on_epoch = bars.count_epochs(network, changed["epochs"])
            if network == "arise":
                from models.training.arise import RECIPES, AriseTraining, train_arise

                chosen = RECIPES[recipe]
                arise = AriseTraining(replace(chosen, grid=replace(chosen.grid, basis=basis)))
                arise = replace(arise, optimisation=replace(arise.optimisation, **changed))
                model = train_arise(output, arise, work=work, listener=bars, on_epoch=on_epoch)
            else:
                from engine.descriptors.diffraction import DiffractionSettings
                from models.training.diffraction import DiffractionTraining, train_diffraction

                images = DiffractionTraining(descriptor=DiffractionSettings(channels=channels, mask=mask))
                images = replace(images, optimisation=replace(images.optimisation, **changed))
                model = train_diffraction(output, images, work=work, listener=bars, on_epoch=on_epoch)
        for name, accuracy in model.card["results"]["accuracies"].items():
            console.say(f"  {100 * accuracy:6.2f} %  {name}")
        _finish(console, network, output, model, {})


def _finish(console: Console, network: str, output: Path, model: "Model", more: dict[str, Any]) -> None:
    """Tell where the model is, and by which name."""
    console.say(escape(f"Weights and model card: {output}. Use them with --weights {output}"))
    accuracies: dict[str, float] = model.card["results"]["accuracies"]
    told = {"network": network, "folder": output, "sha256": model.sha256, "accuracies": accuracies}
    console.finish({**told, **more})


_OF_THE_BASE = dict.fromkeys(("basis", "recipe"), "the base model's is used in an extension")
_OF_EXTENSIONS = {"weights": "it belongs to --add or --from-clusters, and neither is given"}
_OF_ADD = dict.fromkeys(
    ("labels", "allow_duplicates", "file_format"), "it belongs to --add, which is not given"
)
_OF_CLUSTERS = dict.fromkeys(
    ("propose", "min_members", "max_classes"), "it belongs to --from-clusters, which is not given"
)
_OF_TRAINING = dict.fromkeys(
    ("epochs", "seed", "work"), "it belongs to training, and --propose trains nothing"
)


def _refuse_misplaced(context: typer.Context, network: str) -> None:
    """Raise CrysiftError, naming the option, where one is given that does not go with the others."""
    given = options.given(context)
    adds, takes_clusters = "added" in given, "from_clusters" in given
    if adds and takes_clusters:
        raise CrysiftError(
            "--add and --from-clusters are two ways to extend a model: give one; --propose writes the "
            "classes of clusters as a table for --add"
        )
    if (adds or takes_clusters) and network != "arise":
        raise CrysiftError("classes are added to the network arise: say `crysift train arise --add …`")
    foreign = _OF_THE_BASE if adds or takes_clusters else _OF_EXTENSIONS
    foreign = {**foreign, **({} if adds else _OF_ADD), **({} if takes_clusters else _OF_CLUSTERS)}
    if "propose" in given:
        foreign = {**foreign, **_OF_TRAINING}
    if network != "arise":
        foreign = {**foreign, "recipe": "it belongs to `crysift train arise`"}
    for name, spelled in given.items():
        if name in foreign:
            raise CrysiftError(f"{spelled}: {foreign[name]}; leave it out")
