"""All pictures and files of one analysis, in one folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from engine.errors import CrysiftError
from jobs.spm.maps.planes import AXES, Axis, Plane, flat_axis, plane_at, planes_along

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from engine.spm.field import Field
    from engine.spm.grid import Grid
    from engine.store import Store
    from jobs.spm.maps.quantities import Quantity
    from jobs.spm.pipeline import SpmTables

PictureFormat = Literal["png", "svg", "pdf"]
CLUSTER = "cluster"
REGIONS = "spm_regions"


@dataclass(frozen=True)
class MapSettings:
    """What is drawn and written."""

    show: tuple[str, ...] = ("class", "probability", "mutual-information")
    """Quantities by name, a prototype standing for its probability."""
    frame: int = 0
    """The frame that is drawn; the other files hold all."""
    axis: Axis | None = None
    """The axis that slices are perpendicular to; None: the one with the fewest boxes."""
    slices: int = 9
    at: float | None = None
    """Where to cut one slice along the axis, Å, in place of several."""
    pictures: PictureFormat = "png"
    html: bool = True
    vti: bool = True
    atoms: bool = True


def write_maps(store: Store, tables: SpmTables, folder: Path, settings: MapSettings) -> Iterator[Path]:
    """Write the pictures and files of an analysis into a folder; yields each when it is there.

    Raises CrysiftError for an incomplete analysis, a frame that there is none of, an unknown quantity, a
    slice outside of the grid, and clusters where none were made.
    """
    from engine.spm.field import read_field

    missing = tables.grid.missing(tables.boxes)
    if missing:
        raise CrysiftError(
            f"{len(missing)} of {len(tables.boxes.part_names())} parts of the boxes of {tables.atoms.name} "
            "are not classified yet: let the `crysift spm` that makes them finish, or give it again"
        )
    field = read_field(tables.grid, tables.geometry)
    if not 0 <= settings.frame < field.frames:
        raise CrysiftError(
            f"there is no frame {settings.frame}: {tables.atoms.name} has 0 to {field.frames - 1}"
        )
    clusters = _clusters(store, tables)
    quantities = [_quantity(name, field, clusters) for name in settings.show]
    planes = chosen_planes(field.grid, settings)
    folder.mkdir(parents=True, exist_ok=True)
    yield from _pictures(folder, field, quantities, planes, settings)
    extra: dict[str, NDArray[Any]] = {}
    if clusters is not None:
        extra[CLUSTER] = np.nan_to_num(clusters, nan=-2).astype(np.int32)
    yield from _files(folder, field, (store, tables), settings, extra)


def _pictures(
    folder: Path,
    field: Field,
    quantities: Sequence[Quantity],
    planes: Sequence[Plane],
    settings: MapSettings,
) -> Iterator[Path]:
    from jobs.spm.maps.drawing import draw_overview, draw_planes
    from jobs.spm.maps.profile import draw_profile

    def named(name: str) -> Path:
        return folder / f"{name}.{settings.pictures}"

    draw_overview(named("overview"), field.grid, quantities, settings.frame)
    yield named("overview")
    for quantity in quantities:
        draw_planes(named(quantity.name), planes, quantity, settings.frame)
        yield named(quantity.name)
    if sum(count > 1 for count in field.grid.counts) == 1:
        draw_profile(named("profile"), field, settings.frame)
        yield named("profile")


def _files(
    folder: Path,
    field: Field,
    source: tuple[Store, SpmTables],
    settings: MapSettings,
    extra: dict[str, NDArray[Any]],
) -> Iterator[Path]:
    from jobs.spm.maps.extxyz import write_extxyz
    from jobs.spm.maps.quantities import classes, mutual_information, probability_of
    from jobs.spm.maps.volume import write_volume
    from jobs.spm.maps.vti import write_series

    store, tables = source
    if settings.html and min(field.grid.counts) > 1 and field.labels:
        fogs = [mutual_information(field), probability_of(_inner(field), field)]
        page = folder / "volume.html"
        write_volume(page, tables.atoms.name, field.grid, classes(field), fogs, settings.frame)
        yield page
    if settings.vti:
        yield from write_series(folder, field, extra)
    if settings.atoms:
        path = folder / "atoms.extxyz"
        write_extxyz(path, store, tables.atoms, field, extra)
        yield path


def _inner(field: Field) -> str:
    """The most frequent class, or the second one where the first is most of the structure."""
    first, second, *_ = *field.labels, field.labels[0]
    return second if field.shares[first] > 0.5 else first


def chosen_planes(grid: Grid, settings: MapSettings) -> list[Plane]:
    """Return the planes to draw; raises CrysiftError for one outside of the grid."""
    normal = flat_axis(grid) if settings.axis is None else AXES.index(settings.axis)
    if settings.at is not None:
        return [plane_at(grid, normal, settings.at)]
    return planes_along(grid, normal, settings.slices)


def _clusters(store: Store, tables: SpmTables) -> NDArray[np.float64] | None:
    """Clusters (F, nx, ny, nz) of the analysis, NaN where a box has none; None where none were made."""
    from engine.spm.field import read_values

    made_of = {tables.boxes.folder.name, tables.soap.folder.name, tables.grid.folder.name}
    regions = [t for t in store.existing(REGIONS) if t.fingerprint.source_table in made_of]
    return read_values(regions[-1], tables.geometry, CLUSTER) if regions else None


def _quantity(name: str, field: Field, clusters: NDArray[np.float64] | None) -> Quantity:
    from jobs.spm.maps.quantities import clusters as of_clusters
    from jobs.spm.maps.quantities import quantity

    if name != CLUSTER:
        return quantity(name)(field)
    if clusters is None:
        raise CrysiftError("the boxes have not been clustered: run `crysift spm-regions` first")
    return of_clusters(clusters)
