"""Monte-Carlo dropout: the probability of every prototype, and how much the sampled networks disagree.

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

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import CrysiftError
from models.network import Perceptron, PerceptronShape

CPU_BLOCK = 512
"""Passes per product on a CPU: the activations of a block stay in the second-level cache."""
GPU_BLOCK = 1000
GPU_FOLD = 16
"""Structures per product on a GPU."""
MAX_PASSES = 1_000_000


@dataclass(frozen=True)
class Uncertainty:
    """What T passes say about B structures; entropies in nats (Leitherer et al. 2021, Methods).

    `probabilities` (B, classes) is the mean of the softmax outputs, `mutual_information` (B,) the entropy
    of the mean less the mean of the entropies, `variation_ratio` (B,) the share of passes that vote for
    another class than most.
    """

    probabilities: NDArray[np.float64]
    mutual_information: NDArray[np.float64]
    predictive_entropy: NDArray[np.float64]
    variation_ratio: NDArray[np.float64]


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
    if not 1 <= passes <= MAX_PASSES:
        raise CrysiftError(f"the number of passes {passes} is outside [1, {MAX_PASSES}]")
    widths = shape.widths[:-1]
    random = np.random.Generator(np.random.PCG64(seed))
    for start in range(0, passes, block):
        count = min(block, passes - start)
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


class MonteCarloDropout:
    """T sampled networks of one trained network, or of another network's head, ready to be applied.

    Deterministic for a given seed, device and number of threads. Not safe to share between threads: the
    buffers are reused from call to call.
    """

    def __init__(
        self, network: Perceptron, passes: int, seed: int, device: str = "cpu", fold: int | None = None
    ) -> None:
        """Draw the masks; `fold` structures go into one product (default: what suits the device)."""
        self.passes = passes
        self.device = torch.device(device)
        on_gpu = self.device.type != "cpu"
        self.fold = fold or (GPU_FOLD if on_gpu else 1)
        self._compact = self.fold == 1
        block = GPU_BLOCK if on_gpu else CPU_BLOCK
        blocks = mask_blocks(network.shape, passes, seed, block)
        self._blocks = [_Positions(masks, self.fold, self.device) for masks in blocks]
        self._load(network)
        self._allocate(network.shape, self.fold * min(block, passes))

    def _load(self, network: Perceptron) -> None:
        keep = 1.0 - network.shape.dropout
        layers = network.linear_layers
        self._mean = network.mean.detach().to(self.device)
        self._scale = (network.std.detach().double() * keep).to(self.device, torch.float32)
        self._first = layers[0].weight.detach().t().contiguous().to(self.device)
        self._weights = [
            (layer.weight.detach().double().t() / keep).to(self.device, torch.float32).contiguous()
            for layer in layers[1:]
        ]
        self._biases = [layer.bias.detach().to(self.device) for layer in layers]

    def _allocate(self, shape: PerceptronShape, rows: int) -> None:
        def empty(size: int) -> Tensor:
            return torch.empty(size, device=self.device)

        self._table = empty(self.fold * shape.inputs * shape.widths[1])
        self._outputs = [empty(rows * width) for width in shape.widths[2:]]
        self._columns = [empty(rows * width) for width in shape.hidden]
        self._rows = [empty(weight.numel()) for weight in self._weights]

    @torch.inference_mode()
    def __call__(self, vectors: Tensor) -> Uncertainty:
        """Apply all sampled networks to `vectors` (B, inputs), which for a head are what it reads."""
        B, classes = len(vectors), self._biases[-1].numel()
        probabilities = torch.zeros((B, classes), dtype=torch.float64, device=self.device)
        entropy = torch.zeros(B, dtype=torch.float64, device=self.device)
        votes = torch.zeros((B, classes), dtype=torch.int64, device=self.device)
        for start in range(0, B, self.fold):
            inputs = vectors[start : start + self.fold].to(self.device, torch.float32)
            filled = len(inputs)
            inputs = torch.nn.functional.pad(inputs, (0, 0, 0, self.fold - filled))
            here = slice(start, start + filled)
            self._accumulate(inputs, filled, probabilities[here], entropy[here], votes[here])
        return _summary(probabilities / self.passes, entropy / self.passes, votes, self.passes)

    def _accumulate(
        self, inputs: Tensor, filled: int, probabilities: Tensor, entropy: Tensor, votes: Tensor
    ) -> None:
        """Add the sums over all passes for one fold of structures, of which the first `filled` are real."""
        scaled = (inputs - self._mean) / self._scale
        table = self._table.view(len(inputs), *self._first.shape)
        torch.mul(scaled[:, :, None], self._first, out=table)
        whole = torch.addmm(self._biases[0], scaled, self._first)
        for positions in self._blocks:
            logits = self._logits(table, whole, positions).view(len(inputs), positions.passes, -1)[:filled]
            log_p = torch.log_softmax(logits, dim=-1)
            p = log_p.exp()
            votes += (log_p == log_p.amax(dim=-1, keepdim=True)).sum(dim=1)
            probabilities += p.sum(dim=1)
            entropy -= p.mul_(log_p).sum(dim=(1, 2))

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


def _summary(mean: Tensor, mean_entropy: Tensor, votes: Tensor, passes: int) -> Uncertainty:
    predictive = -torch.special.xlogy(mean, mean).sum(dim=1)
    return Uncertainty(
        probabilities=mean.cpu().numpy(),
        mutual_information=(predictive - mean_entropy).clamp_min(0.0).cpu().numpy(),
        predictive_entropy=predictive.cpu().numpy(),
        variation_ratio=(1.0 - votes.amax(dim=1) / passes).cpu().numpy(),
    )
