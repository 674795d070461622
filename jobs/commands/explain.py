"""`crysift explain`: why a structure is, or is not, out of distribution."""

from pathlib import Path
from typing import Annotated

import typer

from jobs import options
from jobs.console import Console


def explain(
    structure_id: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="The structure_id of a structure of the store.", show_default=False
        ),
    ],
    store: options.StoreOption = options.DEFAULT_STORE,
    number: Annotated[int, typer.Option("--number", "-n", help="Nearest classes to list.", min=1)] = 5,
    weights: options.StoreWeights = options.WEIGHTS["arise"],
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture",
            help="Draw the structure and the answer into this PNG, SVG or PDF file.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    quiet: options.Quiet = False,
    as_json: options.AnswerAsJson = False,
    debug: options.Debug = False,
) -> None:
    """Say why a structure is, or is not, out of distribution.

    Distances are out-of-distribution scores: 95 % of in-distribution structures are nearer than 1. The
    descriptor is a mean over pairs of species; what a species or a pair adds to the score is by how much it
    falls when the pairs are left out of the mean. Negative is what makes a structure look known.

    crysift explain examples:quartz --store mine

    crysift explain mp:mp-1234 --store mp --picture mp-1234.png

    crysift explain mp:mp-1234 --store mp --json
    """
    with Console(quiet=quiet, as_json=as_json, debug=debug) as console:
        from engine.store import Store
        from jobs.explain import explain as explained
        from jobs.explain.drawing import check_format, draw_explanation
        from jobs.explain.report import print_explanation, summary_of

        if picture is not None:
            check_format(picture)
        opened = Store.open(store, create=False)
        answer = explained(opened, structure_id, weights, number)
        if picture is not None:
            draw_explanation(answer, picture)
            console.note(f"written: {picture}")
        print_explanation(console, answer)
        console.finish(summary_of(answer, opened))
