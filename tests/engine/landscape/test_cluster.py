import numpy as np
import pytest
from numpy.typing import NDArray

from engine.errors import CrysiftError
from engine.landscape.cluster import (
    Clustering,
    ClusterSettings,
    assign_outliers,
    cluster,
    cuml_arguments,
)
from engine.landscape.components import principal_components
from engine.landscape.hierarchy import OUTLIER, Hierarchy, outlier_scores
from engine.landscape.memberships import Memberships, SoftClustering
from engine.landscape.memory import check_memory, clustering_bytes

SIZES = (200, 120, 60)
SETTINGS = ClusterSettings(min_cluster_size=20, min_samples=5)


def groups(width: int = 64, seed: int = 1) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Three normal groups, a halo around the largest (truth 3) and points far from all (truth -1)."""
    random = np.random.default_rng(seed)
    truth = np.repeat([0, 1, 2, 3, OUTLIER], [*SIZES, 15, 15])
    corners = np.vstack([np.eye(3), np.eye(3)[0], np.zeros(3)])[truth] * 4
    widths = np.array([0.2, 0.2, 0.2, 0.5, 12.0])[truth]
    points = corners + widths[:, None] * random.normal(size=(len(truth), 3))
    turn = np.linalg.qr(random.normal(size=(width, width)))[0][:3]
    order = random.permutation(len(truth))
    return (points @ turn)[order].astype(np.float32), truth[order]


def clustered(vectors: NDArray[np.floating], settings: ClusterSettings) -> Clustering:
    found, _ = cluster(principal_components(vectors, 1.0), settings)
    return found


def test_known_groups_are_found_and_numbered_by_size() -> None:
    vectors, truth = groups()
    found = clustered(vectors, SETTINGS)
    inside, far = (truth >= 0) & (truth < 3), truth == OUTLIER
    assert found.labels.max() == 2
    assert (found.labels[inside] == truth[inside]).mean() > 0.99
    sizes = np.bincount(found.labels[found.labels >= 0])
    assert sizes.tolist() == sorted(sizes, reverse=True)
    assert (found.labels[far] == OUTLIER).mean() > 0.9
    assert found.outlier_scores[far].mean() > found.outlier_scores[inside].mean() + 0.3
    assert found.memberships.probabilities.sum(axis=1).max() <= 1.0 + 1e-6


def test_the_order_of_the_vectors_changes_no_cluster() -> None:
    vectors, _ = groups()
    order = np.random.default_rng(0).permutation(len(vectors))
    found, again = clustered(vectors, SETTINGS), clustered(vectors[order], SETTINGS)
    assert np.array_equal(found.labels[order], again.labels)
    np.testing.assert_allclose(found.probabilities[order], again.probabilities, atol=1e-5)


def test_an_outlier_joins_its_most_probable_cluster_from_ten_percent_on() -> None:
    core = np.array([0, OUTLIER, OUTLIER, 0], np.int32)
    memberships = Memberships(
        np.array([[0, 1], [1, 0], [1, 0], [1, 0]], np.int32),
        np.array([[0.9, 0.0], [0.1, 0.05], [0.09, 0.05], [0.7, 0.2]], np.float32),
        np.array([0.9, 0.1, 0.09, 0.2], np.float32),
    )
    found = assign_outliers(Clustering(core, core, memberships, np.zeros(4, np.float32)), 0.1)
    assert found.labels.tolist() == [0, 1, OUTLIER, 0], "members of a core stay where they are"
    assert found.assigned.tolist() == [False, True, False, False]
    np.testing.assert_allclose(found.probabilities, [0.9, 0.1, 0.09, 0.2])
    assert found.core.tolist() == core.tolist()


def test_the_rule_assigns_outliers_near_a_cluster_and_leaves_far_ones() -> None:
    random = np.random.default_rng(0)
    truth = np.repeat([0, 1], [300, 200])
    points = random.standard_t(4, size=(500, 2)) + np.array([[0.0, 0.0], [6.0, 0.0]])[truth]
    far = [[0.0, 60.0], [60.0, 0.0], [-50.0, -50.0]]
    rule, strict = (
        clustered(np.vstack([points, far]), ClusterSettings(20, assign_from=share)) for share in (0.1, 1.0)
    )
    assert not strict.assigned.any()
    assert np.array_equal(rule.core, strict.labels)
    joined = rule.assigned
    assert joined.sum() > 10
    assert (rule.labels[:500] == truth)[joined[:500]].mean() > 0.9
    assert (rule.probabilities[joined] >= 0.1).all()
    left = rule.labels == OUTLIER
    assert left[500:].all()
    assert (rule.probabilities[left] < 0.1).all()


@pytest.mark.parametrize("seed", [3, 4])
def test_scores_and_memberships_are_those_of_hdbscan(seed: int) -> None:
    hdbscan = pytest.importorskip("hdbscan")
    points = principal_components(groups(seed=seed)[0], 1.0)
    clusterer = hdbscan.HDBSCAN(min_cluster_size=10, core_dist_n_jobs=1, prediction_data=True)
    labels = clusterer.fit_predict(points.astype(float))
    tree = Hierarchy.of(clusterer.condensed_tree_.to_numpy(), labels)
    ours = outlier_scores(tree, tree.branches, tree.levels)
    np.testing.assert_allclose(ours, clusterer.outlier_scores_, atol=1e-6)
    theirs = hdbscan.all_points_membership_vectors(clusterer)
    soft = SoftClustering(tree, points)(points, tree.branches, tree.levels, labels.astype(np.int32))
    assert tree.count == labels.max() + 1 > 2
    np.testing.assert_allclose(soft.probabilities, -np.sort(-theirs, axis=1)[:, :3], atol=1e-5)
    inside = labels != OUTLIER
    np.testing.assert_allclose(soft.own[inside], theirs[inside, labels[inside]], atol=1e-5)
    np.testing.assert_allclose(soft.own[~inside], theirs[~inside].max(axis=1), atol=1e-5)


def test_cuml_is_called_as_its_documentation_says() -> None:
    documented = {  # https://docs.nvidia.com/cuml/26.08/api/generated/cuml.cluster.hdbscan.HDBSCAN/
        "min_cluster_size", "min_samples", "cluster_selection_epsilon", "max_cluster_size", "metric", "alpha",
        "p", "cluster_selection_method", "allow_single_cluster", "gen_min_span_tree", "verbose",
        "output_type", "prediction_data", "build_algo", "build_kwds", "device_ids",
    }  # fmt: skip
    arguments = cuml_arguments(SETTINGS, 1000)
    assert arguments.keys() <= documented
    assert arguments["build_algo"] == "brute_force"
    assert cuml_arguments(SETTINGS, 2_000_000)["build_algo"] == "nn_descent"


def test_equal_vectors_form_clusters_with_finite_memberships() -> None:
    random = np.random.default_rng(0)
    vectors = np.vstack([np.zeros((50, 3)), np.ones((40, 3)), 3 + 0.1 * random.normal(size=(100, 3))])
    found = clustered(vectors, ClusterSettings(10))
    truth = np.repeat([1, 2, 0], [50, 40, 100])
    assert np.array_equal(found.core[:90], truth[:90])
    assert np.isfinite(found.memberships.probabilities).all()
    assert np.isfinite(found.outlier_scores).all()
    np.testing.assert_allclose(found.probabilities[:90], 1.0)


def test_copies_of_a_point_do_not_make_outliers_of_all_others() -> None:
    random = np.random.default_rng(5)
    crowd = random.normal(size=(300, 3))
    points = np.vstack(
        [crowd, np.repeat(crowd[:1], 40, axis=0) + 1e-7 * random.normal(size=(40, 3)), 9 + crowd[:90]]
    )
    by_rounding, found = (
        cluster(points, ClusterSettings(20, 5, resolution=share))[0] for share in (0.0, 0.1)
    )
    assert np.median(by_rounding.outlier_scores[:300]) > 0.999
    assert np.median(found.outlier_scores[:300]) < 0.95
    assert np.ptp(np.quantile(by_rounding.outlier_scores[:300], [0.4, 0.8])) < 1e-5
    assert np.ptp(np.quantile(found.outlier_scores[:300], [0.4, 0.8])) > 0.01, "scores tell points apart"
    assert np.array_equal(found.core < 0, by_rounding.core < 0)


def test_one_group_is_one_cluster_only_where_that_is_allowed() -> None:
    points = np.random.default_rng(1).normal(size=(400, 3))
    assert clustered(np.zeros((60, 3)), ClusterSettings(10)).labels.tolist() == [OUTLIER] * 60
    found = clustered(points, ClusterSettings(100, 10, single=True))
    assert found.labels.max() == 0
    distance = np.linalg.norm(points, axis=1)
    assert (found.labels[distance < 1.0] == 0).all()
    near, far = found.probabilities[distance < 1.0], found.probabilities[distance > 3.0]
    assert far.max() < near.min()


def test_too_few_vectors_and_bad_settings_are_explained() -> None:
    with pytest.raises(CrysiftError, match="24 vectors are too few to cluster: 26 are needed"):
        cluster(np.zeros((24, 3)), ClusterSettings(25))
    with pytest.raises(CrysiftError, match="not finite"):
        cluster(np.full((60, 3), np.nan), ClusterSettings(25))
    with pytest.raises(CrysiftError, match="at least 2"):
        ClusterSettings(1)
    with pytest.raises(CrysiftError, match=r"1\.5 to assign outliers"):
        ClusterSettings(assign_from=1.5)
    with pytest.raises(CrysiftError, match=r"cluster.* 1,000,000,000,000 vectors needs about .* GiB"):
        check_memory("clustering", 10**12, clustering_bytes(10**12, 16))
