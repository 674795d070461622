"""`crysift submit`: a command as a job on a Ray cluster."""

from typing import Annotated

import typer

from jobs import options
from jobs.cluster import options as cluster
from jobs.cluster.command import checked_arguments, parse_command
from jobs.cluster.keys import keys_left_behind
from jobs.console import Console


def submit(
    context: typer.Context,
    command: Annotated[
        list[str],
        typer.Argument(help="What to run on the cluster, after `--`.", metavar="COMMAND", show_default=False),
    ],
    address: cluster.AddressOption = None,
    identifier: Annotated[
        str | None,
        typer.Option(
            "--id", help="Name of the job; a new one is made if not given.", metavar="ID", show_default=False
        ),
    ] = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Print the job's ID and return; do not follow its log.")
    ] = False,
    package: Annotated[
        str,
        typer.Option(
            "--package",
            help="Which crysift runs: this one, which is sent; the one installed on the cluster; or a wheel.",
            metavar="this|installed|FILE.whl",
            rich_help_panel=cluster.CLUSTER,
        ),
    ] = "this",
    python: Annotated[
        str,
        typer.Option(
            "--python",
            help="Python of the cluster's head, with crysift's requirements installed.",
            metavar="PATH",
            rich_help_panel=cluster.CLUSTER,
        ),
    ] = "python",
    unauthenticated: cluster.Unauthenticated = False,
    unencrypted: cluster.Unencrypted = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Run a command as a job on a Ray cluster, and show its progress as if it ran here.

    crysift submit -- screen mp: --store s3://bucket/mp

    crysift submit --address https://ray.example.org -- screen /data/cif --store /data/store

    id=$(crysift submit --no-wait -- screen examples: --store /data/store)

    The exit status is that of the command. Ctrl-C or a lost connection leaves
    the job running: [bold]crysift logs ID --follow[/bold] goes on showing it,
    [bold]crysift stop ID[/bold] ends it, and the same command goes on later.

    The cluster's token is read from RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH.
    Keys do not travel: MP_API_KEY, NOMAD_TOKEN, AWS_… must be set where the
    cluster is started. Paths are those of the cluster.
    """
    parsed = parse_command(context, command)
    with Console(quiet=quiet, debug=debug) as console:
        arguments = checked_arguments(parsed, command)
        from jobs.cluster.address import find_address
        from jobs.cluster.client import Jobs
        from jobs.cluster.display import follow_job
        from jobs.cluster.submission import new_identifier, submit_command

        where = find_address(address, unauthenticated=unauthenticated, unencrypted=unencrypted)
        for key in keys_left_behind(arguments):
            console.note(
                f"{key} stays here: where the command needs it, the cluster's own environment must have it"
            )
        jobs = Jobs(where)
        job = identifier or new_identifier(arguments[0])
        submit_command(jobs, job, arguments, package=package, python=python)
        if no_wait:
            console.note(f"`crysift logs {job} --follow` shows it, `crysift stop {job}` ends it")
            console.out.print(job, soft_wrap=True)
            return
        console.note(f"job {job} on {where.url}")
        raise SystemExit(follow_job(console, jobs, job))
