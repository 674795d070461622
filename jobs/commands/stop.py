"""`crysift stop`: end a job on a cluster."""

import time

from jobs import options
from jobs.cluster import options as cluster
from jobs.console import Console

_ASK_EVERY_SECONDS = 0.5


def stop(
    identifier: cluster.JobIdentifier,
    address: cluster.AddressOption = None,
    unauthenticated: cluster.Unauthenticated = False,
    unencrypted: cluster.Unencrypted = False,
    debug: options.Debug = False,
) -> None:
    """Stop a job in order, and wait until it has ended. What it committed is kept.

    crysift stop screen-20260801-120000-ab12

    The same command, submitted again, goes on where the stopped one ended.
    """
    with Console(debug=debug) as console:
        from engine.errors import CrysiftError
        from jobs.cluster.address import find_address
        from jobs.cluster.client import STOP_SECONDS, Jobs
        from jobs.cluster.submission import command_of

        jobs = Jobs(find_address(address, unauthenticated=unauthenticated, unencrypted=unencrypted))
        details = jobs.details(identifier)
        if details.status.is_terminal():
            console.say(f"job {identifier} had ended already: {details.status.lower()}")
            return
        jobs.stop(identifier)
        # Ray kills after STOP_SECONDS what has not ended by then; it needs a moment to notice either.
        deadline = time.monotonic() + 2 * STOP_SECONDS
        while not (details := jobs.details(identifier)).status.is_terminal():
            if time.monotonic() > deadline:
                raise CrysiftError(
                    f"job {identifier} has not ended within {2 * STOP_SECONDS} seconds: "
                    f"`crysift logs {identifier}` may tell what it does"
                )
            time.sleep(_ASK_EVERY_SECONDS)
        console.say(f"job {identifier} is {details.status.lower()}. The same command goes on:")
        console.out.print(f"crysift submit -- {command_of(details.entrypoint)}", soft_wrap=True, markup=False)
