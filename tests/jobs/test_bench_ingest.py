import os
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import httpx
import numpy as np
import pytest
from ase.build import molecule
from ase.io import write

from engine.errors import CrysiftError
from jobs.bench import BenchmarkSettings, harvests, ingest, service
from jobs.bench.database import Database, draw_crystals
from jobs.bench.ingest import Amounts
from jobs.bench.plot import draw
from jobs.bench.processes import Tell, server, worker
from jobs.bench.report import BenchmarkReport
from jobs.bench.structures import Sample
from jobs.tables import json_value

TINY = Amounts(optimade=1500, optimade_client=1000, delta=1200, dataset=2, api=1100, memory=5000, repeats=1)
ROCK_SALT = Sample(
    np.array([[0.0, 0.0, 0.0], [2.8, 2.8, 2.8]]),
    np.array([10, 16]),
    np.array([[0.0, 2.8, 2.8], [2.8, 0.0, 2.8], [2.8, 2.8, 0.0]]),
    np.ones(3, dtype=bool),
)
MEMORY = ["memory at 5,000 / at 2,000 structures", "memory added per structure"]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A service with 25 structures."""
    with server(service.serve, Database([ROCK_SALT], 25)) as found:
        yield found


def names(report: BenchmarkReport) -> list[str]:
    return [figure.name for figure in report.figures]


@pytest.mark.integration
def test_all_routes_are_measured_beside_the_clients_of_the_sources(crystal_files: Path) -> None:
    pytest.importorskip("mp_api.client")
    pytest.importorskip("moto.server")
    report = ingest.measure(BenchmarkSettings(source=str(crystal_files)), TINY)
    figures = {figure.name: figure for figure in report.figures}
    rates = {name.removesuffix(": structures"): f.value for name, f in figures.items() if f.unit == "1/s"}
    routes = {
        ingest.OPTIMADE: [ingest.OPTIMADE_CLIENT] if ingest.OPTIMADE_CLIENT in rates else [],
        ingest.DELTA: [ingest.COPY, ingest.DATASET],
        ingest.API: [ingest.RESTER],
    }
    ratios = {f"{ours} / {other}": rates[ours] / rates[other] for ours in routes for other in routes[ours]}
    assert set(rates) == {*routes, *(other for others in routes.values() for other in others)}
    assert min(rates.values()) > 0
    assert {name: figures[name].value for name in ratios} == pytest.approx(ratios)
    assert {name for name, figure in figures.items() if figure.goal} == {
        f"{ingest.OPTIMADE}: structures",
        f"{ingest.DELTA}: structures",
        MEMORY[0],
    }
    assert names(report)[-2:] == MEMORY


@pytest.mark.integration
def test_what_is_not_installed_is_left_out_and_said_to_be(
    crystal_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ingest.NEEDED:
        monkeypatch.setitem(ingest.NEEDED, name, ("no_such_module",))
    report = ingest.measure(BenchmarkSettings(source=str(crystal_files)), TINY)
    assert names(report) == [f"{ingest.OPTIMADE}: structures", *MEMORY]
    assert [remark for remark in report.remarks if "was left out: it needs no_such_module" in remark] == [
        f"{name} was left out: it needs no_such_module" for name in ingest.NEEDED
    ]
    (curve,) = json_value(report.as_json())["curves"]
    assert [rows for rows, _ in curve["points"]] == [2000, 4000, 5000]
    assert all(10 < mebibytes < 10_000 for _, mebibytes in curve["points"])


def test_links_lead_through_all_entries_once(address: str) -> None:
    link, found = f"{address}/v1/structures?page_limit=10", []
    while link:
        page = httpx.get(link).json()
        found += [entry["id"] for entry in page["data"]]
        assert page["meta"]["more_data_available"] is bool(page["links"]["next"])
        link = page["links"]["next"]
    assert found == sorted(set(found))
    assert len(found) == 25


def test_conditions_on_ids_are_met_and_counted(address: str) -> None:
    condition = '(id > "s-000000004") AND (id <= "s-000000020")'
    params = {"filter": condition, "page_limit": "5", "response_fields": "id"}
    page = httpx.get(f"{address}/v1/structures", params=params).json()
    assert [entry["id"] for entry in page["data"]] == [f"s-00000000{i}" for i in range(5, 10)]
    assert all(entry["attributes"] == {} for entry in page["data"])
    assert page["meta"]["data_returned"] == 16


def test_pages_are_packed_only_for_those_who_unpack_them(address: str) -> None:
    url = f"{address}/materials/summary/?_limit=20"
    packed, plain = (httpx.get(url, headers={"accept-encoding": e}) for e in ("gzip", "identity"))
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.json() == plain.json()
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2


def test_crystals_that_are_served_again_have_ids_and_cells_of_their_own() -> None:
    entries = [Database([ROCK_SALT], 25).entry(number) for number in range(25)]
    cells = {float(entry["attributes"]["lattice_vectors"].max()) for entry in entries}
    assert len({entry["id"] for entry in entries}) == len(cells) == 25
    assert max(cells) < 1.1 * min(cells)


def test_another_number_of_structures_than_is_served_is_no_measurement(address: str) -> None:
    with pytest.raises(CrysiftError, match="gave 25 structures and not 26"):
        harvests.to_parquet(f"optimade:{address}", 26)


def test_a_source_without_crystals_is_named(tmp_path: Path) -> None:
    path = tmp_path / "water.extxyz"
    write(path, molecule("H2O"))
    with pytest.raises(CrysiftError, match=r"no crystals in .*water\.extxyz"):
        draw_crystals(BenchmarkSettings(source=str(path)), 10)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system keeps no process to a core")
def test_a_measured_process_keeps_to_one_core() -> None:
    with worker(one_core=True) as call:
        assert len(call(os.sched_getaffinity, 0)) == 1


def test_a_server_that_does_not_start_is_named() -> None:
    with pytest.raises(CrysiftError, match="server _fail did not start"), server(_fail):
        pass


def _fail(tell: Tell) -> None:
    raise SystemExit


def test_a_curve_is_drawn_the_same_each_time(tmp_path: Path) -> None:
    curve = {"name": "memory", "x": "structures", "y": "MiB", "points": [(1000, 300.0), (2000, 310.5)]}
    for name in ("one.svg", "two.svg"):
        draw(curve, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    texts = {"".join(element.itertext()) for element in ET.parse(tmp_path / "one.svg").iter()}  # noqa: S314
    assert {"memory", "structures", "MiB", "2,000"} <= texts
