"""Promises of the metrics, read as Prometheus reads them: from the port where a real Ray serves them."""

import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from engine.execution import (
    Event,
    PartDamaged,
    PartDone,
    PartIsolated,
    WorkerLost,
    WorkersChanged,
    metrics,
)
from engine.execution.events import PageDone, StageFinished, StageStarted, ignore
from engine.execution.metrics import CLASSES_PER_STAGE, RayMetrics
from engine.store import Store
from jobs.pipeline import recorded_run

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

_SAMPLE = re.compile(r"^ray_(crysift_\w+)\{(.*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(stage|error_class|table|le)="([^"]*)"')


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def metrics_port() -> Iterator[int]:
    """The port of a Ray of this machine that gathers the metrics of its processes every second."""
    import ray

    import engine.execution.ray_session  # noqa: F401 -- sets the environment of Ray

    port = free_port()
    ray.init(
        address="local",
        num_cpus=1,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=80 * 1024**2,
        _metrics_export_port=port,
        _system_config={"metrics_report_interval_ms": 1000},
    )
    try:
        yield port
    finally:
        ray.shutdown()


@pytest.fixture(autouse=True)
def frequent_refreshes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gauges are set more often than this Ray forgets them, which is after 2 s."""
    monkeypatch.setattr(metrics, "REFRESH_SECONDS", 0.3)


def scrape(port: int) -> tuple[Samples, dict[str, str]]:
    """Our samples by name and labels, and the types of our metrics."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    samples = {
        (name, frozenset(_LABEL.findall(labels))): float(value)
        for name, labels, value in _SAMPLE.findall(text)
    }
    return samples, dict(re.findall(r"^# TYPE ray_(crysift_\w+) (\w+)$", text, re.MULTILINE))


def scrape_until(port: int, name: str, value: float, **labels: str) -> tuple[Samples, dict[str, str]]:
    """Scrape again and again, as Prometheus does, until a sample has a value."""
    wait_until(lambda: scrape(port)[0].get((name, frozenset(labels.items()))) == value)
    return scrape(port)


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.3)


@pytest.mark.integration
@pytest.mark.slow
def test_prometheus_reads_what_happened_in_a_run(metrics_port: int, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    heard: list[Event] = []
    with recorded_run(store, "screen", {}, heard.append) as (_, tell):
        tell(PageDone("db", "first", rows=90, rejected=10, known=5, skipped=False, seconds=0.2))
        tell(PageDone("db", "second", rows=90, rejected=0, known=0, skipped=True, seconds=0.0))
        tell(StageStarted("features_soap", 3, 3000, 0, "dask", 4, 1.0, "3 parts"))
        tell(WorkersChanged("features_soap", 3, 4))
        tell(PartDone("features_soap", "part-a", 1000, {"Disordered": 2, "NoNeighbours": 1}, 0.5, 1.0))
        tell(PartDone("features_soap", "part-b", 1000, {}, 20.0, 1.0))
        tell(PartDone("features_soap", "part-c", 1000, {"Disordered": 5}, 4000.0, 1.0))
        tell(WorkerLost("features_soap", "part-d", 1))
        tell(WorkerLost("features_soap", "part-d", 2))
        tell(PartIsolated("features_soap", "part-d", 2))
        tell(PartDamaged("features_soap-01234567", "part-e", "truncated"))
        assert len(heard) == 11
        samples, kinds = scrape_until(metrics_port, "crysift_rows_total", 3000, stage="features_soap")

    def value(name: str, stage: str = "features_soap", **labels: str) -> float:
        return samples[f"crysift_{name}", frozenset({"stage": stage, **labels}.items())]

    assert value("rows_total", "ingest") == 100
    assert value("failed_rows_total", "ingest", error_class="rejected") == 10
    assert value("failed_rows_total", error_class="Disordered") == 7
    assert value("failed_rows_total", error_class="NoNeighbours") == 1
    assert (value("parts_total"), value("parts_total", "ingest")) == (3, 1)
    assert (value("planned_rows"), value("workers"), value("workers_wanted")) == (3000, 3, 4)
    assert (value("workers_lost_total"), value("isolated_parts_total")) == (2, 1)
    assert samples["crysift_damaged_parts_total", frozenset({("table", "features_soap-01234567")})] == 1
    below = [value("part_seconds_bucket", le=bound) for bound in ("0.3", "1.0", "10.0", "30.0", "+Inf")]
    assert below == [0, 1, 1, 2, 3]
    assert value("part_seconds_count") == 3
    assert {kinds[name] for name in kinds if name.endswith("_total")} == {"counter"}
    assert (kinds["crysift_workers"], kinds["crysift_part_seconds"]) == ("gauge", "histogram")


@pytest.mark.integration
@pytest.mark.slow
def test_workers_are_told_as_long_as_their_stage_is_at_work(metrics_port: int, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    gauge = "crysift_workers", frozenset({("stage", "features_long")})
    with recorded_run(store, "screen", {}, ignore) as (_, tell):
        tell(WorkersChanged("features_long", 3, 4))
        scrape_until(metrics_port, "crysift_workers", 3, stage="features_long")
        for _ in range(10):
            assert scrape(metrics_port)[0][gauge] == 3
            time.sleep(0.5)
        tell(StageFinished("features_long", 1, 1, 0, 0, 1.0))
        wait_until(lambda: gauge not in scrape(metrics_port)[0])


@pytest.mark.integration
@pytest.mark.slow
def test_however_many_error_classes_there_are_few_become_time_series(metrics_port: int) -> None:
    count = RayMetrics()
    for number in range(3 * CLASSES_PER_STAGE):
        count(PartDone("features_many", f"part-{number}", 1, {f"Error{number}": 1}, 1.0, 1.0))
    samples, _ = scrape_until(
        metrics_port,
        "crysift_failed_rows_total",
        2.0 * CLASSES_PER_STAGE,
        stage="features_many",
        error_class="other",
    )
    series = [name for name, labels in samples if ("stage", "features_many") in labels]
    assert series.count("crysift_failed_rows_total") == CLASSES_PER_STAGE + 1


def test_without_ray_nothing_is_measured_and_ray_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    RayMetrics()(WorkerLost("features_soap", "", 1))
    assert "ray" not in sys.modules
