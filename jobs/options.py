"""The options that several commands share, each declared once."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import typer

from engine.errors import CrysiftError
from models import DEFAULT_WEIGHTS

# Defaults stand here as literals because importing the settings classes would make `crysift --help` wait for
# numba and PyTorch; a test holds them equal to the defaults of those classes.
DEFAULT_STORE = "crysift-store"
MAX_SITES = 100_000
MIN_DISTANCE = 0.1
CUTOFF = 4.0
SIGMA = 0.1
BASIS: Literal["quip"] = "quip"
BACKEND: Literal["kernel"] = "kernel"
CHANNELS: Literal["single"] = "single"
MASK = True
PASSES = 1000
ADAPTIVE = "adaptive"
SEED = 0
ALPHA = 0.05
FDR = 0.1
WEIGHTS = DEFAULT_WEIGHTS
GPU_SHARE = 1.0
EPOCHS = {"arise": 30, "diffraction": 8}
TRAINING_SEED = 42
MIN_MEMBERS = 20
MAX_CLASSES = 10
TOP = 20
MAP_SAMPLE = 200_000

SOAP = "Descriptor soap, which arise reads (lengths as multiples of d_NN)"
DIFFRACTION = "Descriptor diffraction, which diffraction reads"
NETWORK = "Bayesian network"
INPUT = "Input"
CLUSTERS = "Clusters (HDBSCAN)"
EMBEDDING = "Embedding (UMAP)"
RUNNING = "Running"
OUTPUT = "Output"

Sources = Annotated[
    list[str],
    typer.Argument(
        help="Databases (mp: · optimade:odbx · nomad:), files, folders, globs or Parquet tables of "
        "structures; 'examples:' for the embedded ones.",
        show_default=False,
    ),
]
StoreOption = Annotated[
    str,
    typer.Option(
        "--store", "-s", envvar="CRYSIFT_STORE", help="Folder or URL (s3://…) of the tables.", metavar="DIR"
    ),
]

FileFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="Format of the files, when the suffix does not tell: cif, vasp, extxyz, aims, any ASE name.",
        rich_help_panel=INPUT,
        show_default=False,
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        "--columns",
        help="Layout of Parquet files with other columns: a known name (lemat-bulk) or a TOML file.",
        metavar="NAME|FILE",
        rich_help_panel=INPUT,
        show_default=False,
    ),
]
Filter = Annotated[
    str | None,
    typer.Option(
        "--filter",
        help="Which entries of a database: an OPTIMADE filter; REST parameters such as "
        "'elements=Li,O&nelements_max=3' (mp:); a JSON query (nomad:).",
        rich_help_panel=INPUT,
        show_default=False,
    ),
]
IncludeNc = Annotated[
    bool,
    typer.Option(
        "--include-nc",
        help="mp: also entries whose licence excludes commercial use (BY-NC).",
        rich_help_panel=INPUT,
    ),
]
IncludeDeprecated = Annotated[
    bool, typer.Option("--include-deprecated", help="mp: also deprecated entries.", rich_help_panel=INPUT)
]
Oasis = Annotated[
    str | None,
    typer.Option(
        "--oasis",
        help="nomad: address of another installation than the public one.",
        metavar="URL",
        rich_help_panel=INPUT,
        show_default=False,
    ),
]
Full = Annotated[
    bool,
    typer.Option(
        "--full",
        help="Read a complete database as a whole once more, not only what it says is new.",
        rich_help_panel=INPUT,
    ),
]
MaxSites = Annotated[
    int, typer.Option("--max-sites", help="Reject structures with more atoms.", min=1, rich_help_panel=INPUT)
]
MinDistance = Annotated[
    float,
    typer.Option(
        "--min-distance", help="Reject structures with atoms closer than this, in Å.", rich_help_panel=INPUT
    ),
]

Descriptor = Annotated[Literal["soap", "diffraction"], typer.Option("--descriptor", help="What to compute.")]
Cutoff = Annotated[
    float, typer.Option("--cutoff", help="Radius R_C of the environments.", rich_help_panel=SOAP)
]
Sigma = Annotated[float, typer.Option("--sigma", help="Width σ of the Gaussians.", rich_help_panel=SOAP)]
Basis = Annotated[
    Literal["quip", "gto"],
    typer.Option(
        "--basis", help="Radial basis; the shipped network was trained on quip.", rich_help_panel=SOAP
    ),
]
Backend = Annotated[
    Literal["kernel", "torch", "dscribe"],
    typer.Option(
        "--backend",
        help="Who computes SOAP: our kernel; PyTorch, on a GPU where there is one; DScribe (gto only).",
        rich_help_panel=SOAP,
    ),
]
Channels = Annotated[
    Literal["single", "rgb"],
    typer.Option(
        "--channels",
        help="single: turned by 45° about one axis; rgb: by ±45° about each of the three, one channel each.",
        rich_help_panel=DIFFRACTION,
    ),
]
Mask = Annotated[
    bool,
    typer.Option(
        "--mask/--no-mask",
        help="Darken the centre, which says nothing of the structure, and the rim of the image.",
        rich_help_panel=DIFFRACTION,
    ),
]

Models = Annotated[
    str,
    typer.Option(
        "--models",
        help="Networks to apply: arise, diffraction, or arise,diffraction for both verdicts side by side.",
        metavar="NAME[,NAME]",
    ),
]
Model = Annotated[Literal["arise", "diffraction"], typer.Option("--model", help="Network to apply.")]


def _passes(asked: str | int) -> int | str:
    """Return a number of passes, or the word that stands for as many as a structure needs."""
    if asked == ADAPTIVE:
        return ADAPTIVE
    try:
        number = int(asked)
    except ValueError:
        number = 0
    if number < 1:
        raise typer.BadParameter(f"{asked!r} is neither a number from 1 on nor '{ADAPTIVE}'")
    return number


Passes = Annotated[
    Any,  # an option cannot be declared as `int | str`
    typer.Option(
        "--passes",
        help="Stochastic forward passes T; adaptive: 32 to 1,000, as many as class and mutual information "
        "need to be decided.",
        parser=_passes,
        metavar="T|adaptive",
        rich_help_panel=NETWORK,
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        help="With --passes adaptive: mutual information, in nats, of which it is to be decided whether a "
        "structure exceeds it.",
        min=0.0,
        rich_help_panel=NETWORK,
        show_default="the model's",
    ),
]
Seed = Annotated[
    int, typer.Option("--seed", help="Seed of the dropout masks.", min=0, rich_help_panel=NETWORK)
]
Fdr = Annotated[
    float,
    typer.Option(
        "--fdr",
        help="Select structures as novel at this false discovery rate: the share of known ones among them.",
        min=0.0,
        max=1.0,
    ),
]
Alpha = Annotated[
    float,
    typer.Option(
        "--alpha", help="Out of distribution up to this p-value.", min=0.0, max=1.0, rich_help_panel=NETWORK
    ),
]
MODEL_HELP = (
    "A model by name, shipped or in a folder of $CRYSIFT_MODELS, or a folder that `crysift train` wrote."
)
Weights = Annotated[
    list[str] | None,
    typer.Option(
        "--weights",
        help=f"{MODEL_HELP} Once per network.",
        rich_help_panel=NETWORK,
        metavar="NAME|DIR",
        show_default=", ".join(WEIGHTS.values()),
    ),
]

Executor = Annotated[
    Literal["auto", "inline", "cluster"],
    typer.Option(
        "--executor",
        help="inline: in this process; cluster: Dask and Ray; auto: inline for a handful of structures.",
        rich_help_panel=RUNNING,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", "-j", help="Worker processes; all cores if not given.", min=1, rich_help_panel=RUNNING
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        help="Run on this Ray cluster: auto for the one this machine belongs to, or HOST:PORT of its head.",
        envvar="CRYSIFT_RAY",
        metavar="ADDRESS",
        rich_help_panel=RUNNING,
        show_default=False,
    ),
]
Dask = Annotated[
    str | None,
    typer.Option(
        "--dask",
        help="Run descriptors on this Dask scheduler: tcp://HOST:PORT.",
        envvar="CRYSIFT_DASK",
        metavar="ADDRESS",
        rich_help_panel=RUNNING,
        show_default=False,
    ),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda"],
    typer.Option(
        "--device",
        help="Where networks, diffraction and SOAP by torch compute; auto: on GPUs where there are any.",
        rich_help_panel=RUNNING,
    ),
]
Variance = Annotated[
    float,
    typer.Option(
        help="Share of the variance in the principal components in which distances are taken.",
        min=0.01,
        max=1.0,
        rich_help_panel=CLUSTERS,
    ),
]
Assign = Annotated[
    float,
    typer.Option(
        help="An outlier joins its most probable cluster from this probability on; 1 assigns none.",
        min=0.0,
        max=1.0,
        rich_help_panel=CLUSTERS,
    ),
]
Selection = Annotated[
    Literal["eom", "leaf"],
    typer.Option(
        help="eom: the clusters that persist longest; leaf: the finest ones.", rich_help_panel=CLUSTERS
    ),
]
MapBackend = Annotated[
    Literal["auto", "cuml", "torch", "cpu"],
    typer.Option(
        "--backend",
        help="Who clusters and embeds: RAPIDS cuML (on a GPU); hdbscan and umap-learn with exact neighbours "
        "by torch (on a GPU, if there is one) or, with cpu, approximate ones. auto: the first that serves.",
        rich_help_panel=RUNNING,
    ),
]
GpuShare = Annotated[
    float,
    typer.Option(
        "--gpu-share", help="GPUs per worker: with 0.5, two share one.", rich_help_panel=RUNNING, min=0.01
    ),
]
AddTable = Annotated[
    bool,
    typer.Option(
        "--add-table",
        help="Keep results of other settings beside the store's own instead of refusing.",
        rich_help_panel=RUNNING,
    ),
]

Top = Annotated[
    int,
    typer.Option(
        "--top",
        "-n",
        help="How many of the strangest structures to print.",
        min=0,
        rich_help_panel=OUTPUT,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.", rich_help_panel=OUTPUT)]
AsJson = Annotated[
    bool, typer.Option("--json", help="Write the summary as JSON on stdout.", rich_help_panel=OUTPUT)
]
AnswerAsJson = Annotated[
    bool, typer.Option("--json", help="Write the answer as JSON on stdout.", rich_help_panel=OUTPUT)
]
StoreWeights = Annotated[
    str,
    typer.Option(
        "--weights",
        help="The model of the store's predictions.",
        metavar="NAME|DIR",
        rich_help_panel=NETWORK,
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.", rich_help_panel=OUTPUT)]

OF_DESCRIPTOR = {
    "features_soap": ("cutoff", "sigma", "basis", "backend"),
    "features_diffraction": ("channels", "mask"),
}
"""Parameters that determine a descriptor, by the table it is in."""
READ_BY = {"arise": "features_soap", "diffraction": "features_diffraction"}


def refuse_unused(context: typer.Context, used: Iterable[str], asked: str) -> None:
    """Raise CrysiftError, naming the option, where one is given for a descriptor that is not ``used``."""
    unused = {name: table for table, names in OF_DESCRIPTOR.items() if table not in used for name in names}
    for name, spelled in given(context).items():
        if name in unused:
            raise CrysiftError(
                f"{spelled} is a setting of {unused[name]}, which {asked} does not use: leave it out"
            )


def given(context: typer.Context) -> dict[str, str]:
    """Return the parameters that stand on the command line, by name, as they are spelled there."""
    sources = {each: context.get_parameter_source(each.name or "") for each in context.command.params}
    return {
        each.name or "": "/".join([*each.opts, *each.secondary_opts])
        for each, source in sources.items()
        if source is not None and source.name == "COMMANDLINE"
    }
