"""`crysift report`: the map of a store as one HTML file that opens without a network."""

from pathlib import Path
from typing import Annotated

import typer

from jobs import options
from jobs.console import Console


def report(
    store: options.StoreOption = options.DEFAULT_STORE,
    out: Annotated[Path, typer.Option("--out", "-o", help="The HTML file.", metavar="FILE")] = Path(
        "report.html"
    ),
    budget: Annotated[
        str,
        typer.Option(
            help="Largest size of the file; as many structures in 3D are in it as have room.", metavar="SIZE"
        ),
    ] = "20MB",
    column: Annotated[
        list[str] | None,
        typer.Option(
            help="Also show this column: of any table (NAME or TABLE.NAME), or a key of extra_json. "
            "May be given several times.",
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="Heading; the store's name if not given.", show_default=False)
    ] = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Write the map of a store into one HTML file: to explore in a browser, to send, to archive.

    The file needs no network: all structures as points to colour, search and select, properties, candidates
    and nearest neighbours of each, and in 3D those that have room, medoids of clusters and the novel ones
    first. `crysift serve` shows the others too.

    crysift report --store mp --out mp.html

    crysift report --store mp --column band_gap --column protostructures.space_group --budget 50MB
    """
    with Console(quiet=quiet, as_json=as_json, debug=debug) as console:
        from engine.errors import CrysiftError
        from engine.store import Store
        from jobs.page.pack import ReportSettings, write_report
        from jobs.page.sizes import parse_size, size_text

        if out.is_dir():
            raise CrysiftError(
                f"{out} is a folder: name the HTML file to write, such as {out / 'report.html'}"
            )
        settings = ReportSettings(parse_size(budget), tuple(column or ()), title)
        summary = write_report(Store.open(store, create=False), out, settings)
        shown, left_out = summary["with_positions"], summary["without_positions"]
        console.say(
            f"{out}: {size_text(summary['bytes'])}, {summary['structures']:,} structures in "
            f"{summary['clusters']:,} clusters, {shown:,} of them in 3D"
            + (f"; {summary['novel']:,} novel structures" if summary["novel"] is not None else "")
        )
        if left_out:
            console.say(
                f"{left_out:,} have no room for their atoms: `crysift serve --store {store}` shows them, "
                "or a larger --budget"
            )
        if summary["not_on_the_map"]:
            console.say(
                f"{summary['not_on_the_map']:,} structures have no place on the map yet: `crysift map --store"
                f" {store} --update` places them, or without --update fits a new map"
            )
        console.finish(summary)
