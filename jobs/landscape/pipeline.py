"""From the vectors of a store to its map: fit, place, summarise the clusters."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.columns import contiguous
from engine.errors import CrysiftError
from engine.landscape.backend import Backend, backend_of
from engine.landscape.hierarchy import OUTLIER
from engine.landscape.model import MapModel, fit_map
from engine.landscape.similarity import group_means
from engine.landscape.storage import POINTS, FitTables
from engine.schema import SCHEMA_VERSION
from engine.store import Fingerprint
from engine.symmetry.stage import ProtostructureStage
from jobs.landscape.clusters import cluster_table
from jobs.landscape.joined import joined_tables
from jobs.landscape.sample import choose, read_chosen
from jobs.pipeline import derive
from models.map_stage import MapStage
from models.representations import Layer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from engine.execution import Listener
    from engine.landscape.embed import Singles
    from engine.store import Store, Table
    from jobs.landscape.settings import MapRequest
    from jobs.settings import ExecutionSettings

    Say = Callable[[str], None]

CLUSTERS = "clusters"
REVISION = 1
_PART = "part-clusters"


@dataclass(frozen=True)
class MapTables:
    """The tables of a map, and those that it was made of."""

    features: Table
    predictions: Table
    fit: FitTables
    map: Table
    clusters: Table


def map_store(
    store: Store, request: MapRequest, execution: ExecutionSettings, listener: Listener, say: Say
) -> MapTables:
    """Bring the map of a store up to date; what the store holds already is not computed again.

    Raises CrysiftError for a store without complete predictions, for weights other than theirs, and for too
    few structures.
    """
    features, predictions = sources_of(store)
    layer = Layer.of(predictions, request.layer, request.weights)
    if request.update:
        fit = _newest_fit(store, request, features, predictions)
    else:
        fit = _fit(store, request, features, predictions, layer, say)
    stage = MapStage(fit=fit, map_settings=request.settings, layer=request.layer, weights=request.weights)
    execution = replace(execution, add_table=True)
    table = derive(store, stage, features, execution, listener)
    if request.protostructures:
        derive(store, ProtostructureStage(), store.structures, execution, listener)
    clusters = _clusters(store, request, fit, table, predictions, say)
    for shown in (table, clusters):
        store.make_newest(shown)
    return MapTables(features, predictions, fit, table, clusters)


def sources_of(store: Store) -> tuple[Table, Table]:
    """Return the newest predictions of a store, after the vectors that they were made of.

    Raises CrysiftError where there are none, and where some structures have no predictions yet.
    """
    if not store.existing("predictions_arise"):
        raise CrysiftError(
            f"{store.folder.url} holds no predictions to map: `crysift screen` makes them, or `crysift "
            "featurize` and `crysift predict` of structures that it holds"
        )
    predictions = store.latest("predictions_arise")
    features = features_of(store, predictions)
    missing = predictions.missing(store.structures)
    if missing:
        raise CrysiftError(
            f"{len(missing)} parts of the structures in {store.folder.url} have no predictions yet: run the "
            "`crysift screen` that brought them again"
        )
    return features, predictions


def features_of(store: Store, predictions: Table) -> Table:
    """Return the vectors that predictions were made of; raises CrysiftError where the store has lost them."""
    source = predictions.fingerprint.source_table
    features = next((table for table in store.existing("features_soap") if table.folder.name == source), None)
    if features is None:
        raise CrysiftError(
            f"{store.folder.url} holds {predictions.folder.name}, but not {source}, which it was made of: "
            "run `crysift screen` again with the settings of that screening"
        )
    return features


def _still_fitted(store: Store, table: Table) -> NDArray[np.object_]:
    """Ids of the structures that a map was fitted to and that have not changed since."""
    with joined_tables(store, None, table) as connection:
        found = connection.sql("SELECT structure_id FROM map WHERE fitted").to_arrow_table()
    return np.asarray(found["structure_id"].to_numpy(), object)


def medoids(model: MapModel, labels: NDArray[np.int32]) -> list[int]:
    """Row of the member of each cluster with the least sum of squared distances to the others.

    That is the one next to the members' mean. ``labels`` (N,) are the clusters of the fitted structures, -1
    for those that are not to be counted.
    """
    found = []
    for cluster, mean in enumerate(group_means(model.points, labels, model.hierarchy.count)):
        members = np.flatnonzero(labels == cluster)
        found.append(int(members[((model.points[members] - mean) ** 2).sum(axis=1).argmin()]))
    return found


def _fit(
    store: Store, request: MapRequest, features: Table, predictions: Table, layer: Layer, say: Say
) -> FitTables:
    """Fit a map, or find the one that was fitted to the same structures."""
    available = predictions.count().rows
    backend = backend_of(request.backend, min(request.sample, available))
    settings = _fit_settings(request, predictions, backend)
    fit = FitTables.of(store, settings, predictions.fingerprint.model, features.folder.name)
    if fit.complete():
        return fit
    chosen = choose(store, predictions, request.sample, request.settings.embedding.seed)
    request.settings.neighbors(chosen.size)
    say(f"fitting a map to {chosen.size:,} of {chosen.available:,} structures: {DESCRIPTIONS[backend]}")
    ids, vectors = read_chosen(features, chosen, layer)
    plane = _known_plane(store, fit.points.fingerprint)
    model, places = fit_map(vectors, request.settings, backend, say, plane)
    fit.write(model, ids, places)
    return fit


def _known_plane(store: Store, fingerprint: Fingerprint) -> Singles | None:
    """Return the places of another map that differs in its clusters only; they need not be computed again."""

    def besides_clusters(settings: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in settings.items() if not name.startswith("cluster_")}

    asked = besides_clusters(fingerprint.settings)
    for fit in _fits(store, fingerprint.model, str(fingerprint.source_table)):
        if besides_clusters(fit.points.fingerprint.settings) == asked:
            return fit.plane()
    return None


def _fits(store: Store, model: str | None, source: str) -> Iterator[FitTables]:
    """Yield the complete maps of a network and a table of vectors, the newest first."""
    for points in reversed(store.existing(POINTS)):
        found = points.fingerprint
        if (found.model, found.source_table) == (model, source):
            fit = FitTables.of(store, found.settings, model, source)
            if fit.complete():
                yield fit


DESCRIPTIONS: dict[Backend, str] = {
    "cuml": "RAPIDS cuML",
    "torch": "hdbscan and umap-learn, with exact neighbours",
    "cpu": "hdbscan and umap-learn, with approximate neighbours",
}


def _fit_settings(request: MapRequest, predictions: Table, backend: Backend) -> dict[str, Any]:
    """Return all that determines a fitted map; the predictions say which structures there are."""
    return {**request.as_json(), "backend": backend, "content": _digest(predictions)}


def _digest(*tables: Table) -> str:
    """SHA-256 of what tables hold."""
    parts = (table.footers(table.part_names()) for table in tables)
    lines = [
        f"{part} {footer.content_hash}\n" for footers in parts for part, footer in sorted(footers.items())
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _newest_fit(store: Store, request: MapRequest, features: Table, predictions: Table) -> FitTables:
    """Return the newest map of these settings, whatever structures there were when it was fitted.

    Raises CrysiftError where there is none.
    """
    asked = request.as_json()
    for fit in _fits(store, predictions.fingerprint.model, features.folder.name):
        settings = fit.points.fingerprint.settings
        if {name: settings.get(name) for name in asked} == asked:
            return fit
    raise CrysiftError(
        f"{store.folder.url} has no map of layer {request.layer} with these settings to update: give those "
        "of the map there is, or leave --update out to fit one"
    )


def _clusters(
    store: Store, request: MapRequest, fit: FitTables, table: Table, predictions: Table, say: Say
) -> Table:
    """Summarise the clusters of a map."""
    described_by = [table, predictions, *store.existing("protostructures")[-1:]]
    settings = {
        "content": _digest(*described_by),
        "described_by": [each.folder.name for each in described_by],
    }
    clusters = store.derived(
        Fingerprint(CLUSTERS, SCHEMA_VERSION, REVISION, settings, None, table.folder.name), allow_new=True
    )
    if clusters.part_names():
        return clusters
    say("summarising the clusters")
    model, rows = fit.read(request.settings)
    assigned = contiguous(rows["assigned"]).to_numpy(zero_copy_only=False)
    labels = contiguous(rows["cluster"]).to_numpy()
    changed = ~np.isin(rows["structure_id"].to_numpy(), _still_fitted(store, table))
    gone = ~np.isin(labels, labels[~assigned & ~changed])  # clusters of which all members have changed
    middles = medoids(model, np.where(assigned | (changed & ~gone), OUTLIER, labels))
    summary = cluster_table(store, table, [rows["structure_id"][row].as_py() for row in middles])
    clusters.commit(
        _PART, summary, source_part=None, rows_in=len(summary), failed=0, cost=float(len(summary))
    )
    return clusters
