import gc
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from engine.errors import CrysiftError
from engine.execution.events import Event, PageDone
from engine.execution.packing import row_costs
from engine.ingest import ingest, part_name
from engine.ingest.batch import Batch
from engine.ingest.intake import Intake, Vetted
from engine.schema import REJECTS
from engine.source import PAGE_ROWS, Harvest, Page, PageContent, SourceInterruptedError
from engine.store import PartRecord, Store, Superseded
from engine.structure import Structure, candidates_table
from engine.validation import StructureLimits

LIMITS = StructureLimits()


def crystal(name: str, a: float = 4.0, label: str = "Na") -> Structure:
    positions = np.array([[0.0, 0, 0], [a / 2, a / 2, a / 2]])
    return Structure("test", name, (label, "Cl"), positions, np.eye(3) * a, (1, 1, 1))


@dataclass
class ListedPages:
    """A connector of pages that are listed beforehand; it notes its reads and can fail at one of them."""

    listed: dict[str, list[Structure]]
    source: str = "test"
    reads: list[str] = field(default_factory=list)
    fail_at: str = ""
    concurrency: int = 1
    live: bool = False
    closed: int = 0

    def describe(self) -> dict[str, Any]:
        return {}

    def pages(self, previous: Harvest | None) -> Iterator[Page]:
        listed = {} if previous else self.listed
        return (Page(key, key, structures) for key, structures in listed.items())

    def read(self, page: Page) -> PageContent:
        if page.key == self.fail_at:
            raise CrysiftError("the source is gone")
        self.reads.append(page.key)
        return PageContent(candidates_table(page.payload), REJECTS.empty_table())

    def close(self) -> None:
        self.closed += 1


START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Database:
    """A live source: pages that follow one another, passages that ask for what is new, and a clock."""

    entries: dict[str, list[Structure]]
    """By the hour at which they were last modified; each is a page of the passages that ask for it."""
    hour: int = 0
    source: str = "test"
    concurrency: int = 1
    live: bool = True
    fail_at: str = "never"
    reads: list[str] = field(default_factory=list)
    announced: int | None = None

    def describe(self) -> dict[str, Any]:
        return {}

    def pages(self, previous: Harvest | None) -> Iterator[Page]:
        started = previous.started if previous and previous.started else START
        since = int((started - START) / timedelta(hours=1))
        number = 0 if previous is None else previous.number + 1
        due = [hour for hour in self.entries if int(hour) >= since]
        yield self._page([number, since, 0], due)

    def _page(self, place: list[int], due: list[str]) -> Page:
        return Page(str(place), f"hours {due}", {"place": place, "due": due})

    def read(self, page: Page) -> PageContent:
        now, *later = page.payload["due"] or [""]
        if now == self.fail_at:
            raise SourceInterruptedError("the server is down")
        self.reads.append(now)
        rows = self.entries.get(now, [])
        number, since, index = page.payload["place"]
        following = self._page([number, since, index + 1], later) if later else None
        clock = START + timedelta(hours=self.hour)
        return PageContent(candidates_table(rows), REJECTS.empty_table(), following, self.announced, clock)

    def close(self) -> None:
        pass


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def ids(store: Store) -> list[str]:
    return sorted(store.structures.scan(["source_id"]).to_table()["source_id"].to_pylist())


def content_hashes(store: Store) -> dict[str, str]:
    table = store.structures
    return {part: table.footer(part).content_hash for part in table.part_names()}


def test_rows_in_are_structures_plus_rejects(store: Store) -> None:
    pages = {"p1": [crystal("a"), crystal("b", a=0.1), crystal("c")], "p2": [crystal("d", label="Qq")]}
    brought = ingest(ListedPages(pages), store, LIMITS).brought
    assert (brought.pages, brought.entries, brought.stored, brought.rejected) == (2, 4, 2, 2)
    assert ids(store) == ["a", "c"]
    rejects = store.rejects.scan().to_table().sort_by("source_id")
    assert rejects["source_id"].to_pylist() == ["b", "d"]
    assert rejects["error_class"].to_pylist() == ["TinyVolume", "UnknownSpecies"]
    assert rejects["structure_id"].to_pylist() == ["test:b", "test:d"]


def test_other_limits_do_not_mix_with_what_the_store_accepted(store: Store) -> None:
    connector = ListedPages({"p1": [crystal("a")]})
    ingest(connector, store, LIMITS)
    with pytest.raises(CrysiftError, match="max_sites: 100000 in the store, 1 asked"):
        ingest(connector, store, StructureLimits(max_sites=1))
    assert ids(store) == ["a"]


def test_a_page_without_a_single_structure_is_still_marked_complete(store: Store) -> None:
    connector = ListedPages({"p1": [crystal("a", a=0.1)]})
    ingest(connector, store, LIMITS)
    assert len(store.structures.part_names()) == 1
    ingest(connector, store, LIMITS)
    assert connector.reads == ["p1"]


def test_a_second_run_reads_nothing_and_changes_nothing(store: Store) -> None:
    connector = ListedPages({"p1": [crystal("a"), crystal("x", a=0.1)], "p2": [crystal("b")]})
    ingest(connector, store, LIMITS)
    events: list[Event] = []
    again = ingest(connector, store, LIMITS, events.append)
    assert (again.brought.pages, again.total.pages, again.total.stored, again.total.rejected) == (0, 2, 2, 1)
    assert connector.reads == ["p1", "p2"]
    assert [(e.label, e.rows, e.rejected, e.skipped) for e in events if isinstance(e, PageDone)] == [
        ("p1", 1, 1, True),
        ("p2", 1, 0, True),
    ]


def test_a_run_that_failed_goes_on_where_it_stopped(store: Store) -> None:
    connector = ListedPages({"p1": [crystal("a")], "p2": [crystal("b")]}, fail_at="p2")
    with pytest.raises(CrysiftError, match="the source is gone"):
        ingest(connector, store, LIMITS)
    assert connector.closed == 1
    connector.fail_at = ""
    assert ingest(connector, store, LIMITS).brought.pages == 1
    assert ids(store) == ["a", "b"]
    assert connector.reads == ["p1", "p2"]


def test_an_id_that_comes_twice_in_a_source_is_rejected(store: Store) -> None:
    twice = {"p1": [crystal("a"), crystal("a"), crystal("b")], "p2": [crystal("b", a=5.0), crystal("c")]}
    summary = ingest(ListedPages(twice), store, LIMITS)
    assert (summary.total.stored, summary.total.rejected) == (3, 2)
    rejects = store.rejects.scan().to_table().sort_by("source_id")
    assert rejects["source_id"].to_pylist() == ["a", "b"]
    assert set(rejects["error_class"].to_pylist()) == {"DuplicateStructure"}


def test_a_changed_structure_is_a_later_version_of_what_the_store_has(store: Store) -> None:
    ingest(ListedPages({"p1": [crystal("c"), crystal("d")]}), store, LIMITS)
    total = ingest(ListedPages({"p2": [crystal("c", a=6.0), crystal("d")]}), store, LIMITS).total
    assert (total.stored, total.replaced, total.known, total.rejected) == (1, 1, 1, 0)
    assert ids(store) == ["c", "c", "d"]
    back = ingest(ListedPages({"p3": [crystal("c")]}), store, LIMITS).total
    assert (back.stored, back.replaced) == (1, 1)  # the latest version counts, not all that ever were


def test_a_structure_of_the_same_name_from_another_place_is_rejected(store: Store) -> None:
    here = replace(crystal("1.cif"), provenance={"url": "file:///here/1.cif"})
    there = replace(crystal("1.cif", a=5.0), provenance={"url": "file:///there/1.cif"})
    edited = replace(crystal("1.cif", a=6.0), provenance={"url": "file:///here/1.cif"})
    ingest(ListedPages({"p1": [here]}), store, LIMITS)
    assert ingest(ListedPages({"p2": [there]}), store, LIMITS).total.rejected == 1
    (reject,) = store.rejects.scan().to_table().to_pylist()
    assert reject["error_class"] == "ForeignStructure"
    assert "file:///there/1.cif" in reject["error_message"]
    assert ingest(ListedPages({"p3": [edited]}), store, LIMITS).total.replaced == 1


def test_a_source_that_grew_adds_what_is_new_and_rejects_nothing(store: Store) -> None:
    ingest(ListedPages({"before": [crystal("a"), crystal("b")]}), store, LIMITS)
    grown = ListedPages({"after": [crystal("a"), crystal("b"), crystal("c")]})
    for _ in range(2):  # the second time the page is found done
        summary = ingest(grown, store, LIMITS)
        assert (summary.total.stored, summary.total.known, summary.total.rejected) == (1, 2, 0)
        assert summary.parts == store.structures.part_names()
    assert ids(store) == ["a", "b", "c"]
    assert not store.rejects.part_names()


def test_a_crash_between_the_two_commits_is_repaired(store: Store) -> None:
    connector = ListedPages({"p1": [crystal("a"), crystal("x", a=0.1)]})
    ingest(connector, store, LIMITS)
    part = next(iter(store.structures.part_names()))
    Path(store.structures.folder.path(part + ".parquet")).unlink()
    ingest(connector, store, LIMITS)
    assert ids(store) == ["a"]
    assert store.rejects.scan().to_table()["source_id"].to_pylist() == ["x"]


@pytest.mark.parametrize("moment", ["listed", "read"])
def test_two_runs_at_once_on_one_store_lose_and_repeat_nothing(store: Store, moment: str) -> None:
    pages = {"p1": [crystal("a"), crystal("b")], "p2": [crystal("c"), crystal("a", a=5.0)]}

    class Overtaken(ListedPages):
        """Another run does the whole source while this one lists or reads its first page."""

        def pages(self, previous: Harvest | None) -> Iterator[Page]:
            for page in super().pages(previous):
                self.overtake("listed")
                yield page

        def read(self, page: Page) -> PageContent:
            self.overtake("read")
            return super().read(page)

        def overtake(self, now: str) -> None:
            if now == moment and not store.structures.part_names():
                ingest(ListedPages(pages), store, LIMITS)
                committed.update(content_hashes(store))

    committed: dict[str, str] = {}
    summary = ingest(Overtaken(pages), store, LIMITS)
    assert (summary.brought.pages, summary.total.stored) == (0, 3)
    assert ids(store) == ["a", "b", "c"]
    assert store.rejects.scan().to_table()["source_id"].to_pylist() == ["a"]
    assert content_hashes(store) == committed  # what is derived from them stays valid


def test_ids_of_another_run_at_work_on_the_store_are_known(store: Store) -> None:
    class Joined(ListedPages):
        def read(self, page: Page) -> PageContent:
            if page.key == "p2":
                ingest(ListedPages({"q1": [crystal("b")]}), store, LIMITS)
            return super().read(page)

    total = ingest(Joined({"p1": [crystal("a")], "p2": [crystal("b"), crystal("c")]}), store, LIMITS).total
    assert (total.stored, total.known, total.rejected) == (2, 1, 0)
    assert ids(store) == ["a", "b", "c"]


def test_parts_are_named_by_content_and_carry_their_predicted_cost(store: Store) -> None:
    ingest(ListedPages({"p1": [crystal("a"), crystal("b")]}), store, LIMITS)
    part = part_name(Page("p1", "any label", None))
    assert store.structures.part_names() == {part}
    footer = store.structures.footer(part)
    assert footer.cost == pytest.approx(2 * 100 * 2 * 2)  # rows x pairs x sites x species
    assert (footer.rows_in, footer.rows_out, footer.failed) == (2, 2, 0)


def test_costs_count_sites_and_distinct_species() -> None:
    labels = pa.chunked_array([[["Fe", "Fe"]], [["Na", "Cl", "Na"], None]])
    assert row_costs(labels).tolist() == pytest.approx([200, 600, 0])


def test_a_live_source_goes_on_where_it_was_cut_off(store: Store) -> None:
    database = Database({"0": [crystal("a")], "1": [crystal("b")], "2": [crystal("c")]}, fail_at="2")
    with pytest.raises(SourceInterruptedError, match="the server is down"):
        ingest(database, store, LIMITS)
    assert ids(store) == ["a", "b"]  # what had arrived is one part, with the place where it goes on
    assert len(store.structures.part_names()) == 1
    database.fail_at = "never"
    database.reads.clear()
    ingest(database, store, LIMITS)
    assert database.reads == ["2"]
    assert ids(store) == ["a", "b", "c"]


def test_small_pages_share_parts_of_a_useful_size(store: Store) -> None:
    pages = {str(i): [crystal(f"{i}-{j}", a=4 + j / 64) for j in range(64)] for i in range(40)}
    ingest(Database(pages), store, LIMITS)
    rows = sorted(store.structures.footer(part).rows_out for part in store.structures.part_names())
    assert rows == [40 * 64 - 2 * PAGE_ROWS, PAGE_ROWS, PAGE_ROWS]


def test_ingesting_again_fetches_what_is_new_or_changed_since(store: Store) -> None:
    database = Database({"0": [crystal("a"), crystal("b")], "1": [crystal("c")]}, hour=2)
    assert ingest(database, store, LIMITS).passages == 1
    database.reads.clear()
    database.entries["3"] = [crystal("b", a=5.0), crystal("d")]
    database.hour = 4
    summary = ingest(database, store, LIMITS)
    assert database.reads == ["3"]
    assert (summary.passages, summary.brought.stored, summary.brought.replaced) == (2, 2, 1)
    assert summary.parts == store.structures.part_names()
    database.reads.clear()
    assert ingest(database, store, LIMITS).brought.stored == 0
    assert database.reads == [""]


def test_asking_in_vain_leaves_no_part(store: Store) -> None:
    broken = crystal("x", a=0.1)
    database = Database({"5": [crystal("a"), broken]}, hour=5)
    ingest(database, store, LIMITS)
    for _ in range(3):
        again = ingest(database, store, LIMITS).brought
        assert (again.entries, again.known, again.stored, again.rejected) == (2, 2, 0, 0)
    assert len(store.structures.part_names()) == 1
    assert len(store.rejects.scan().to_table()) == 1


def test_a_structure_that_changes_while_it_is_read_is_stored_in_both_versions(store: Store) -> None:
    pages = {"0": [crystal("a"), crystal("b")], "1": [crystal("a", a=5.0)]}
    total = ingest(Database(pages), store, LIMITS).total
    assert (total.stored, total.replaced) == (3, 1)
    parts = [
        store.structures.read(p, ["source_id"])["source_id"].to_pylist()
        for p in store.structures.part_names()
    ]
    assert sorted(parts) == [["a"], ["a", "b"]]  # never two versions in one part


@pytest.mark.parametrize(("announced", "said"), [(3, None), (5, "2 are missing"), (1, "2 are too many")])
def test_announced_and_fetched_counts_are_reconciled(store: Store, announced: int, said: str | None) -> None:
    pages = {"0": [crystal("a"), crystal("b", a=0.1)], "1": [crystal("c")]}
    shortfall = ingest(Database(pages, announced=announced), store, LIMITS).shortfall
    assert (shortfall is None) if said is None else (said in (shortfall or ""))


def test_the_record_of_a_part_survives_its_footer(store: Store) -> None:
    ingest(Database({"0": [crystal("a")]}, hour=7, announced=1), store, LIMITS)
    (part,) = store.structures.part_names()
    record = PartRecord.of(store.structures.footer(part))
    assert (record.pages, record.entries, record.announced, record.following) == (1, 1, 1, None)
    assert record.answered_at == (START + timedelta(hours=7)).isoformat()
    assert record == PartRecord.of(replace(store.structures.footer(part), cursor=record.to_json()))


@dataclass
class TwoRanges(Database):
    """Entries in two chains: ids before `m`, and the others."""

    concurrency: int = 2

    def pages(self, previous: Harvest | None) -> Iterator[Page]:
        (page,) = super().pages(previous)
        for half in (0, 1):
            payload = {"place": [*page.payload["place"][:2], 10 * half], "due": page.payload["due"]}
            yield Page(str(payload["place"]), f"range {half}", payload)

    def read(self, page: Page) -> PageContent:
        content = super().read(page)
        second = page.payload["place"][2] >= 10
        wanted = [(name.as_py() >= "m") == second for name in content.candidates["source_id"]]
        return replace(content, candidates=content.candidates.filter(pa.array(wanted, pa.bool_())))


def test_updates_go_on_though_one_range_stays_empty(store: Store) -> None:
    database = TwoRanges({"0": [crystal("a"), crystal("z")]}, hour=0)
    ingest(database, store, LIMITS)
    for hour, name in ((2, "b"), (4, "c"), (6, "d")):
        database.entries[str(hour)] = [crystal(name)]
        database.hour = hour
        assert ingest(database, store, LIMITS).brought.stored == 1
    assert ids(store) == ["a", "b", "c", "d", "z"]


def test_an_error_leaves_the_garbage_collector_as_it_was(store: Store) -> None:
    before = gc.get_threshold()
    with pytest.raises(CrysiftError, match="gone"):
        ingest(ListedPages({"0": [crystal("a")]}, fail_at="0"), store, LIMITS)
    assert gc.get_threshold() == before


def test_after_a_shortfall_everything_is_read_again_until_nothing_is_missing(store: Store) -> None:
    database = Database({"0": [crystal("a")]}, hour=3, announced=2)
    assert "1 are missing" in (ingest(database, store, LIMITS).shortfall or "")
    assert "1 are missing" in (ingest(database, store, LIMITS).shortfall or "")
    database.entries["0"].append(crystal("b"))  # it was there all the time, and older than the last passage
    assert ingest(database, store, LIMITS).shortfall is None
    assert ids(store) == ["a", "b"]


def test_a_full_passage_finds_what_a_database_dates_back(store: Store) -> None:
    database = Database({"1": [crystal("a")]}, hour=3)
    ingest(database, store, LIMITS)
    database.entries["1"].append(crystal("b"))
    assert ingest(database, store, LIMITS).brought.entries == 0
    assert ingest(database, store, LIMITS, full=True).brought.stored == 1


def test_the_latest_version_counts_by_any_clock(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) - timedelta(days=1)

    ingest(ListedPages({"p1": [crystal("a")]}), store, LIMITS)
    monkeypatch.setattr("engine.ingest.intake.datetime", Slow)
    ingest(ListedPages({"p2": [crystal("a", a=5.0)]}), store, LIMITS)
    (part,) = Superseded.of(store).ids
    assert part == part_name(Page("p1", "", None))


def test_two_runs_that_meet_in_an_id_store_it_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run commits the same structure between this one's comparison and its commit."""
    take = Intake.take

    def overtaken(self: Intake, page: Vetted, batch: Batch, final: Collection[str]) -> None:
        take(self, page, batch, final)
        if batch.first.key == "p1" and not store.structures.part_names():
            ingest(ListedPages({"q1": [crystal("b"), crystal("c")]}), store, LIMITS)

    monkeypatch.setattr(Intake, "take", overtaken)
    total = ingest(ListedPages({"p1": [crystal("a"), crystal("b")]}), store, LIMITS).total
    assert (total.stored, total.known) == (1, 1)
    assert ids(store) == ["a", "b", "c"]


def test_a_part_of_the_name_is_never_replaced(store: Store) -> None:
    ingest(ListedPages({"p1": [crystal("a")]}), store, LIMITS)
    (part,) = store.structures.part_names()
    rows = store.structures.read(part)
    with pytest.raises(FileExistsError):
        store.structures.commit(
            part, rows.slice(0, 0), source_part=None, rows_in=0, failed=0, cost=0.0, exclusive=True
        )
    assert store.structures.read(part) == rows
    assert [name for name in store.structures.folder.names() if name.endswith(".tmp")] == []


def test_a_reject_of_an_update_survives_a_crash_between_the_two_commits(store: Store) -> None:
    database = Database({"0": [crystal("a")]}, hour=1)
    ingest(database, store, LIMITS)
    database.entries["2"] = [crystal("b"), crystal("x", a=0.1)]
    before = store.structures.part_names()
    ingest(database, store, LIMITS)
    (part,) = store.structures.part_names() - before
    Path(store.structures.folder.path(part + ".parquet")).unlink()
    ingest(database, store, LIMITS)
    assert store.rejects.scan().to_table()["source_id"].to_pylist() == ["x"]


def test_a_page_that_comes_again_under_another_key_repeats_no_rejects(store: Store) -> None:
    ingest(ListedPages({"p1": [crystal("a"), crystal("x", a=0.1)]}), store, LIMITS)
    summary = ingest(ListedPages({"p2": [crystal("a"), crystal("x", a=0.1), crystal("b")]}), store, LIMITS)
    assert (summary.total.stored, summary.total.known, summary.total.rejected) == (1, 2, 0)
    assert store.rejects.scan().to_table()["source_id"].to_pylist() == ["x"]
    assert summary.parts == store.structures.part_names()
