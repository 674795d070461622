"""Work beside the main thread that does not keep the process alive."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

Argument = TypeVar("Argument")
Result = TypeVar("Result")


def in_background(function: Callable[[Argument], Result], argument: Argument) -> Future[Result]:
    """Call a function in a thread of its own, a daemon: an interrupted program ends at once."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(function(argument))
        except BaseException as error:  # noqa: BLE001 -- raised where the result is asked for
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future
