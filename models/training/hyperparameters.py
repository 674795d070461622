"""What a search for hyperparameters varies, and one training with given ones."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from models.network import Perceptron, PerceptronShape
from models.training.arise import AriseTraining, perceptron_for
from models.training.train import EpochListener, Trained, TrainingSettings, train

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Hyperparameters:
    """The settings of one network and its optimisation that a search chooses."""

    hidden: tuple[int, ...]
    """Units of the hidden layers, from the input on."""
    batch: int
    learning_rate: float
    dropout: float

    @property
    def parameters(self) -> int:
        """Weights and biases of the network with 316 inputs and 108 classes."""
        return sum((inputs + 1) * units for inputs, units in pairwise(self.shape.widths))

    @property
    def shape(self) -> PerceptronShape:
        """The network's layers."""
        return PerceptronShape(hidden=self.hidden, dropout=self.dropout)

    def optimisation(self, otherwise: TrainingSettings) -> TrainingSettings:
        """Training settings that differ from `otherwise` in what was chosen."""
        return replace(otherwise, batch=self.batch, learning_rate=self.learning_rate)

    def applied(self, training: AriseTraining) -> AriseTraining:
        """The settings of a whole training with this network and optimisation."""
        return replace(training, shape=self.shape, optimisation=self.optimisation(training.optimisation))

    def as_json(self) -> dict[str, Any]:
        """For files and messages."""
        return {**asdict(self), "hidden": list(self.hidden)}


@dataclass(frozen=True)
class SearchSpace:
    """Where a search looks; by default the published space (Leitherer et al. 2021, Methods)."""

    layers: tuple[int, ...] = (2, 3, 4, 5)
    """Numbers of hidden layers."""
    neurons: tuple[int, ...] = (256, 512)
    """Units of a hidden layer, of each for itself."""
    batch: tuple[int, ...] = (64, 128)
    learning_rate: tuple[float, float] = (1e-4, 1e-2)
    """Lower and upper end; drawn evenly in the logarithm."""
    dropout: tuple[float, float] = (0.01, 0.05)
    """Lower and upper end."""


def train_with(
    chosen: Hyperparameters,
    vectors: NDArray[np.float32],
    classes: NDArray[np.int64],
    otherwise: TrainingSettings,
    on_epoch: EpochListener = lambda _: None,
) -> Trained:
    """Train a perceptron on `vectors` (N, inputs) of `classes` (N,), numbered from 0."""
    shape = replace(chosen.shape, inputs=vectors.shape[1], classes=int(classes.max()) + 1)
    return train(partial(perceptron_for, shape), vectors, classes, chosen.optimisation(otherwise), on_epoch)


def network_of(chosen: Hyperparameters, weights: dict[str, Any]) -> Perceptron:
    """The network with the `weights` of a training, in evaluation mode."""
    network = Perceptron(
        replace(
            chosen.shape,
            inputs=weights["layers.0.weight"].shape[1],
            classes=weights[f"layers.{len(chosen.hidden)}.weight"].shape[0],
        )
    )
    network.load_state_dict(weights)
    return network.requires_grad_(False).eval()
