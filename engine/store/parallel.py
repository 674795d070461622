"""Many reads at a time, for what takes its time on the way and not in the processor."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_ROUNDS = 32

Result = TypeVar("Result")


def in_parallel(
    function: Callable[[str], Result], names: Sequence[str], at_once: int
) -> Iterator[tuple[str, Result]]:
    """Yield each name with what the function returns for it, in their order; memory holds a few rounds.

    No threads are left while the caller has control: an iterator that is given up half-way would end them
    whenever Python collects it, and that can be while another thread starts, which then never would.
    """
    for start in range(0, len(names), at_once * _ROUNDS):
        some = names[start : start + at_once * _ROUNDS]
        with ThreadPoolExecutor(at_once) as pool:
            found = list(pool.map(function, some))
        yield from zip(some, found, strict=True)
