"""Optimisation of a network: one loop for all architectures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.errors import CrysiftError
from models.network import Network, Perceptron

Floats = NDArray[np.float32]
Classes = NDArray[np.int64]

BLOCK = 64
"""Vectors at a time where no gradient is asked: the maps of so many images fit into memory."""


@dataclass(frozen=True)
class TrainingSettings:
    """What determines a trained network besides its vectors.

    The defaults are those of ARISE. Its published protocol (Leitherer et al., Nat. Commun. 12, 6234 (2021),
    Methods) is 300 epochs at a constant learning rate of 2.16e-4 without `sparsity`; the model card says what
    the differences bring.
    """

    epochs: int = 30
    batch: int = 128
    learning_rate: float = 1e-3
    """At the start; it falls to zero along half a cosine."""
    sparsity: float = 0.3
    """Weight of the mean hidden activation of a perceptron in the loss: units that are zero cost nothing at
    inference."""
    validation: float = 0.2
    """Share of every class that is not trained on, and by which the best epoch is chosen."""
    seed: int = 42

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "learning_rate"):
            if getattr(self, name) <= 0:
                raise CrysiftError(f"training setting {name} = {getattr(self, name)} must be positive")
        if not 0.0 < self.validation < 1.0:
            raise CrysiftError(f"training setting validation = {self.validation:g} is outside (0, 1)")


@dataclass(frozen=True)
class Epoch:
    """One epoch's figures; accuracy on the validation part, dropout off."""

    number: int
    loss: float
    validation_loss: float
    validation_accuracy: float


@dataclass(frozen=True)
class Trained:
    """A trained network in evaluation mode with the weights of its best epoch."""

    network: Network
    best: Epoch
    history: tuple[Epoch, ...]


EpochListener = Callable[[Epoch], None]
NetworkBuilder = Callable[[Tensor], Network]
"""Makes a network with random weights, given the vectors (N, inputs) that it will be trained on."""
Augmentation = Callable[[Tensor], Tensor]
"""Random variants (B, inputs) of training vectors (B, inputs)."""


def stratified_split(classes: Classes, share: float, seed: int) -> tuple[Classes, Classes]:
    """Row numbers (rest, held out): of every class the same `share` is held out, at least one row."""
    random = np.random.default_rng(seed)
    held = [
        random.permutation(rows)[: max(1, round(share * len(rows)))]
        for rows in (np.flatnonzero(classes == c) for c in np.unique(classes))
    ]
    held_out = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(classes)), held_out), held_out


def train(
    build: NetworkBuilder,
    vectors: Floats,
    classes: Classes,
    settings: TrainingSettings,
    on_epoch: EpochListener = lambda _: None,
    augment: Augmentation = lambda batch: batch,
) -> Trained:
    """Train on `vectors` (N, inputs) of `classes` (N,); deterministic for given settings and one thread.

    The network sees each batch as `augment` returns it, and the validation part as it returned it once.
    """
    training, validation = stratified_split(classes, settings.validation, settings.seed)
    x, y = torch.from_numpy(vectors), torch.from_numpy(classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = build(x[training])
        x_validation = augment(x[validation])
        optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.epochs)
        history: list[Epoch] = []
        best_weights: dict[str, Tensor] = {}
        for number in range(1, settings.epochs + 1):
            batches = _batches(x[training], y[training], settings.batch, augment)
            loss = _one_epoch(network, optimiser, batches, settings.sparsity)
            schedule.step()
            history.append(Epoch(number, loss, *_validate(network, x_validation, y[validation])))
            on_epoch(history[-1])
            if _is_best(history):
                best_weights = {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(best_weights)
    return Trained(network.eval(), min(history, key=_rank), tuple(history))


def _rank(epoch: Epoch) -> tuple[float, float]:
    return -epoch.validation_accuracy, epoch.validation_loss


def _is_best(history: list[Epoch]) -> bool:
    return len(history) == 1 or _rank(history[-1]) < min(map(_rank, history[:-1]))


def _batches(x: Tensor, y: Tensor, size: int, augment: Augmentation) -> Iterator[tuple[Tensor, Tensor]]:
    """All rows in random order."""
    for rows in torch.split(torch.randperm(len(x)), size):
        yield augment(x[rows]), y[rows]


def _one_epoch(
    network: Network,
    optimiser: torch.optim.Optimizer,
    batches: Iterable[tuple[Tensor, Tensor]],
    sparsity: float,
) -> float:
    """One pass over the training rows; returns the mean cross-entropy."""
    network.train()
    total, count = 0.0, 0
    for x, y in batches:
        optimiser.zero_grad(set_to_none=True)
        *hidden, logits = _outputs(network, x)
        cross_entropy = nn.functional.cross_entropy(logits, y)
        activity = sum(torch.relu(layer).mean() for layer in hidden)
        torch.autograd.backward(cross_entropy + sparsity * activity)
        optimiser.step()
        total, count = total + cross_entropy.item() * len(y), count + len(y)
    return total / count


def _outputs(network: Network, x: Tensor) -> list[Tensor]:
    """Outputs of the hidden layers that are to be sparse, before their ReLU, and the logits."""
    return network.hidden_and_logits(x) if isinstance(network, Perceptron) else [network(x)]


@torch.inference_mode()
def plain_logits(network: Network, vectors: Tensor) -> Tensor:
    """Logits (N, classes) without dropout; `vectors` (N, inputs) may be of any floating-point type."""
    network.eval()
    return torch.cat([network(block.float()) for block in torch.split(vectors, BLOCK)])


def _validate(network: Network, x: Tensor, y: Tensor) -> tuple[float, float]:
    logits = plain_logits(network, x)
    loss = float(nn.functional.cross_entropy(logits, y))
    return loss, float((logits.argmax(dim=1) == y).float().mean())
