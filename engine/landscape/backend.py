"""Who computes: cuML on a GPU, or hdbscan and umap-learn on the CPU."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Literal

from engine.errors import CrysiftError
from engine.stage import Device

Backend = Literal["cpu", "cuml"]


def backend_of(device: Device) -> Backend:
    """Return what computes on ``device``; "auto" takes cuML where it is installed and there is a GPU.

    Raises CrysiftError where a GPU is asked for and cannot be used.
    """
    if device == "cpu":
        return "cpu"
    usable = find_spec("cuml") is not None and _gpu_is_there()
    if device == "cuda" and not usable:
        raise CrysiftError(
            "clustering on a GPU needs RAPIDS cuML and an NVIDIA GPU: pip install 'crysift[gpu,map]' on such "
            "a machine, or leave the device at auto"
        )
    return "cuml" if usable else "cpu"


def optional_module(name: str) -> ModuleType:
    """Import a package of the extra ``map``; raises CrysiftError where it is not installed."""
    try:
        return import_module(name)
    except ImportError as error:
        raise CrysiftError(
            f"clustering and embedding need the package {error.name or name}: pip install 'crysift[map]'"
        ) from error


def _gpu_is_there() -> bool:
    import torch

    return torch.cuda.is_available()
