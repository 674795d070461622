"""`crysift spm-maps`: pictures and exports of strided pattern matching."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from jobs import options
from jobs.console import Console

PICTURES = "Pictures"
FILES = "Other files"


def spm_maps(
    store: options.StoreOption = options.DEFAULT_STORE,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the files.", metavar="FOLDER")] = Path(
        "maps"
    ),
    show: Annotated[
        str,
        typer.Option(
            help="What to draw: class, probability, mutual-information, entropy, ood-score, n-atoms, level, "
            "cluster, or a prototype (fcc, L12_Cu3Au, …) for its probability.",
            metavar="NAME[,NAME]",
            rich_help_panel=PICTURES,
        ),
    ] = "class,probability,mutual-information",
    frame: Annotated[
        int, typer.Option(help="Which frame to draw, from 0.", min=0, rich_help_panel=PICTURES)
    ] = 0,
    axis: Annotated[
        Literal["x", "y", "z"] | None,
        typer.Option(
            help="Cut slices perpendicular to this axis; z if not given, or the flat one.",
            rich_help_panel=PICTURES,
            show_default=False,
        ),
    ] = None,
    slices: Annotated[
        int, typer.Option(help="How many slices.", min=1, max=100, rich_help_panel=PICTURES)
    ] = 9,
    at: Annotated[
        float | None,
        typer.Option(
            help="Cut one slice here, in Å.", metavar="Å", rich_help_panel=PICTURES, show_default=False
        ),
    ] = None,
    picture_format: Annotated[
        Literal["png", "svg", "pdf"],
        typer.Option("--format", help="Of the pictures.", rich_help_panel=PICTURES),
    ] = "png",
    html: Annotated[
        bool, typer.Option(help="An interactive volume for the browser, volume.html.", rich_help_panel=FILES)
    ] = True,
    vti: Annotated[
        bool, typer.Option(help="The boxes for ParaView, boxes.vti.", rich_help_panel=FILES)
    ] = True,
    atoms: Annotated[
        bool,
        typer.Option(
            help="The atoms with the results of their boxes for OVITO, atoms.extxyz.", rich_help_panel=FILES
        ),
    ] = True,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Draw what `crysift spm` found, and write it for OVITO, ParaView and the browser.

    crysift spm-maps --store grains --out pictures

    crysift spm-maps --store alloy --show class,L12_Cu3Au --axis y --at 60 --format svg

    crysift spm-maps --store particle --show cluster      [dim]after crysift spm-regions[/dim]
    """
    with Console(quiet=quiet, as_json=as_json, debug=debug) as console:
        from engine.store import Store
        from jobs.spm.maps.export import MapSettings, write_maps
        from jobs.spm.pipeline import open_spm

        opened = Store.open(store, create=False)
        tables = open_spm(opened)
        names = tuple(name.strip() for name in show.split(",") if name.strip())
        settings = MapSettings(names, frame, axis, slices, at, picture_format, html, vti, atoms)
        written = []
        for path in write_maps(opened, tables, out, settings):
            console.say(f"written: {path}")
            written.append(str(path))
        if html and min(tables.geometry.counts) == 1:
            console.note("the boxes are not lined up along all three axes: there is no volume.html")
        console.finish({"store": opened.folder.url, "name": tables.atoms.name, "files": written})
