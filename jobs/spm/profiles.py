"""Time series: profiles from the centre or the surface, and differences between frames on one grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.errors import CrysiftError
from engine.schema import SCHEMA_VERSION, SPM_CHANGES, SPM_PROFILES
from engine.spm.depth import PROBE, center_distances, center_of_mass, surface_depths
from engine.store import Fingerprint

if TYPE_CHECKING:
    from engine.spm import AtomsTable, Grid
    from engine.spm.field import Field
    from engine.store import Store, Table
    from jobs.spm.pipeline import SpmTables

Origin = Literal["center", "surface"]
Floats = NDArray[np.float64]
REVISION = 1
CLASSES = 5
"""Prototypes whose shares are in a profile, the most frequent first."""


@dataclass(frozen=True)
class ProfileSettings:
    """What determines profiles and differences."""

    origin: Origin = "center"
    """center: shells around the centre of mass of each frame; surface: layers under its surface."""
    width: float = 2.0
    """Thickness of a shell, Å."""
    reference: Literal["first", "previous"] = "first"
    """The frame that each is compared with."""
    probe: float = PROBE
    """Radius, Å, of the sphere that tells outside from inside."""

    def __post_init__(self) -> None:
        """Raise CrysiftError for lengths that are not positive."""
        for name, value in (("shells", self.width), ("the probe", self.probe)):
            if not 0.0 < value < np.inf:
                raise CrysiftError(f"the size of {name} is {value:g} Å: give a length above 0")


class Shell(NamedTuple):
    """The classified boxes of a frame between two distances, Å."""

    lower: float
    upper: float
    boxes: int
    mean: float
    """Of their mutual information, nat."""
    std: float
    cumulative_mean: float
    """Of all boxes up to the upper distance."""
    cumulative_share: float
    """The share that all boxes up to there have in the sum over the frame."""
    shares: dict[str, float]
    """Of the most frequent prototypes in the boxes of the shell."""


def distances_of(settings: ProfileSettings, atoms: AtomsTable, grid: Grid, frame: int) -> Floats:
    """Distance (nx, ny, nz), Å, of all boxes from the centre of mass of a frame, or their depth."""
    if settings.origin == "surface":
        return surface_depths(atoms, frame, grid, settings.probe)
    return center_distances(grid, center_of_mass(atoms, frame, masses_of(atoms.labels)))


def masses_of(labels: Sequence[str]) -> dict[str, float]:
    """Atomic masses, u, by species; all 1 where a label is no element."""
    from ase.data import atomic_masses, atomic_numbers

    if all(label in atomic_numbers for label in labels):
        return {label: float(atomic_masses[atomic_numbers[label]]) for label in labels}
    return dict.fromkeys(labels, 1.0)


def profile(field: Field, frame: int, distances: Floats, width: float) -> list[Shell]:
    """Average the classified boxes of a frame in shells of equal width, from distance 0 or below outwards.

    Shells without boxes are left out.
    """
    classified = field.classified[frame]
    distance, values = distances[classified], field.mutual_information[frame][classified].astype(np.float64)
    codes = field.prototype[frame][classified]
    number = np.floor(distance / width).astype(np.int64)
    shells, sum_before, boxes_before = [], 0.0, 0
    for shell in np.unique(number).tolist():
        inside = number == shell
        own = values[inside]
        sum_before, boxes_before = sum_before + own.sum(), boxes_before + len(own)
        shells.append(
            Shell(
                lower=shell * width,
                upper=(shell + 1) * width,
                boxes=len(own),
                mean=float(own.mean()),
                std=float(own.std()),
                cumulative_mean=float(sum_before / boxes_before),
                cumulative_share=float(sum_before / max(values.sum(), np.finfo(np.float64).tiny)),
                shares={
                    label: float((codes[inside] == code).mean())
                    for code, label in enumerate(field.labels[:CLASSES])
                },
            )
        )
    return shells


def reference_frames(frames: int, reference: Literal["first", "previous"]) -> list[tuple[int, int]]:
    """Pairs of a frame and the earlier one that it is compared with."""
    return [(frame, 0 if reference == "first" else frame - 1) for frame in range(1, frames)]


def change(field: Field, frame: int, reference: int) -> NDArray[np.float32]:
    """Mutual information (nx, ny, nz), nat, of a frame less that of another; NaN where one has none."""
    return np.asarray(field.mutual_information[frame] - field.mutual_information[reference])


def write_profiles(
    store: Store, tables: SpmTables, settings: ProfileSettings, profiles: Sequence[Sequence[Shell]]
) -> Table:
    """Write the profiles of all frames as the table `spm_profiles`, a part per frame."""
    table = _table(store, tables, "spm_profiles", asdict(settings))
    for frame, shells in enumerate(profiles):
        rows = pa.Table.from_pylist(list(_profile_rows(settings.origin, frame, shells)), schema=SPM_PROFILES)
        _commit(table, f"part-{frame:05d}", rows)
    return table


def _profile_rows(origin: Origin, frame: int, shells: Sequence[Shell]) -> Iterator[dict[str, Any]]:
    for shell in shells:
        yield {
            "frame": frame,
            "origin": origin,
            "lower": shell.lower,
            "upper": shell.upper,
            "n_boxes": shell.boxes,
            "mutual_information": shell.mean,
            "mutual_information_std": shell.std,
            "cumulative_mutual_information": shell.cumulative_mean,
            "cumulative_share": shell.cumulative_share,
            "shares": [{"prototype": name, "share": share} for name, share in shell.shares.items()],
        }


def write_changes(store: Store, tables: SpmTables, settings: ProfileSettings, field: Field) -> Table | None:
    """Write the differences between frames as the table `spm_changes`, a part per frame; None for one frame.

    A box has a row where both frames have classified it, or show the class of the box nearest to it.
    """
    pairs = reference_frames(field.frames, settings.reference)
    table = _table(store, tables, "spm_changes", {"reference": settings.reference})
    for frame, reference in pairs:
        rows = _change_rows(tables.atoms.name, field, frame, reference)
        _commit(table, f"part-{frame:05d}", rows)
    return table if pairs else None


def _change_rows(name: str, field: Field, frame: int, reference: int) -> pa.Table:
    both = field.classified[frame] & field.classified[reference]
    indices = np.argwhere(both).astype(np.int32)
    place = tuple(indices.T)
    centers = pa.array(field.grid.centers(indices).reshape(-1))
    now, before = field.prototype[frame][place], field.prototype[reference][place]
    labels = pa.array(field.labels, pa.string())
    x, y, z = (pa.array(values, pa.int32()) for values in indices.T)
    columns: dict[str, pa.Array] = {
        "structure_id": pa.array(
            [f"{name}/{frame}/{a},{b},{c}" for a, b, c in indices.tolist()], pa.string()
        ),
        "frame": pa.repeat(pa.scalar(frame, pa.int32()), len(indices)),
        "reference_frame": pa.repeat(pa.scalar(reference, pa.int32()), len(indices)),
        "ix": x,
        "iy": y,
        "iz": z,
        "center": pa.FixedSizeListArray.from_arrays(centers, type=SPM_CHANGES.field("center").type),
        "mutual_information_change": pa.array(change(field, frame, reference)[place]),
        "prototype": labels.take(pa.array(now)),
        "prototype_before": labels.take(pa.array(before)),
    }
    return pa.table([columns[field.name] for field in SPM_CHANGES], schema=SPM_CHANGES)


def _table(store: Store, tables: SpmTables, name: str, settings: dict[str, Any]) -> Table:
    source = tables.grid
    fingerprint = Fingerprint(
        name, SCHEMA_VERSION, REVISION, settings, source.fingerprint.model, source.folder.name
    )
    return store.derived(fingerprint, allow_new=True)


def _commit(table: Table, part: str, rows: pa.Table) -> None:
    table.commit(part, rows, source_part=None, rows_in=len(rows), failed=0, cost=float(len(rows)))
