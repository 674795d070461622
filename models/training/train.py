"""Optimisation of the ARISE network (Leitherer et al., Nat. Commun. 12, 6234 (2021), Methods)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.errors import CrysiftError
from models.network import Arise, AriseShape

Floats = NDArray[np.float32]
Classes = NDArray[np.int64]


@dataclass(frozen=True)
class TrainingSettings:
    """What determines a trained network besides its vectors.

    The published protocol is 300 epochs at a constant learning rate of 2.16e-4 without `sparsity`; the
    model card says what the differences bring.
    """

    epochs: int = 120
    batch: int = 64
    learning_rate: float = 1e-3
    """At the start; it falls to zero along half a cosine."""
    sparsity: float = 0.3
    """Weight of the mean hidden activation in the loss: units that are zero cost nothing at inference."""
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

    network: Arise
    best: Epoch
    history: tuple[Epoch, ...]


EpochListener = Callable[[Epoch], None]


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
    vectors: Floats,
    classes: Classes,
    shape: AriseShape,
    settings: TrainingSettings,
    on_epoch: EpochListener = lambda _: None,
) -> Trained:
    """Train on `vectors` (N, inputs) of `classes` (N,); deterministic for given settings and one thread."""
    training, validation = stratified_split(classes, settings.validation, settings.seed)
    x, y = torch.from_numpy(vectors), torch.from_numpy(classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = Arise(shape)
        network.fit_standardisation(x[training])
        optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.epochs)
        history: list[Epoch] = []
        best_weights: dict[str, Tensor] = {}
        for number in range(1, settings.epochs + 1):
            loss = _one_epoch(network, optimiser, x[training], y[training], settings)
            schedule.step()
            history.append(Epoch(number, loss, *_validate(network, x[validation], y[validation])))
            on_epoch(history[-1])
            if _is_best(history):
                best_weights = {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(best_weights)
    return Trained(network.eval(), min(history, key=_rank), tuple(history))


def _rank(epoch: Epoch) -> tuple[float, float]:
    return -epoch.validation_accuracy, epoch.validation_loss


def _is_best(history: list[Epoch]) -> bool:
    return len(history) == 1 or _rank(history[-1]) < min(map(_rank, history[:-1]))


def _one_epoch(
    network: Arise, optimiser: torch.optim.Optimizer, x: Tensor, y: Tensor, settings: TrainingSettings
) -> float:
    """One pass over the training rows in random order; returns the mean cross-entropy."""
    network.train()
    total = 0.0
    for rows in torch.split(torch.randperm(len(x)), settings.batch):
        optimiser.zero_grad(set_to_none=True)
        *hidden, logits = network.hidden_and_logits(x[rows])
        cross_entropy = nn.functional.cross_entropy(logits, y[rows])
        activity = torch.stack([torch.relu(layer).mean() for layer in hidden]).sum()
        torch.autograd.backward(cross_entropy + settings.sparsity * activity)
        optimiser.step()
        total += cross_entropy.item() * len(rows)
    return total / len(x)


@torch.inference_mode()
def _validate(network: Arise, x: Tensor, y: Tensor) -> tuple[float, float]:
    network.eval()
    logits = network(x)
    loss = float(nn.functional.cross_entropy(logits, y))
    return loss, float((logits.argmax(dim=1) == y).float().mean())
