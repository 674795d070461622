"""Whole ingests through a proxy that breaks answers: every entry arrives once, or the run stops and goes on.

What is seen is compared with the table in connectors/README.md; with CRYSIFT_WRITE_FAULT_TABLE set it is
written there instead (`make fault-table`).
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from connectors.http import Patience
from engine.errors import CrysiftError
from engine.ingest import ingest
from engine.store import Store
from engine.validation import StructureLimits
from tests.integration.fault_cases import (
    CASES,
    JSON_SOURCES,
    KEPT,
    MISSING,
    REJECTED,
    SAME,
    STOPS,
    TOLD,
    Case,
    Target,
)
from tests.integration.fault_table import FaultTable, Observation, cell
from tests.integration.faulty_sources import API, ENTRIES, SOURCES, FaultySource, small_pages
from tests.servers.fault_proxy import FaultProxy, Recording, Upstream
from tests.servers.materials_project_api import KEY

pytestmark = pytest.mark.integration

WRITE = bool(os.environ.get("CRYSIFT_WRITE_FAULT_TABLE"))
PATIENCE = Patience(attempts=3, first_wait=0.001, longest_wait=2.0, connect=2.0, silence=0.5, answer=1.0)
PAIRS = [(source, case) for source in SOURCES for case in CASES if source in case.sources]


@dataclass(frozen=True)
class Tables:
    """What a store holds, sorted by id, without the times of fetching."""

    rows: pa.Table
    rejects: pa.Table

    @classmethod
    def of(cls, folder: Path) -> "Tables":
        store = Store.open(folder)
        rows = store.structures.scan().to_table().sort_by("structure_id")
        rejects = store.rejects.scan().to_table().sort_by("source_id")
        return cls(*(table.drop_columns("fetched_at").combine_chunks() for table in (rows, rejects)))

    @property
    def ids(self) -> list[str]:
        return [str(name) for name in self.rows["source_id"].to_pylist()]

    def without(self, ids: set[str]) -> pa.Table:
        """The rows of all other structures."""
        others = pc.invert(pc.is_in(self.rows["source_id"], pa.array(sorted(ids), pa.string())))
        return self.rows.filter(others).combine_chunks()

    def summary(self) -> str:
        """How many rows there are, and why there are not more."""
        classes = sorted(set(self.rejects["error_class"].to_pylist()))
        rejected = f"; {len(self.rejects)} rejected ({', '.join(classes)})" if classes else ""
        return f"{len(self.rows)} stored{rejected}"


@dataclass(frozen=True)
class Bench:
    """A source behind its proxy, and what is stored of it when nothing is wrong."""

    target: Target
    proxy: FaultProxy
    whole: Tables = field(repr=False)

    def ingest(self, folder: Path, *, in_turn: bool = False) -> str | None:
        """Bring the source into a store; returns what the run says about counts that differ."""
        with closing(self.target.source.connect(self.proxy.url, PATIENCE)) as connector:
            connector.concurrency = 1 if in_turn else connector.concurrency
            return ingest(connector, Store.open(folder, create=True), StructureLimits()).shortfall

    def observe(self, case: Case, folder: Path) -> tuple[str, str]:
        """Ingest while the proxy follows the case's plan: the outcome, and what was seen."""
        self.proxy.follow(case.plan(self.target), self.target.source.quirk)
        try:
            shortfall = self.ingest(folder, in_turn=case.in_turn)
        except CrysiftError as stop:
            self.proxy.follow(self.target.source.quirk)
            assert self.ingest(folder) is None
            assert Tables.of(folder) == self.whole
            return STOPS, f"“{reason_of(stop)}”; then {ENTRIES} stored"
        seen = Tables.of(folder)
        told = f"; “{shortfall}”" if shortfall else ""
        return self.outcome(seen, shortfall), seen.summary() + told

    def outcome(self, seen: Tables, shortfall: str | None) -> str:
        """The kind of what became of an ingest that came to its end."""
        if seen.rows == self.whole.rows:
            return TOLD if shortfall else REJECTED if len(seen.rejects) else SAME
        rejected = set(seen.rejects["source_id"].to_pylist())
        renamed = set(seen.ids) - set(self.whole.ids)
        missing = set(self.whole.ids) - set(seen.ids) if shortfall else set()
        touched = {self.target.victim} | rejected | renamed | missing
        assert seen.without(touched) == self.whole.without(touched)
        assert len(seen.ids) == len(set(seen.ids))
        if shortfall:
            return MISSING
        assert len(seen.rows) + len(seen.rejects) == ENTRIES
        return REJECTED if len(seen.rejects) else KEPT


def reason_of(stop: CrysiftError) -> str:
    """Why a run stopped, without what differs from run to run."""
    text = re.sub(r":\d{4,5}(?=/)", "", str(stop)).replace("http://127.0.0.1", "").split(". What arrived")[0]
    text = re.sub(r"Error performing .*\dm?s - ", "", text)  # the storage library tells how long it took
    text = re.sub(r"\?\S+", "?…", text)
    told = re.search(r"the last one: ([^:(]*)", text)
    return cell(told[1] if told else text)[:200].strip()


@contextmanager
def started(source: FaultySource, folder: Path) -> Iterator[Bench]:
    """Put a source on the bench."""
    with source.serve() as url, FaultProxy(Recording(Upstream(url))) as proxy:
        proxy.follow(source.quirk)
        with closing(source.connect(proxy.url, Patience())) as connector:
            ingest(connector, Store.open(folder, create=True), StructureLimits())
        whole = Tables.of(folder)
        assert (len(whole.rows), len(whole.rejects)) == (ENTRIES, 0)
        requests = Counter(request.path for request in proxy.log if source.pages in request.path)
        yield Bench(Target(source, whole.ids[ENTRIES // 2], max(requests.values()) * 2 // 3), proxy, whole)


@pytest.fixture(scope="module")
def bench_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[FaultySource], Bench]]:
    """Each source is started when it is first asked for."""
    with ExitStack() as stack:
        stack.enter_context(small_pages())
        yield cache(lambda source: stack.enter_context(started(source, tmp_path_factory.mktemp("whole"))))


@pytest.fixture(scope="module")
def table() -> Iterator[FaultTable]:
    """The table in the README; a new one where it is to be written."""
    table = FaultTable() if WRITE else FaultTable.read()
    yield table
    if WRITE:
        assert len(table.observations) == len(PAIRS), (
            "the table is not written: some cases failed or were left out"
        )
        order = [case.fault for case in CASES]
        table.observations.sort(key=lambda seen: order.index(seen.fault))
        table.write()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "case"),
    [pytest.param(source, case, id=f"{source.name}: {case.fault}") for source, case in PAIRS],
)
def test_every_entry_arrives_once_or_the_run_stops_and_goes_on(
    source: FaultySource,
    case: Case,
    bench_of: Callable[[FaultySource], Bench],
    table: FaultTable,
    tmp_path: Path,
) -> None:
    outcome, details = bench_of(source).observe(case, tmp_path)
    assert outcome == case.outcome(source), details
    seen = Observation(case.fault, source.name, outcome, details)
    if WRITE:
        table.observations.append(seen)
    else:
        assert seen in table.observations, "connectors/README.md tells otherwise: see `make fault-table`"


@pytest.mark.slow
@pytest.mark.parametrize("source", JSON_SOURCES, ids=lambda source: source.name)
def test_answers_are_asked_for_in_gzip_and_keys_sent_in_headers_only(
    source: FaultySource, bench_of: Callable[[FaultySource], Bench], tmp_path: Path
) -> None:
    bench = bench_of(source)
    bench.proxy.follow(source.quirk)
    assert bench.ingest(tmp_path) is None
    assert all("gzip" in request.headers["accept-encoding"] for request in bench.proxy.log)
    assert all((request.headers.get("x-api-key") == KEY) == (source is API) for request in bench.proxy.log)
    assert not any(KEY in request.target for request in bench.proxy.log)


@pytest.mark.skipif(WRITE, reason="the table is being written")
def test_the_table_of_faults_is_about_these_tests() -> None:
    listed = {(seen.fault, seen.source) for seen in FaultTable.read().observations}
    assert listed == {(case.fault, source.name) for source, case in PAIRS}
