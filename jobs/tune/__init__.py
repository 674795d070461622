"""Searches for hyperparameters: many trainings, of which the best are ranked."""
