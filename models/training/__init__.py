"""Training of the shipped networks: structures, descriptors, optimisation, evaluation."""

from models.training.arise import AriseTraining, train_arise

__all__ = ["AriseTraining", "train_arise"]
