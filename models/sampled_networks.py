"""Sampled networks: a trained network under the dropout masks that are drawn for it, pass by pass.

A pass is one *sampled network*: the trained network without the units that its dropout mask removes. The
masks of all T passes are drawn once from the seed and shared by all structures. Each structure's estimate
has the same distribution as with masks of its own (its T masks are independent of each other), but the
result is now a function of seed and vector alone: the same whatever the batch, its order, or the number of
workers, equal vectors get equal results, two structures are compared on the same networks, and nothing
random is drawn per structure.

The passes of one structure are the rows of matrix products of fixed shape, and four things make these cheap:

* the input differs between passes only in its dropped components: the first layer is computed once, and each
  pass subtracts the rows of the dropped ones (about ten of 316 for ARISE) instead of multiplying anew, which
  is the faster even where a quarter is dropped and the first layer is the last, as after the convolutions;
* the factor 1/(1 − p) of inverted dropout is folded into the weights that follow;
* dropping hidden units is writing zeros to positions known beforehand;
* a hidden unit that is zero in all passes of a block (ReLU, same structure) contributes nothing to the next
  layer: its column and its weights leave the product (on the CPU, where the sizes of a product may vary for
  free).

References: Gal & Ghahramani, ICML 2016; Leitherer et al., Nat. Commun. 12, 6234 (2021), Methods.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import CrysiftError
from models.network import Perceptron, PerceptronShape

GPU_FOLD = 16
"""Structures per product on a GPU."""
MAX_PASSES = 1_000_000


@dataclass(frozen=True)
class MaskBlock:
    """Dropped units of consecutive passes, (passes, width) bool for the input and every hidden layer."""

    dropped: tuple[NDArray[np.bool_], ...]

    @property
    def passes(self) -> int:
        """Number of passes in the block."""
        return len(self.dropped[0])


def mask_blocks(shape: PerceptronShape, passes: int, seed: int, block: int) -> Iterator[MaskBlock]:
    """Masks of `passes` sampled networks in blocks of `block`; pass t depends on seed and t only."""
    check_passes(passes)
    yield from masks_in_blocks(shape, block_sizes(passes, block), seed)


def block_sizes(passes: int, block: int) -> list[int]:
    """Sizes of the blocks of `block` that `passes` are cut into; the last one may be smaller."""
    return [min(block, passes - start) for start in range(0, passes, block)]


def masks_in_blocks(shape: PerceptronShape, sizes: Sequence[int], seed: int) -> Iterator[MaskBlock]:
    """Masks of sampled networks in blocks of given sizes; pass t depends on seed and t only."""
    widths = shape.widths[:-1]
    random = np.random.Generator(np.random.PCG64(seed))
    for count in sizes:
        dropped = random.random((count, sum(widths))) < shape.dropout
        yield MaskBlock(tuple(np.split(dropped, np.cumsum(widths)[:-1], axis=1)))


class _Positions:
    """A mask block as positions: input rows of every pass, and flat positions of dropped hidden units."""

    def __init__(self, masks: MaskBlock, fold: int, device: torch.device) -> None:
        inputs, *hidden = masks.dropped
        folded = np.tile(inputs, (fold, 1))
        rows, components = np.nonzero(folded)
        counts = folded.sum(axis=1)
        self.passes = masks.passes
        self.inputs = torch.from_numpy(components + rows // masks.passes * inputs.shape[1]).to(device)
        self.offsets = torch.from_numpy(np.cumsum(counts) - counts).to(device)
        self.hidden = [
            torch.from_numpy(np.flatnonzero(np.tile(layer, (fold, 1)))).to(device) for layer in hidden
        ]


class FirstLayer(NamedTuple):
    """What the first layer makes of a fold of structures, of which the first `rows` are real.

    `components` (fold, inputs, width) are the contributions of the single inputs, `whole` (fold, width) is
    the output without dropout.
    """

    components: Tensor
    whole: Tensor
    rows: int


class SampledNetworks:
    """Sampled networks of one trained network, or of another network's head, in blocks of passes.

    Deterministic for a given seed, device and number of threads. Not safe to share between threads: the
    buffers are reused from call to call.
    """

    def __init__(
        self,
        network: Perceptron,
        sizes: Sequence[int],
        seed: int,
        device: str = "cpu",
        fold: int | None = None,
        temperature: float = 1.0,
    ) -> None:
        """Draw the masks of blocks of `sizes` passes; `fold` structures go into one product.

        Logits are divided by `temperature` before the softmax of every pass. By default the fold is what
        suits the device.
        """
        self.device = torch.device(device)
        self.sizes = tuple(sizes)
        self.classes = network.shape.classes
        self.fold = fold or (1 if self.device.type == "cpu" else GPU_FOLD)
        self._compact = self.fold == 1
        blocks = masks_in_blocks(network.shape, sizes, seed)
        self._blocks = [_Positions(masks, self.fold, self.device) for masks in blocks]
        self._load(network, temperature)
        self._allocate(network.shape, self.fold * max(sizes))

    def _load(self, network: Perceptron, temperature: float) -> None:
        keep = 1.0 - network.shape.dropout
        layers = network.linear_layers
        divisors = [1.0] * (len(layers) - 1) + [temperature]
        weights = [
            (layer.weight.detach().double() / divisor).t()
            for layer, divisor in zip(layers, divisors, strict=True)
        ]
        self._mean = network.mean.detach().to(self.device)
        self._scale = (network.std.detach().double() * keep).to(self.device, torch.float32)
        self._first = weights[0].to(self.device, torch.float32).contiguous()
        self._weights = [
            (weight / keep).to(self.device, torch.float32).contiguous() for weight in weights[1:]
        ]
        self._biases = [
            (layer.bias.detach().double() / divisor).to(self.device, torch.float32)
            for layer, divisor in zip(layers, divisors, strict=True)
        ]

    def _allocate(self, shape: PerceptronShape, rows: int) -> None:
        def empty(size: int) -> Tensor:
            return torch.empty(size, device=self.device)

        self._table = empty(self.fold * shape.inputs * shape.widths[1])
        self._outputs = [empty(rows * width) for width in shape.widths[2:]]
        self._columns = [empty(rows * width) for width in shape.hidden]
        self._rows = [empty(weight.numel()) for weight in self._weights]

    def first_layer(self, vectors: Tensor) -> FirstLayer:
        """Apply the first layer, whole and component by component, to `vectors` (B, inputs) of one fold."""
        inputs = vectors.to(self.device, torch.float32)
        inputs = torch.nn.functional.pad(inputs, (0, 0, 0, self.fold - len(inputs)))
        scaled = (inputs - self._mean) / self._scale
        table = self._table.view(self.fold, *self._first.shape)
        torch.mul(scaled[:, :, None], self._first, out=table)
        return FirstLayer(table, torch.addmm(self._biases[0], scaled, self._first), len(vectors))

    def log_probabilities(self, first: FirstLayer, block: int) -> Tensor:
        """Logarithms (B, passes, classes) of what the networks of a block say about a fold of structures."""
        positions = self._blocks[block]
        logits = self._logits(first.components, first.whole, positions)
        return torch.log_softmax(logits.view(self.fold, positions.passes, -1)[: first.rows], dim=-1)

    def _logits(self, table: Tensor, whole: Tensor, positions: _Positions) -> Tensor:
        """Logits (fold · passes, classes) of one block of passes."""
        dropped = torch.nn.functional.embedding_bag(
            positions.inputs, table.flatten(0, 1), positions.offsets, mode="sum"
        )
        by_structure = dropped.view(len(whole), positions.passes, -1)
        torch.sub(whole[:, None, :], by_structure, out=by_structure)
        activation = dropped
        for layer, bias in enumerate(self._biases[1:]):
            activation.relu_().view(-1).index_fill_(0, positions.hidden[layer], 0.0)
            kept, weight = (
                self._active(layer, activation) if self._compact else (activation, self._weights[layer])
            )
            output = self._outputs[layer][: len(kept) * len(bias)].view(len(kept), len(bias))
            activation = torch.addmm(bias, kept, weight, out=output)
        return activation

    def _active(self, layer: int, activation: Tensor) -> tuple[Tensor, Tensor]:
        """Return activations (rows, k) and weights (k, next) of the k units that are not zero in all rows."""
        weight = self._weights[layer]
        active = (activation.amax(dim=0) > 0).nonzero()[:, 0]
        k, rows, width = len(active), len(activation), weight.shape[1]
        columns = self._columns[layer][: rows * k].view(rows, k)
        kept = self._rows[layer][: k * width].view(k, width)
        return (
            torch.index_select(activation, 1, active, out=columns),
            torch.index_select(weight, 0, active, out=kept),
        )


def check_passes(passes: int) -> None:
    """Raise CrysiftError for a number of passes out of range."""
    if not 1 <= passes <= MAX_PASSES:
        raise CrysiftError(f"the number of passes {passes} is outside [1, {MAX_PASSES}]")
