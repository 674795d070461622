"""The log of a job as it is written, over connections that may break."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from jobs.cluster.client import UnreachableError
from jobs.console import FAILED
from jobs.termination import TERMINATED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from ray.job_submission import JobDetails

    from jobs.cluster.client import Jobs

SILENCE_SECONDS = 60.0
"""After so long without a word the connection is made anew: a cut one may look like a quiet one."""
PATIENCE_SECONDS = 600.0
"""How long a cluster that does not answer is tried again."""
_PAUSE_SECONDS = 2.0


def follow(jobs: Jobs, identifier: str, remark: Callable[[str], None]) -> Iterator[str]:
    """Yield what a job writes, every character once and in order, until the job has ended.

    A lost connection is made again, and what was seen before is left out; ``remark`` is told of it. Raises
    CrysiftError where the job is unknown, or where the cluster does not answer for PATIENCE_SECONDS.
    """
    seen = 0
    while True:
        skip = seen
        for text in _stream(jobs.tail(identifier)):
            new = text[skip:]
            skip -= len(text) - len(new)
            seen += len(new)
            if new:
                yield new
        # Ray ends the stream a moment after the job, and may leave out what was written last.
        ended, log = _state_and_log(jobs, identifier, remark)
        if rest := log[seen:]:
            seen += len(rest)
            yield rest
        if ended:
            return
        time.sleep(_PAUSE_SECONDS)


def exit_status(details: JobDetails) -> int:
    """Return the exit status of an ended job's command: 143 for a stopped one, 1 where Ray does not tell."""
    if details.status == "SUCCEEDED":
        return 0
    if details.status == "STOPPED":
        return TERMINATED
    status = details.driver_exit_code or FAILED
    return 128 - status if status < 0 else status


def _stream(tail: AsyncIterator[str]) -> Iterator[str]:
    """Yield from an asynchronous stream until it ends, breaks or falls silent.

    Not by ``asyncio.run``, which would keep Ctrl-C to itself.
    """
    import aiohttp

    loop = asyncio.new_event_loop()
    try:
        with suppress(StopAsyncIteration, TimeoutError, OSError, RuntimeError, aiohttp.ClientError):
            while True:
                yield loop.run_until_complete(_next(tail))
    finally:
        waiting = asyncio.all_tasks(loop)
        for task in waiting:
            task.cancel()
        loop.run_until_complete(asyncio.wait(waiting) if waiting else asyncio.sleep(0))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _next(tail: AsyncIterator[str]) -> str:
    return await asyncio.wait_for(anext(tail), SILENCE_SECONDS)


def _state_and_log(jobs: Jobs, identifier: str, remark: Callable[[str], None]) -> tuple[bool, str]:
    """Return whether the job has ended and all that it has written, as soon as the cluster answers."""
    lost = None
    while True:
        try:
            answer = jobs.details(identifier).status.is_terminal(), jobs.log(identifier)
        except UnreachableError as error:
            if lost is None:
                lost = time.monotonic()
                remark("the connection to the cluster is lost and tried again; the job does not depend on it")
            if time.monotonic() - lost > PATIENCE_SECONDS:
                raise UnreachableError(
                    f"the cluster has not answered for {PATIENCE_SECONDS / 60:.0f} minutes ({error}); if it "
                    f"runs still, so may the job: `crysift logs {identifier} --follow` shows it"
                ) from error
            time.sleep(_PAUSE_SECONDS)
        else:
            if lost is not None:
                remark("connected again")
            return answer
