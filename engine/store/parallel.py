"""Many reads at a time, for what takes its time on the way and not in the processor."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_ROUNDS = 32

Result = TypeVar("Result")


def in_parallel(
    function: Callable[[str], Result], names: Sequence[str], at_once: int
) -> Iterator[tuple[str, Result]]:
    """Yield each name with what the function returns for it, in their order; memory holds a few rounds."""
    with ThreadPoolExecutor(at_once) as pool:
        for start in range(0, len(names), at_once * _ROUNDS):
            some = names[start : start + at_once * _ROUNDS]
            yield from zip(some, pool.map(function, some), strict=True)
