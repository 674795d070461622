"""SIGTERM, with which schedulers and Ray end a command, as the interruption that Ctrl-C is."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

INTERRUPTED, TERMINATED = 130, 143
_ONE_REQUEST_SECONDS = 5.0
"""A scheduler signals every process of a job, and a shell may pass the signal on: that is one request."""
_AGAIN_AFTER_SECONDS = 0.1
_received: list[float] = []


def stop_on_sigterm() -> None:
    """Let SIGTERM interrupt this process as Ctrl-C does; it leaves with status 143 instead of 130.

    An interrupt that Python has to drop, because it came during a callback of the garbage collector or of
    compiled code, is delivered again.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    sys.unraisablehook = _deliver_again


def was_terminated() -> bool:
    """Whether SIGTERM has arrived."""
    return bool(_received)


def interrupt_status() -> int:
    """Exit status of an interrupted command: 143 after SIGTERM, 130 after Ctrl-C."""
    return TERMINATED if was_terminated() else INTERRUPTED


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 -- the signature of a handler
    now = time.monotonic()
    if not _received or now - _received[-1] > _ONE_REQUEST_SECONDS:
        _received.append(now)
        raise KeyboardInterrupt


def _deliver_again(dropped: sys.UnraisableHookArgs) -> None:
    if dropped.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(dropped)
        return
    number = signal.SIGINT
    if was_terminated():
        number = signal.SIGTERM
        _received[-1] = -math.inf  # so that the signal sent again counts as a new request
    again = threading.Timer(_AGAIN_AFTER_SECONDS, os.kill, (os.getpid(), number))
    again.daemon = True
    again.start()
