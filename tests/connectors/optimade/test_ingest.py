"""A database in a store: complete after an interruption, and brought up to date later."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.ingest import IngestSummary, ingest
from engine.source import SourceInterruptedError
from engine.store import Store
from engine.validation import StructureLimits
from tests.connectors.optimade.harvest import connect
from tests.servers.fault_proxy import HANG_UP, FaultProxy, Rule
from tests.servers.optimade_entries import crystals, entries_of, entry_of, ids
from tests.servers.optimade_replica import OptimadeReplica, Quirks

NAMES = ids(120)
BY_ID = Quirks(largest_page=15)
BY_LINK = Quirks(largest_page=15, sorts=False)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def ingested(url: str, store: Store) -> IngestSummary:
    return ingest(connect(url), store, StructureLimits())


def held(store: Store) -> list[str]:
    names: list[str] = store.structures.scan(["source_id"]).to_table()["source_id"].to_pylist()
    return sorted(names)


@pytest.mark.parametrize("quirks", [BY_ID, BY_LINK], ids=["by ids", "by links"])
def test_an_interrupted_ingest_goes_on_where_it_stopped(quirks: Quirks, store: Store) -> None:
    with FaultProxy(OptimadeReplica(entries_of(NAMES), quirks)) as server:
        server.follow(Rule(HANG_UP, first=15, path="/structures"))
        with pytest.raises(SourceInterruptedError, match="it goes on where it stopped"):
            ingested(server.url, store)
        before = held(store)
        assert 0 < len(before) < len(NAMES)
        server.follow()
        summary = ingested(server.url, store)
        assert not any(request.path == "/v1/info" for request in server.log)
    assert held(store) == sorted(NAMES)
    assert summary.brought.stored == len(NAMES) - len(before)
    assert summary.shortfall is None


def test_a_later_ingest_fetches_what_is_new_or_changed(store: Store) -> None:
    replica = OptimadeReplica(entries_of(NAMES), BY_ID)
    with FaultProxy(replica) as server:
        first = ingested(server.url, store)
        assert (first.total.stored, first.total.announced, first.shortfall) == (120, 120, None)
        now = datetime.now(UTC)
        replica.delete(NAMES[7])
        replica.insert(entry_of(crystals(1, seed=5)[0], NAMES[7], now))
        replica.insert(entry_of(crystals(1, seed=6)[0], "new-1", now))
        replica.insert(entry_of(crystals(1, seed=7)[0], "bad-1", now, lattice_vectors=None))
        second = ingested(server.url, store)
    assert (second.brought.entries, second.brought.stored, second.brought.rejected) == (3, 2, 1)
    assert second.brought.replaced == 1
    assert second.shortfall is None
    assert held(store) == sorted([*NAMES, NAMES[7], "new-1"])
