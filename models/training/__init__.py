"""Training of the shipped networks: structures, descriptors, optimisation, evaluation."""

from models.training.arise import AriseTraining, train_arise
from models.training.diffraction import DiffractionTraining, train_diffraction

__all__ = ["AriseTraining", "DiffractionTraining", "train_arise", "train_diffraction"]
