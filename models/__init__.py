"""Networks, Monte-Carlo dropout, out-of-distribution scores, their training, and the weights that ship."""

DEFAULT_WEIGHTS = {"arise": "arise-robust", "diffraction": "diffraction-single"}
"""The model that predictions are made with, by architecture, where no other is named."""
