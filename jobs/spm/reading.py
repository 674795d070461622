"""The words of the command line that name a structure and its boxes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import CrysiftError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.spm import Frame


def stride_of(text: str) -> tuple[float, float, float]:
    """Read one stride for all axes, or one for each; raises CrysiftError for anything else."""
    try:
        values = [float(word) for word in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in {1, 3}:
        raise CrysiftError(f"--stride {text!r} is not understood: give one length in Å, or three as in 1,1,2")
    x, y, z = values * (3 // len(values))
    return x, y, z


def classes_of(text: str | None) -> tuple[str, ...]:
    """Return the labels of prototypes that are named by label, title, or its first word, as in fcc,bcc."""
    from jobs.spm.maps.quantities import label_of

    return tuple(label_of(name.strip()) for name in text.split(",")) if text else ()


def name_of(files: Sequence[str]) -> str:
    """Return what a structure is called after its first file: `four_grains` for `data/four_grains.xyz`."""
    path = Path(files[0])
    return path.stem or path.name


def read_all(
    files: Sequence[str],
    format: str | None = None,  # noqa: A002 -- the option is --format
    *,
    every: int = 1,
    pixel_size: float | None = None,
    species: str | None = None,
) -> list[Frame]:
    """Read the frames of several files, one after the other, as `connectors.atomistic.read_frames` does.

    Raises CrysiftError, before anything is read, where all of them together do not fit into memory.
    """
    from connectors.atomistic import read_frames, refuse_too_many

    refuse_too_many(files, format, every)
    return [
        frame
        for file in files
        for frame in read_frames(file, format, every=every, pixel_size=pixel_size, species=species)
    ]
