from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from engine.errors import CrysiftError
from engine.landscape.cluster import ClusterSettings
from engine.landscape.embed import EmbedSettings
from engine.landscape.model import MapModel, MapSettings, Places, fit_map
from engine.landscape.storage import FitTables
from engine.store import Store

SETTINGS = MapSettings(ClusterSettings(15, 5), EmbedSettings(neighbors=10, seed=1), variance=0.99)


def crowds(seed: int, count: int) -> NDArray[np.float32]:
    """Three crowds of points in 20 dimensions and a few far from all."""
    random = np.random.default_rng(seed)
    middles = np.eye(3, 20)[random.integers(0, 3, count)] * 8.0
    middles[: count // 20] = 30.0 * random.normal(size=(count // 20, 20))
    return (middles + 0.5 * random.normal(size=(count, 20))).astype(np.float32)


@pytest.fixture(scope="module")
def fitted() -> tuple[MapModel, Places]:
    return fit_map(crowds(0, 400), SETTINGS, "torch")


def test_new_points_are_predicted_as_hdbscan_does(fitted: tuple[MapModel, Places]) -> None:
    hdbscan = pytest.importorskip("hdbscan")
    model, places = fitted
    clusterer = hdbscan.HDBSCAN(15, 5, core_dist_n_jobs=1, approx_min_span_tree=False, prediction_data=True)
    clusterer.fit(model.points.astype(float))
    new = crowds(1, 200)
    theirs, _ = hdbscan.approximate_predict(clusterer, model.projection(new).astype(float))
    ours = model.place(new).clusters.core
    pairs = {(a, b) for a, b in zip(ours.tolist(), theirs.tolist(), strict=True) if a >= 0 and b >= 0}
    assert len(pairs) == len({a for a, _ in pairs}) == 3, "clusters correspond one to one"
    assert ((ours >= 0) == (theirs >= 0)).mean() > 0.98
    assert (places.clusters.core >= 0).mean() > 0.8


def test_fitted_points_are_placed_where_they_are(fitted: tuple[MapModel, Places]) -> None:
    model, places = fitted
    again = model.place(crowds(0, 400))
    inside = places.clusters.core >= 0
    assert (again.clusters.core[inside] == places.clusters.core[inside]).mean() > 0.98
    away = np.linalg.norm(again.plane - places.plane, axis=1)
    assert np.median(away) < 0.1 * np.linalg.norm(places.plane.std(axis=0))
    assert (again.neighbors.indices[:, 0] == np.arange(400)).all()


def test_a_place_depends_on_its_own_vector_alone(fitted: tuple[MapModel, Places]) -> None:
    model, _ = fitted
    new = crowds(2, 60)
    whole, half = model.place(new), model.place(new[30:])
    np.testing.assert_allclose(half.plane, whole.plane[30:], rtol=1e-4, atol=1e-4)
    assert np.array_equal(half.clusters.labels, whole.clusters.labels[30:])
    np.testing.assert_allclose(half.clusters.outlier_scores, whole.clusters.outlier_scores[30:], atol=1e-5)


def test_a_stored_map_places_as_the_one_that_was_stored(
    fitted: tuple[MapModel, Places], tmp_path: Path
) -> None:
    model, places = fitted
    store = Store.open(tmp_path / "store", create=True)
    tables = FitTables.of(store, {"layer": "3"}, None, "features_soap-00000000")
    assert not tables.complete()
    ids = pa.array([f"test:{row}" for row in range(400)])
    tables.write(model, ids, places)
    assert tables.complete()
    stored, rows = tables.read(SETTINGS)
    new = crowds(3, 50)
    one, other = model.place(new), stored.place(new)
    assert np.array_equal(one.plane, other.plane)
    assert np.array_equal(one.clusters.labels, other.clusters.labels)
    assert np.array_equal(one.clusters.memberships.probabilities, other.clusters.memberships.probabilities)
    assert rows["cluster"].to_pylist() == places.clusters.labels.tolist()
    first = rows["neighbors"][0].as_py()
    assert [each["structure_id"] for each in first] == [f"test:{n}" for n in places.neighbors.indices[0]]


def test_too_few_structures_are_explained() -> None:
    with pytest.raises(CrysiftError, match="needs at least 11 structures with vectors, and there are 10"):
        fit_map(np.zeros((10, 4), np.float32), SETTINGS, "torch")
