"""Blocks of a fixed number of rows: a row's numbers then do not depend on the batch that it comes in."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def filled_blocks(rows: Tensor, size: int) -> Iterator[Tensor]:
    """Blocks (size, width) of rows (B, width), the last one filled up with zeros; of no rows one block."""
    for block in torch.split(rows, size):
        yield torch.nn.functional.pad(block, (0, 0, 0, size - len(block)))
