"""The benchmark of maps: what it measures on, what it reports, and what follows for larger databases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from engine.columns import StructureColumns
from engine.descriptors.soap import SoapStage
from engine.errors import CrysiftError
from engine.landscape.cluster import ClusterSettings
from engine.landscape.embed import EmbedSettings
from engine.landscape.model import MapSettings
from engine.structure import Structure, structures_table
from jobs.bench import BenchmarkSettings, map_report, map_vectors, scale_report
from jobs.bench.map import Amounts, measure
from jobs.bench.map_fit import STEPS
from jobs.bench.map_vectors import displaced, representations
from jobs.bench.structures import draw_table
from jobs.landscape.settings import DEFAULT_SAMPLE
from models.batches import vectors_of
from models.representations import Layer
from models.weights_file import load_model


@pytest.fixture(scope="module")
def crystals() -> pa.Table:
    """Rock salt in five sizes, and a chain that is periodic along one axis."""
    cell = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
    made = [
        Structure("db", f"{k}", ("Na", "Cl"), np.array([[0.0] * 3, [edge / 2] * 3]), cell * edge, (1, 1, 1))
        for k, edge in enumerate(np.linspace(5.0, 6.0, 5))
    ]
    chain = Structure("db", "chain", ("C",), np.zeros((1, 3)), np.eye(3) * 1.3, (1, 0, 0))
    return structures_table([*made, chain])


def _places(rows: pa.Table) -> NDArray[np.float64]:
    return StructureColumns.from_table(rows).positions


def test_coordinates_move_by_the_reach_of_their_structure_at_most(crystals: pa.Table) -> None:
    reaches = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    moved = displaced(crystals, reaches, np.random.default_rng(0))
    assert moved.schema == crystals.schema
    shifts = np.abs(_places(moved) - _places(crystals)).max(axis=1)
    limits = np.repeat(reaches, [2, 2, 2, 2, 2, 1])
    assert (shifts <= limits).all()
    assert (shifts[2:] > 0.2 * limits[2:]).all()
    kept = [name for name in crystals.column_names if name != "cartesian_site_positions"]
    assert moved.select(kept) == crystals.select(kept)


@pytest.mark.slow
def test_vectors_are_those_of_the_network_and_are_kept_between_runs(
    crystal_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = str(crystal_files)
    found = representations(source, 10, seed=3, keep=True)
    assert found.vectors.shape == (10, 256)
    assert len(list((tmp_path / "crysift" / "bench").glob("map-*.npz"))) == 1
    monkeypatch.setattr(map_vectors, "_blocks", None)
    again = representations(source, 10, seed=3, keep=True)
    np.testing.assert_array_equal(again.vectors, found.vectors)
    assert again.undisplaced == found.undisplaced == 4
    rows = draw_table(source, 100, seed=0)
    features = SoapStage().open()(rows)
    expected = Layer(load_model("arise-robust").network, "3")(vectors_of(features))
    apart = cdist(expected, found.vectors[:4])
    assert (apart.min(axis=1) < 1e-4).all()
    assert (cdist(found.vectors[:4], found.vectors[4:8]).argmin(axis=0) == np.arange(4)).all()


def test_a_source_without_structures_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.cif").write_text("data_x\nthis is no crystal\n", encoding="utf-8")
    with pytest.raises(CrysiftError, match=f"no structures in {tmp_path}"):
        representations(str(tmp_path), 10, seed=0, keep=False)


@pytest.mark.slow
def test_a_map_is_measured_step_by_step_and_compared() -> None:
    tiny = Amounts(sizes=(400, 200), compared=200, all_columns=150, judged=50)
    of_map = MapSettings(ClusterSettings(8, 4), EmbedSettings(neighbors=10))
    report = measure(BenchmarkSettings(quick=True), tiny, of_map)
    values = {figure.name: figure.value for figure in report.figures}
    goals = {figure.name: figure.goal for figure in report.figures if figure.goal}
    assert goals == {}
    assert values["torch: nearest neighbours found"] == 100.0
    assert values["cpu: nearest neighbours found"] > 95.0
    assert values["cpu and torch: ARI of clusters"] == 1.0
    assert 0.7 < values["placed rest: trustworthiness"] <= values["torch: trustworthiness"] + 0.05
    assert [curve.points[0][0] for curve in report.curves] == [200.0] * (2 * len(STEPS) + 1)
    assert "### A hundred million structures" in map_report.section(report.as_json())


@pytest.fixture
def report() -> dict[str, Any]:
    """Steps that grow with the powers 1, 2, 3 and 0.5: 10 s each at 1,000 structures."""
    powers = (1.0, 2.0, 3.0, 0.5)
    curves = [
        {
            "name": f"{step}, {clock}",
            "points": [[500.0, 10.0 * 0.5**power], [1000.0, 10.0]],
        }
        for clock in ("time", "processor time")
        for step, power in zip(STEPS, powers, strict=True)
    ]
    curves.append({"name": "placing one more", "points": [[500.0, 0.0005], [1000.0, 0.001]]})
    values = {
        "most memory": 0.5,
        "torch: trustworthiness": 0.99,
        "fitted third: trustworthiness": 0.98,
        "placed rest: trustworthiness": 0.97,
        "fitted third, same settings: ARI with clusters of all": 0.5,
        "fitted third, settings / 3: ARI with clusters of all": 0.7,
    }
    figures = [{"name": name, "value": value, "unit": "", "goal": None} for name, value in values.items()]
    machine = {"processor": "any", "cores": 2}
    return {"benchmark": "map", "machine": machine, "remarks": ["none"], "figures": figures, "curves": curves}


def test_costs_follow_the_measured_powers_which_are_between_one_and_two(report: dict[str, Any]) -> None:
    costs = map_report.Costs.of(report)
    assert costs.powers == pytest.approx((1.0, 2.0, 2.0, 1.0))
    assert costs.fit(1000) == pytest.approx(40.0)
    assert costs.fit(10_000) == pytest.approx(100.0 + 1000.0 + 1000.0 + 100.0)
    assert costs.place == pytest.approx(1e-6)


def test_the_plan_divides_the_work_of_placing_by_the_workers(report: dict[str, Any]) -> None:
    text = map_report.section(report)
    per_structure = 1e-6 * DEFAULT_SAMPLE
    hours = (10**8 - DEFAULT_SAMPLE) * per_structure / 3600
    (row,) = [line for line in text.splitlines() if line.startswith("| 100,000,000 |")]
    assert f"{hours:,.0f} core-hours | {hours / 2:,.0f} h |" in row
    assert row.endswith("| – |")
    assert "0.970 for those placed" in " ".join(text.split())


def test_the_section_is_filled_in_and_stays_when_the_document_is_written_again(
    report: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, source = tmp_path / "scale.md", tmp_path / "map.json"
    source.write_text(json.dumps(report), encoding="utf-8")
    target.write_text(f"# Scaling\n\n{scale_report.OF_MAPS}\n", encoding="utf-8")
    map_report.main(str(target), str(source))
    filled = target.read_text(encoding="utf-8")
    assert "## The map" in filled
    for name in ("workloads", "_cases", "draw"):
        monkeypatch.setattr(scale_report, name, lambda *_: [])
    monkeypatch.setattr(scale_report, "document", lambda *_: f"# Scaling\n\n{scale_report.OF_MAPS}\n")
    scale_report.main(str(target), str(source))
    assert target.read_text(encoding="utf-8") == filled
