"""Random numbers that depend on a seed and a name, not on what else is drawn."""

from __future__ import annotations

import hashlib

import numpy as np


def random_generator(seed: int, name: str) -> np.random.Generator:
    """Random numbers of one structure, which depend on the seed and its name alone."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))
