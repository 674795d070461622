"""The options with which a cluster is named: the same for all commands that speak to one."""

from typing import Annotated

import typer

CLUSTER = "Cluster"

AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="Ray dashboard of the cluster; if not given, RAY_API_SERVER_ADDRESS or RAY_ADDRESS of the "
        "environment, or http://127.0.0.1:8265.",
        metavar="URL",
        rich_help_panel=CLUSTER,
        show_default=False,
    ),
]
Unauthenticated = Annotated[
    bool,
    typer.Option(
        "--unauthenticated",
        help="Send no token, and accept a cluster elsewhere that runs whatever anybody sends.",
        rich_help_panel=CLUSTER,
    ),
]
Unencrypted = Annotated[
    bool,
    typer.Option(
        "--unencrypted",
        help="Send the token to another machine over http://, where it can be read on its way.",
        rich_help_panel=CLUSTER,
    ),
]
JobIdentifier = Annotated[str, typer.Argument(help="Name of the job.", metavar="ID", show_default=False)]
