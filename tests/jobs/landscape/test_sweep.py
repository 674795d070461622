"""A sweep over smallest cluster sizes, on groups whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from engine.errors import CrysiftError
from engine.landscape.cluster import ClusterSettings, cluster
from engine.schema import MAP_SWEEP
from jobs.landscape.sweep import SweepSettings, sweep
from jobs.landscape.sweep_picture import sweep_picture

Singles = NDArray[np.float32]
SETTINGS = SweepSettings(sizes=(20, 60, 150, 5000), neighbors=8, resamples=3)


@pytest.fixture(scope="module")
def points() -> Singles:
    """Groups of 300, 200, 100 and 40, the last near the first and with a tenfold point, and strays."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 6)) * 12.0
    groups = [
        centre + rng.normal(size=(size, 6)) for centre, size in zip(centres, (300, 200, 100, 30), strict=True)
    ]
    strays = rng.uniform(-60.0, 60.0, size=(30, 6))
    return np.concatenate([*groups, np.repeat(groups[3][:1], 10, axis=0), strays]).astype(np.float32)


def test_counts_and_stability_of_groups_that_are_there(points: Singles) -> None:
    done: list[tuple[int, int]] = []
    table = sweep(points, SETTINGS, lambda *step: done.append(step))
    assert table.schema == MAP_SWEEP
    rows = table.to_pylist()
    assert [row["min_cluster_size"] for row in rows] == [20, 60, 150]
    assert [row["clusters"] for row in rows] == [4, 3, 2]
    assert [row["largest"] for row in rows] == pytest.approx([300, 340, 340], abs=15)
    assert rows[0]["outlier_fraction"] < 0.12 < rows[2]["outlier_fraction"]
    assert all(0.8 < row["stability_low"] <= row["stability"] <= row["stability_high"] <= 1 for row in rows)
    assert all(0.3 < row["persistence"] < 1 for row in rows)
    assert done == [(step, 4) for step in range(1, 5)]


def test_the_sweep_counts_what_a_clustering_of_that_size_does(points: Singles) -> None:
    rows = sweep(points, SweepSettings(sizes=(20, 60), neighbors=8, resamples=1)).to_pylist()
    for row in rows:
        found, hierarchy = cluster(points, ClusterSettings(row["min_cluster_size"], 8))
        assert row["clusters"] == hierarchy.count
        assert row["outlier_fraction"] == pytest.approx((found.core == -1).mean())
        assert row["assigned_fraction"] == pytest.approx(found.assigned.mean())
        assert row["largest"] == np.bincount(found.core[found.core >= 0]).max()


def test_noise_has_no_stable_clusters() -> None:
    noise = np.random.default_rng(1).uniform(size=(400, 3)).astype(np.float32)
    (row,) = sweep(noise, SweepSettings(sizes=(10,), neighbors=5, resamples=3)).to_pylist()
    assert row["clusters"] == 0 or row["stability"] < 0.6


def test_no_clusters_have_no_stability(points: Singles) -> None:
    one = points[:300]
    (row,) = sweep(one, SweepSettings(sizes=(140,), neighbors=20, resamples=1)).to_pylist()
    assert (row["clusters"], row["largest"], row["outlier_fraction"]) == (0, 0, 1.0)
    assert row["stability"] is row["stability_low"] is row["persistence"] is None


def test_too_few_points_are_refused(points: Singles) -> None:
    with pytest.raises(CrysiftError, match="30 structures are too few for clusters of at least 20"):
        sweep(points[:30], SETTINGS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sizes": ()}, "no cluster sizes"),
        ({"sizes": (50, 1)}, "smallest cluster has 1 members"),
        ({"neighbors": 0}, "neighbours of the density are 0"),
        ({"resamples": 0}, "0 random halves"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(CrysiftError, match=message):
        SweepSettings(**settings)  # type: ignore[arg-type]


def test_the_picture_is_drawn_in_each_format_and_the_same_again(points: Singles, tmp_path: Path) -> None:
    table = sweep(points, SweepSettings(sizes=(20, 60, 290), neighbors=8, resamples=1))
    sweep_picture(table, tmp_path / "sweep.svg")
    words = (tmp_path / "sweep.svg").read_text(encoding="utf-8")
    assert all(word in words for word in ("smallest cluster size", "outliers", "ARI with halves", "290"))
    sweep_picture(table, tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_bytes() == (tmp_path / "sweep.svg").read_bytes()
    sweep_picture(table, tmp_path / "sweep.png")
    assert Image.open(tmp_path / "sweep.png").width > 1500
