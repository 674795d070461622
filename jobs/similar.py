"""Which structures of a store are nearest to given ones, in what the network makes of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from connectors import open_sources
from engine.descriptors.soap import SoapSettings
from engine.descriptors.soap.stage import SoapStage
from engine.errors import CrysiftError
from engine.landscape.neighbors import nearest
from engine.schema import STATUS_OK
from engine.store import Store, Superseded
from engine.symmetry.stage import ProtostructureStage
from engine.validation import StructureLimits
from jobs.landscape.joined import joined_tables, newest
from jobs.landscape.pipeline import sources_of
from jobs.pipeline import derive_all, ingest_all
from jobs.settings import ExecutionSettings
from jobs.views import connect
from models import DEFAULT_WEIGHTS
from models.batches import vectors_of
from models.representations import Layer
from models.stage import PredictArise

if TYPE_CHECKING:
    from connectors.settings import SourceSettings
    from engine.execution import Listener
    from engine.source import Connector
    from engine.stage import Stage
    from engine.store import Table

MAX_QUERIES = 1000
"""Structures that are compared with a store at a time."""

Floats = NDArray[np.float64]
Vectors = NDArray[np.floating]
Block = tuple[NDArray[np.object_], Vectors]
"""Ids (n,) and points (n, width)."""

_QUERIES = """SELECT structure_id, formula, status, error_message, prototype, probability,
        mutual_information, ood_score, is_ood, protostructure
    FROM structures JOIN predictions_arise USING (structure_id)
    LEFT JOIN (SELECT structure_id, protostructure FROM protostructures) USING (structure_id)
    ORDER BY structure_id"""
_NEIGHBORS = """SELECT query, rank, structure_id, formula, prototype, probability, is_ood, protostructure,
        cluster, distance, cosine
    FROM nearest LEFT JOIN structures USING (structure_id)
    LEFT JOIN (SELECT structure_id, prototype, probability, is_ood FROM predictions) USING (structure_id)
    LEFT JOIN (SELECT structure_id, protostructure FROM protostructures) USING (structure_id)
    LEFT JOIN (SELECT structure_id, cluster FROM map) USING (structure_id)
    ORDER BY query, rank"""


@dataclass(frozen=True)
class SimilarSettings:
    """What near means, and how many structures are asked for."""

    number: int = 10
    """Nearest structures to find for each."""
    layer: str = "3"
    """"descriptor" for the vectors themselves, or a hidden layer of the network from 1 on."""
    weights: str = DEFAULT_WEIGHTS["arise"]
    """The model that the store's predictions were made with."""

    def __post_init__(self) -> None:
        """Raise CrysiftError for a number out of range."""
        if self.number < 1:
            raise CrysiftError(f"the {self.number} nearest structures: ask for 1 or more")


class Similar(NamedTuple):
    """The answer, as tables."""

    queries: pa.Table
    """One row per structure asked about: what the network says of it, and its protostructure."""
    neighbors: pa.Table
    """The structures of the store that are nearest to a ``query``, by ``rank`` from 1, with the distances and
    the cosines of the angles between representations."""
    rejects: pa.Table
    """What is no structure in the files, with the reason."""


class Nearest(NamedTuple):
    """The nearest points to each of Q queries, the nearest first: (Q, k) each."""

    ids: NDArray[np.object_]
    distances: Floats
    cosines: Floats


def find_similar(
    files: Sequence[str],
    store: Store,
    settings: SimilarSettings,
    sources: SourceSettings,
    listener: Listener,
) -> Similar:
    """Find the structures of a store that are nearest to those in files, by Euclidean distance.

    The structures asked about are described with the settings of the store's newest predictions; nothing is
    written to the store. All its vectors are looked at, one part at a time. Raises CrysiftError for a store
    without predictions, other weights than theirs, files without structures and more than `MAX_QUERIES`.
    """
    features, predictions = sources_of(store)
    layer = Layer.of(predictions, settings.layer, settings.weights)
    stages = _stages(features, predictions, settings.weights)
    with tempfile.TemporaryDirectory() as folder:
        asked = Store.open(f"{folder}/asked", create=True)
        queries, rejects = _described(asked, open_sources(files, sources), stages, listener)
        blocks = list(_points(asked, asked.latest(SoapStage.name), layer))
    ids = np.concatenate([names for names, _ in blocks])
    points = np.concatenate([values for _, values in blocks])
    found = nearest_of(points, _points(store, features, layer), settings.number)
    maps = [t for t in store.existing("map") if t.fingerprint.source_table == features.folder.name]
    with joined_tables(store, predictions, newest(maps)) as connection:
        connection.register("nearest", _ranked(ids, found))
        return Similar(queries, connection.sql(_NEIGHBORS).to_arrow_table(), rejects)


def nearest_of(queries: Vectors, blocks: Iterable[Block], count: int) -> Nearest:
    """Find the nearest of points that come in blocks to each of the queries (Q, width).

    Equal distances are ordered by id; of many at the last distance any may
    be taken. Finds fewer than ``count`` where there are no more.
    """
    ids, distances = np.empty((len(queries), 0), object), np.empty((len(queries), 0))
    cosines = distances
    for names, points in blocks:
        if not len(points):
            continue
        rows = nearest(queries, points, min(count, len(points))).indices
        found, between = _compared(queries, points[rows])
        ids = np.concatenate([ids, names[rows]], axis=1)
        distances = np.concatenate([distances, found], axis=1)
        cosines = np.concatenate([cosines, between], axis=1)
        order = np.array([np.lexsort(keys)[:count] for keys in zip(ids, distances, strict=True)])
        ids, distances, cosines = (np.take_along_axis(v, order, axis=1) for v in (ids, distances, cosines))
    return Nearest(ids, distances, cosines)


def _compared(queries: Vectors, points: Vectors) -> tuple[Floats, Floats]:
    """Distances and cosines (Q, k) of queries (Q, width) and points (Q, k, width); NaN beside a zero one."""
    a, b = queries[:, None].astype(np.float64), points.astype(np.float64)
    lengths = np.linalg.norm(a, axis=2) * np.linalg.norm(b, axis=2)
    products = (a * b).sum(axis=2)
    cosines = np.divide(products, lengths, out=np.full_like(products, np.nan), where=lengths > 0.0)
    return np.linalg.norm(a - b, axis=2), np.clip(cosines, -1.0, 1.0)


def _points(store: Store, features: Table, layer: Layer) -> Iterator[Block]:
    """Representations of the current structures of a store that have vectors, part by part."""
    superseded = Superseded.of(store)
    for part in sorted(features.part_names()):
        rows = superseded.drop_from(part, features.read(part, ["structure_id", "status", "vector"]))
        usable = rows.filter(pc.equal(rows["status"], STATUS_OK))
        vectors = vectors_of(usable).copy()  # PyTorch warns of memory that it may not write to
        yield np.array(usable["structure_id"].to_pylist(), object), layer(vectors)


def _stages(features: Table, predictions: Table, weights: str) -> list[Stage]:
    """Return what makes of structures what the store holds of its own."""
    return [
        SoapStage(SoapSettings(**features.fingerprint.settings)),
        PredictArise(weights=weights, **predictions.fingerprint.settings),
        ProtostructureStage(),
    ]


def _described(
    store: Store, connectors: Sequence[Connector], stages: Sequence[Stage], listener: Listener
) -> tuple[pa.Table, pa.Table]:
    """Fill a store with the structures of connectors; return what is said of them, and the rejects.

    Raises CrysiftError for no structure that has a vector, and for too many.
    """
    ingest_all(connectors, store, StructureLimits(), listener)
    count = store.structures.count().rows
    rejects = store.rejects.scan(["source_id", "error_class", "error_message"]).to_table()
    if not count:
        raise CrysiftError(f"no structure to compare with the store: {_first_message(rejects)}")
    if count > MAX_QUERIES:
        raise CrysiftError(
            f"{count:,} structures are more than the {MAX_QUERIES:,} that can be compared with a store at a "
            "time: name fewer of them, or screen them into the store and ask for the neighbors in its map"
        )
    derive_all(store, stages, ExecutionSettings("inline"), listener)
    queries = connect(store).sql(_QUERIES).to_arrow_table()
    failed = queries.filter(pc.not_equal(queries["status"], STATUS_OK))
    if len(failed) == len(queries):
        raise CrysiftError(f"no structure can be described: {_first_message(failed)}")
    return queries, rejects


def _first_message(rows: pa.Table) -> str:
    return str(rows["error_message"][0]) if len(rows) else "there is none in the files"


def _ranked(ids: NDArray[np.object_], found: Nearest) -> pa.Table:
    """Rows of what was found for the structures (Q,) asked about."""
    count = found.ids.shape[1]
    return pa.table(
        {
            "query": pa.array(np.repeat(ids, count), pa.string()),
            "rank": pa.array(np.tile(np.arange(1, count + 1), len(ids)), pa.int32()),
            "structure_id": pa.array(found.ids.ravel(), pa.string()),
            "distance": found.distances.ravel(),
            "cosine": found.cosines.ravel(),
        }
    )
