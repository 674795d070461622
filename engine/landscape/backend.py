"""Who computes: cuML on a GPU, PyTorch with umap-learn and hdbscan, or these two alone."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Literal

from engine.errors import CrysiftError

Backend = Literal["cuml", "torch", "cpu"]
AskedBackend = Literal["auto", "cuml", "torch", "cpu"]
EXACT_UP_TO = 250_000
"""Points up to which neighbours are found by brute force on a CPU, unless a backend is named."""
EXACT_ON_GPU = 1_000_000
"""The same on a GPU: cuML's nn-descent serves more."""


def backend_of(asked: AskedBackend, points: int) -> Backend:
    """Return the backend for so many points.

    "cuml": everything on a GPU. "torch": exact neighbours by brute force, on a GPU where there is one, for
    umap-learn and hdbscan. "cpu": umap-learn and hdbscan with approximate neighbours. "auto" takes the first
    of them that serves. Raises CrysiftError where cuML is asked for and cannot be used.
    """
    if asked == "cuml" and not _cuml_is_usable():
        raise CrysiftError(
            "the backend cuml needs RAPIDS cuML and an NVIDIA GPU: pip install 'crysift[gpu,map]' on such a "
            "machine, or leave the backend at auto"
        )
    if asked != "auto":
        return asked
    if _cuml_is_usable():
        return "cuml"
    return "torch" if points <= EXACT_UP_TO or _gpu_is_there() else "cpu"


def optional_module(name: str) -> ModuleType:
    """Import a package of the extra ``map``; raises CrysiftError where it is not installed."""
    try:
        return import_module(name)
    except ImportError as error:
        raise CrysiftError(
            f"clustering and embedding need the package {error.name or name}: pip install 'crysift[map]'"
        ) from error


def _cuml_is_usable() -> bool:
    return find_spec("cuml") is not None and _gpu_is_there()


def _gpu_is_there() -> bool:
    import torch

    return torch.cuda.is_available()
