"""Which structures are one and the same to a network, so that one can stand for all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

BLOCK = 1024
"""Points per matrix product."""


@torch.inference_mode()
def leaders(points: Iterable[Tensor], within: float) -> Iterator[int]:
    """Yield for each of `points`, blocks of directions (B, width), the number of the one that stands for it.

    Points are counted from 0. One stands for itself if none before it that does is within the distance
    `within`, else the nearest of these stands for it: none is farther than that from the one that stands for
    it (leader clustering, J. A. Hartigan, Clustering Algorithms, Wiley 1975, chapter 3).
    """
    least = 1.0 - within**2 / 2.0  # scalar product of directions that far apart
    standing: list[tuple[Tensor, list[int]]] = []
    count = 0
    for block in points:
        for part in block.split(BLOCK):
            chosen, new = _within_block(part, _best(part, standing), least, count)
            if new:
                standing.append((part[new].clone(), [count + row for row in new]))
            yield from chosen
            count += len(part)


def _best(block: Tensor, standing: list[tuple[Tensor, list[int]]]) -> list[tuple[float, int]]:
    """Largest scalar product of every point of a block with those standing, and the number of that one."""
    best = block.new_full((len(block),), -2.0)
    numbers = torch.full((len(block),), -1)
    for leading, their_numbers in standing:
        product, column = (block @ leading.t()).max(dim=1)
        better = product > best
        best[better] = product[better]
        numbers[better.cpu()] = torch.tensor(their_numbers)[column[better].cpu()]
    return list(zip(best.tolist(), numbers.tolist(), strict=True))


def _within_block(
    block: Tensor, before: list[tuple[float, int]], least: float, count: int
) -> tuple[list[int], list[int]]:
    """Choose for the points of a block, the first of them number `count`; return the new leaders' rows."""
    products = (block @ block.t()).cpu().numpy()
    chosen: list[int] = []
    new: list[int] = []
    for row, (best, number) in enumerate(before):
        here = max(((products[row, leader], count + leader) for leader in new), default=(-2.0, -1))
        product, stands = max((best, number), here)
        if product < least:
            new.append(row)
            stands = count + row
        chosen.append(stands)
    return chosen, new
