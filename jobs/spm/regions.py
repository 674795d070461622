"""Which boxes belong together: clusters of their representations, without any class."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.columns import contiguous, fixed_size_values
from engine.errors import CrysiftError
from engine.landscape.backend import AskedBackend, backend_of
from engine.landscape.cluster import Clustering, ClusterSettings, cluster
from engine.landscape.components import principal_components
from engine.landscape.embed import EmbedSettings, embed
from engine.landscape.memory import check_memory
from engine.schema import BOX_FACTS, SCHEMA_VERSION, SPM_REGIONS, STATUS_OK
from engine.store import Fingerprint
from models.representations import Layer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.store import Store, Table
    from jobs.spm.pipeline import SpmTables

NAME = "spm_regions"
REVISION = 2
Singles = NDArray[np.float32]


@dataclass(frozen=True)
class RegionSettings:
    """What determines the clusters of boxes; by default those of the last hidden layer of all boxes."""

    layer: str = "3"
    """"descriptor" for the vectors themselves, or a hidden layer of the network from 1 on."""
    clustering: ClusterSettings = field(default_factory=ClusterSettings)
    embedding: EmbedSettings | None = field(default_factory=EmbedSettings)
    """None: no map is computed, which takes longer than the clusters."""
    variance: float = 0.95
    """Share of the variance in the principal components that distances are taken in."""
    max_uncertainty: float | None = None
    """Boxes with a higher mutual information, nat, are left out."""
    min_atoms: int = 0
    """Boxes with fewer atoms are left out, such as those at surfaces."""

    def __post_init__(self) -> None:
        """Raise CrysiftError for settings out of range."""
        if self.max_uncertainty is not None and self.max_uncertainty < 0.0:
            raise CrysiftError(
                f"no box has a mutual information up to {self.max_uncertainty:g}: give 0 or more"
            )

    def as_json(self) -> dict[str, Any]:
        """Return the settings as flat names and JSON values."""
        embedding = {} if self.embedding is None else asdict(self.embedding)
        return {
            "layer": self.layer,
            "variance": self.variance,
            "max_uncertainty": self.max_uncertainty,
            "min_atoms": self.min_atoms,
            **{f"cluster_{name}": value for name, value in asdict(self.clustering).items()},
            **{f"map_{name}": value for name, value in embedding.items()},
        }


class Chosen(NamedTuple):
    """Representations (n, width) of the boxes to cluster, and which rows (N,) of all parts they are."""

    vectors: Singles
    rows: NDArray[np.bool_]


def find_regions(
    store: Store, tables: SpmTables, settings: RegionSettings, weights: str, backend: AskedBackend = "auto"
) -> Table:
    """Cluster the boxes of an analysis by their representations, and embed these in a plane.

    Returns the table `spm_regions`, which is not computed again where the store holds it, and is then the
    newest one. Raises CrysiftError for weights other than those of the predictions, and for too few boxes.
    """
    table = regions_table(store, tables, settings)
    parts = tables.grid.part_names()
    layer = Layer.of(tables.grid, settings.layer, weights)
    if table.part_names() == parts and not table.check_derived(tables.grid, parts).unsound:
        store.make_newest(table)
        return table
    chosen = read_representations(tables, layer, settings)
    points = principal_components(chosen.vectors, settings.variance)
    taken = backend_of(backend, len(points))
    clusters, _ = cluster(points, settings.clustering, taken)
    places = None if settings.embedding is None else embed(points, settings.embedding, taken)
    write_regions(table, tables.grid, chosen.rows, _columns(clusters, places))
    return table


def regions_table(store: Store, tables: SpmTables, settings: RegionSettings) -> Table:
    """Return the table of these settings, existing or yet to be filled, beside those of others."""
    source = tables.grid
    fingerprint = Fingerprint(
        NAME, SCHEMA_VERSION, REVISION, settings.as_json(), source.fingerprint.model, source.folder.name
    )
    return store.derived(fingerprint, allow_new=True)


def read_representations(tables: SpmTables, layer: Layer, settings: RegionSettings) -> Chosen:
    """Compute the representations of the boxes that are clear and full enough."""
    total = tables.soap.count().rows
    check_memory("holding the representations of", total, 4 * total * layer.width)
    vectors: list[Singles] = [np.empty((0, layer.width), np.float32)]
    masks: list[NDArray[np.bool_]] = []
    for part in sorted(tables.grid.part_names()):
        masks.append(_wanted(tables.grid.read(part, _JUDGED), settings))
        column = contiguous(tables.soap.read(part, ["vector"])["vector"])
        rows = fixed_size_values(column).reshape(len(column), column.type.list_size)[masks[-1]]
        vectors.append(layer(rows))
    return Chosen(np.concatenate(vectors), np.concatenate(masks))


_JUDGED = ("status", "mutual_information", "n_atoms")


def _wanted(rows: pa.Table, settings: RegionSettings) -> NDArray[np.bool_]:
    """Mark the boxes (n,) to cluster."""
    status, uncertainty, atoms = (contiguous(rows[name]).to_numpy(zero_copy_only=False) for name in _JUDGED)
    wanted = (status == STATUS_OK) & (atoms >= settings.min_atoms)
    if settings.max_uncertainty is not None:
        wanted &= np.nan_to_num(uncertainty, nan=np.inf) <= settings.max_uncertainty
    return np.asarray(wanted, np.bool_)


def _columns(clusters: Clustering, places: Singles | None) -> dict[str, NDArray[Any]]:
    columns: dict[str, NDArray[Any]] = {
        "cluster": clusters.labels,
        "cluster_probability": clusters.probabilities,
        "outlier_score": clusters.outlier_scores,
        "assigned": clusters.assigned,
    }
    if places is not None:
        columns |= {"x": places[:, 0], "y": places[:, 1]}
    return columns


def write_regions(
    table: Table, grid: Table, rows: NDArray[np.bool_], columns: dict[str, NDArray[Any]]
) -> None:
    """Commit a part for each part of the grid; `columns` (n,) belong to the chosen ones of all rows (N,)."""
    begin, chosen_before = 0, 0
    for part in sorted(grid.part_names()):
        boxes = grid.read(part, ["structure_id", "status", *(fact.name for fact in BOX_FACTS)])
        chosen = rows[begin : begin + len(boxes)]
        count = int(chosen.sum())
        place = pa.array(np.cumsum(chosen) - 1 + chosen_before, pa.int64(), mask=~chosen)
        filled = {name: pa.array(values).take(place) for name, values in columns.items()}
        arrays = [_column(field, boxes, filled) for field in SPM_REGIONS]
        footer = grid.footer(part)
        table.commit(
            part,
            pa.table(arrays, schema=SPM_REGIONS),
            source_part=part,
            source_hash=footer.content_hash,
            rows_in=len(boxes),
            failed=0,
            cost=float(count),
        )
        begin, chosen_before = begin + len(boxes), chosen_before + count


def _column(field: pa.Field, boxes: pa.Table, filled: dict[str, pa.Array]) -> pa.Array:
    if field.name in boxes.column_names:
        return contiguous(boxes[field.name]).cast(field.type)
    return filled[field.name].cast(field.type) if field.name in filled else pa.nulls(len(boxes), field.type)


def clusters_of(table: Table) -> NDArray[np.int32]:
    """Cluster (N,) of every row of `spm_regions`, in the order of parts and rows; -2 for boxes left out."""
    return np.concatenate([np.empty(0, np.int32), *_cluster_parts(table)])


def _cluster_parts(table: Table) -> Iterator[NDArray[np.int32]]:
    for part in sorted(table.part_names()):
        column = contiguous(table.read(part, ["cluster"])["cluster"])
        yield column.fill_null(LEFT_OUT).to_numpy().astype(np.int32)


LEFT_OUT = -2
"""In place of a cluster: the box was not among those clustered."""
