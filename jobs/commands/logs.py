"""`crysift logs`: what a job on a cluster has said."""

from typing import Annotated

import typer

from jobs import options
from jobs.cluster import options as cluster
from jobs.console import Console


def logs(
    identifier: cluster.JobIdentifier,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job has ended; return its exit status.")
    ] = False,
    address: cluster.AddressOption = None,
    unauthenticated: cluster.Unauthenticated = False,
    unencrypted: cluster.Unencrypted = False,
    debug: options.Debug = False,
) -> None:
    """Show what a job has written, and with --follow what it writes, as `crysift submit` does.

    crysift logs screen-20260801-120000-ab12 --follow
    """
    with Console(debug=debug) as console:
        from jobs.cluster.address import find_address
        from jobs.cluster.client import Jobs
        from jobs.cluster.display import JobLog, follow_job

        jobs = Jobs(find_address(address, unauthenticated=unauthenticated, unencrypted=unencrypted))
        if follow:
            raise SystemExit(follow_job(console, jobs, identifier))
        with JobLog(console) as log:
            log.write(jobs.log(identifier))
