"""`crysift similar`: the structures of a store that are nearest to one's own."""

from pathlib import Path
from typing import Annotated

import typer

from jobs import options
from jobs.console import Console


def similar(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders or globs of structures; each structure in them is looked up.",
            show_default=False,
        ),
    ],
    store: options.StoreOption = options.DEFAULT_STORE,
    number: Annotated[int, typer.Option("--number", "-n", help="Nearest structures of each.", min=1)] = 10,
    layer: Annotated[
        str,
        typer.Option(
            help="Where distances are taken: in the outputs of hidden layer 1, 2 or 3, or in the descriptor.",
            metavar="1|2|3|descriptor",
        ),
    ] = "3",
    file_format: options.FileFormat = None,
    columns: options.Columns = None,
    weights: options.StoreWeights = options.WEIGHTS["arise"],
    csv: Annotated[
        Path | None,
        typer.Option("--csv", help="Write all rows to this CSV file.", rich_help_panel=options.OUTPUT),
    ] = None,
    quiet: options.Quiet = False,
    as_json: options.AnswerAsJson = False,
    debug: options.Debug = False,
) -> None:
    """Find the structures of a store that are nearest to yours: known ones, and the unknown ones like it.

    Near is a small distance between what the network makes of two structures; the cosine of the angle between
    the two is the same for all lengths. Equal structures of other elements have distance 0. Nothing is added
    to the store. Where it has a map, the cluster is told, -1 for an outlier.

    crysift similar mine.cif --store mp

    crysift similar relaxed/*.vasp --store mp --number 3 --csv nearest.csv

    crysift similar mine.cif --store mp --layer descriptor --json
    """
    with Console(quiet=quiet, as_json=as_json, debug=debug) as console:
        from connectors.settings import SourceSettings
        from engine.execution.events import ignore
        from engine.store import Store
        from jobs.similar import SimilarSettings, find_similar
        from jobs.similar_report import print_similar, summary_of, write_csv

        settings = SimilarSettings(number, layer, weights)
        opened = Store.open(store, create=False)
        answer = find_similar(files, opened, settings, SourceSettings(file_format, columns), ignore)
        for reject in answer.rejects.to_pylist():
            console.warn(f"{reject['source_id']} is left out: {reject['error_message']}")
        if csv is not None:
            write_csv(answer, csv)
            console.note(f"written: {csv}")
        print_similar(console, answer)
        console.finish(summary_of(answer, opened, settings))
