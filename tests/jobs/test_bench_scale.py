import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import CrysiftError
from jobs.bench import BenchmarkSettings, scale, scale_forecast, scale_report
from jobs.bench.scale import HOSTED, MODEL, SOAP, Amounts, Measured
from jobs.bench.scale_forecast import S3, Bucket, Workload, search, workloads
from jobs.bench.scale_runs import EngineRun, PartTimes
from jobs.bench.scale_store import draw_rows, store_of
from jobs.bench.simulation import DRIVER, Costs, RequestLimits

TINY = Amounts(structures=12, parts=4, singles=4, repeats=1)
OF_A_STAGE = {
    "reading a part": 2.0,
    "committing a part": 4.0,
    "reading and committing, per structure": 0.01,
    "work per structure": 1.0,
    "spread of the work": 1.5,
}
OF_AN_ENGINE = {
    "start": 3.0,
    "a worker's pause between parts": 5.0,
    "processor time of the driver per part": 2.0,
}


def report_with(figures: dict[str, float]) -> dict[str, Any]:
    listed = [{"name": name, "value": value, "unit": "ms", "goal": None} for name, value in figures.items()]
    machine = {"processor": "any", "cores": 2}
    return {"benchmark": "scale", "machine": machine, "remarks": ["none"], "figures": listed, "curves": []}


@pytest.fixture
def report() -> dict[str, Any]:
    figures = {f"{stage}: {name}": value for stage in (SOAP, MODEL) for name, value in OF_A_STAGE.items()}
    figures |= {f"{engine}: {name}": v for engine in (HOSTED, MODEL) for name, v in OF_AN_ENGINE.items()}
    return report_with({**figures, "planning: parts to do": 1000.0})


def run_of(wall: float, parts: int, busy: float, driver: float) -> EngineRun:
    return EngineRun(start=1.0, wall=wall, busy=busy, parts=parts, driver=driver, central=0.0)


@pytest.fixture
def measured() -> Measured:
    """40 structures of 100 ms in parts of 4; two processes together do as much as 1.6 alone."""
    return Measured(
        rows=40,
        one=run_of(4.17, 10, 4.13, 0.001),
        two=run_of(2.6, 10, 5.1, 0.001),
        bare=4.0,
        bare_two=5.0,
        single=run_of(1.12, 10, 1.08, 0.001),
        single_two=run_of(0.7, 10, 1.3, 0.001),
        large_parts=[PartTimes(rows=4, read=0.008, work=0.4, commit=0.005)],
        single_parts=[PartTimes(rows=1, read=0.004, work=0.1, commit=0.003)] * 10,
        shares=[0.1] * 10,
    )


def test_costs_of_a_part_are_told_from_those_of_a_structure(measured: Measured) -> None:
    assert measured.costs.dispatch == 0.001
    assert measured.costs.transport == pytest.approx(0.003)
    assert (measured.costs.read, measured.costs.commit) == (0.004, 0.003)
    assert measured.store_per_row == pytest.approx(0.002)
    assert measured.spread == 0.0


def test_efficiency_is_judged_by_what_the_machine_allows(measured: Measured) -> None:
    assert measured.efficiency == pytest.approx(4.17 / 5.2)
    assert measured.limit == pytest.approx(0.8)


def test_runs_are_predicted_from_bare_work_and_costs_of_parts(measured: Measured) -> None:
    per_part = 0.001 + 0.003 + 0.004 + 0.003 + 4 * 0.002
    assert measured.predicted(1) == pytest.approx(4.0 + 10 * per_part)
    assert measured.predicted(2) == pytest.approx(5 * (0.5 + per_part), abs=0.002)
    assert measured.predicted_single_two() == pytest.approx(5 * (0.125 + 0.011), abs=0.002)


def test_a_small_source_is_repeated_and_cut_into_equal_parts(crystal_files: Path, tmp_path: Path) -> None:
    rows = draw_rows(BenchmarkSettings(source=str(crystal_files)), 10)
    store = store_of(rows, 5, tmp_path / "store")
    footers = [store.structures.footer(part) for part in store.structures.part_names()]
    assert len(rows) == 10
    assert [footer.rows_out for footer in footers] == [2] * 5
    assert min(footer.cost for footer in footers) > 0


def test_a_source_without_structures_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.cif").write_text("data_x\n")
    with pytest.raises(CrysiftError, match="no structures in"):
        draw_rows(BenchmarkSettings(source=str(tmp_path)), 10)


def test_the_driver_is_saturated_beyond_as_many_workers_as_it_is_said_to_serve() -> None:
    stage = Workload("any", "disk", Costs(dispatch=0.01, read=0.1), RequestLimits(), 0.001, 0.0, 1e9)
    served = stage.served(400)
    assert served == 51
    fewer, more = (stage.outcome(400_000, 400, workers) for workers in (served // 2, 2 * served))
    assert fewer.driver == pytest.approx(0.5, abs=0.05)
    assert more.driver == pytest.approx(1.0, abs=0.06)
    assert more.bottleneck == DRIVER


def test_a_bucket_adds_requests_to_a_part_and_slows_the_planning(report: dict[str, Any]) -> None:
    local, _ = workloads(report)
    remote = local.stored_in(Bucket(latency=0.05, reads_per_second=1000.0, writes_per_second=100.0))
    assert remote.costs.read == pytest.approx(local.costs.read + 2 * 0.05)
    assert remote.costs.commit == pytest.approx(local.costs.commit + 2 * 0.05)
    assert remote.limits == RequestLimits(reads=0.003, writes=0.01)
    assert local.planned_per_second == 1000.0
    assert remote.planned_per_second == pytest.approx(32 / 0.05 / (1 + 2 * 32 / 1000))


def test_the_smallest_parts_that_are_nearly_as_fast_as_any_are_advised(report: dict[str, Any]) -> None:
    soap, _ = workloads(report)
    found = search(soap, 1_000_000, 200)
    best = min(outcome.makespan for outcome in found.outcomes.values())
    fast = [rows for rows, outcome in found.outcomes.items() if outcome.makespan <= 1.05 * best]
    assert found.advised == min(fast)


def test_the_document_names_bottlenecks_and_is_written_the_same_each_time(
    report: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(scale_report, "STRUCTURES", (200_000, 20_000))
    (tmp_path / "scale.json").write_text(json.dumps(report))
    written = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        scale_report.main(str(folder / "scale.md"), str(tmp_path / "scale.json"))
        written.append(((folder / "scale.md").read_text(), (folder / "scale.svg").read_bytes()))
    assert written[0] == written[1]
    rows = [line for line in written[0][0].splitlines() if line.startswith(("| SOAP | disk", "| SOAP | S3"))]
    assert len(rows) == 2 * 2 * len(scale_forecast.WORKERS)
    assert S3.latency > 0
    assert all("too few parts" in row for row in rows if "| 10,000 |" in row and "| disk |" in row)


@pytest.mark.integration
@pytest.mark.slow
def test_both_stages_are_measured_on_one_and_two_workers(crystal_files: Path) -> None:
    measured = scale.measure(BenchmarkSettings(source=str(crystal_files)), TINY)
    values = {figure.name: figure.value for figure in measured.figures}
    for stage in (SOAP, MODEL):
        assert all(values[f"{stage}: {name}"] >= 0 for name in OF_A_STAGE)
        ratio = values[f"{stage}: 2 workers"] / values[f"{stage}: 1 worker"] / 2
        assert values[f"{stage}: efficiency of 2 workers"] == pytest.approx(ratio)
    for engine in (SOAP, HOSTED, MODEL):
        assert all(values[f"{engine}: {name}"] > 0 for name in OF_AN_ENGINE)
    assert {figure.name for figure in measured.figures if figure.goal} == {
        "largest deviation of the simulation"
    }
    assert len(workloads(measured.as_json())) == 2
