"""`crysift serve`: the page of a store, with every structure in 3D, on this machine only."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from jobs import options
from jobs.console import Console


def serve(
    store: options.StoreOption = options.DEFAULT_STORE,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.", min=0, max=65535)] = 0,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Show this page, which `crysift report` wrote of the store, instead of making one.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Show the page of a store in the browser, with the structures that its file has no room for.

    It answers on 127.0.0.1 alone, only who has the printed address with its token, and changes nothing.
    Ctrl-C ends it.

    crysift serve --store mp

    crysift serve --store mp --report mp.html --port 8000
    """
    with Console(quiet=quiet, as_json=as_json, debug=debug) as console:
        from engine.store import Store
        from jobs.serve.page import ServedPage
        from jobs.serve.server import Server
        from jobs.serve.structures import StructureReader

        opened = Store.open(store, create=False)
        if report is None:
            console.note("packing the page, which takes some seconds")
        page = ServedPage.of_store(opened) if report is None else ServedPage.read(report)
        with Server.bound(page, StructureReader.of(opened, page.structure_ids), port) as server:
            console.say(f"Open {server.url}")
            console.say("Ctrl-C ends it.")
            console.finish({"url": server.url, "structures": len(page.structure_ids)})
            sys.stdout.flush()
            server.run()
