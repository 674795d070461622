from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from engine.errors import CrysiftError
from engine.execution.events import Event, PageDone
from engine.ingest import Page, ingest, part_name, row_costs
from engine.schema import REJECTS
from engine.store import Store
from engine.structure import Structure, candidates_table
from engine.validation import StructureLimits

LIMITS = StructureLimits()


def crystal(name: str, a: float = 4.0, label: str = "Na") -> Structure:
    positions = np.array([[0.0, 0, 0], [a / 2, a / 2, a / 2]])
    return Structure("test", name, (label, "Cl"), positions, np.eye(3) * a, (1, 1, 1))


@dataclass
class ListedPages:
    """A connector of pages that are listed beforehand; it counts its reads and can fail at one of them."""

    listed: dict[str, list[Structure]]
    source: str = "test"
    reads: list[str] = field(default_factory=list)
    fail_at: str = ""

    def describe(self) -> dict[str, Any]:
        return {}

    def pages(self) -> Iterator[Page]:
        return (Page(key, key, structures) for key, structures in self.listed.items())

    def read(self, page: Page) -> tuple[pa.Table, pa.Table]:
        if page.key == self.fail_at:
            raise CrysiftError("the source is gone")
        self.reads.append(page.key)
        return candidates_table(page.payload), REJECTS.empty_table()


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
    summary = ingest(ListedPages(pages), store, LIMITS)
    assert (summary.pages, summary.rows, summary.rejected) == (2, 2, 2)
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
    assert (again.pages, again.skipped_pages, again.rows, again.rejected) == (0, 2, 2, 1)
    assert connector.reads == ["p1", "p2"]
    assert [(e.label, e.rows, e.rejected, e.skipped) for e in events if isinstance(e, PageDone)] == [
        ("p1", 1, 1, True),
        ("p2", 1, 0, True),
    ]


def test_a_run_that_failed_goes_on_where_it_stopped(store: Store) -> None:
    connector = ListedPages({"p1": [crystal("a")], "p2": [crystal("b")]}, fail_at="p2")
    with pytest.raises(CrysiftError, match="the source is gone"):
        ingest(connector, store, LIMITS)
    connector.fail_at = ""
    assert ingest(connector, store, LIMITS).pages == 1
    assert ids(store) == ["a", "b"]
    assert connector.reads == ["p1", "p2"]


def test_an_id_that_came_before_with_other_content_is_rejected(store: Store) -> None:
    first = {"p1": [crystal("a"), crystal("a"), crystal("b")], "p2": [crystal("b", a=5.0), crystal("c")]}
    ingest(ListedPages(first), store, LIMITS)
    summary = ingest(ListedPages({"p3": [crystal("c", a=6.0), crystal("d")]}), store, LIMITS)
    assert (summary.rows, summary.rejected) == (1, 1)
    assert ids(store) == ["a", "b", "c", "d"]
    rejects = store.rejects.scan().to_table().sort_by("source_id")
    assert rejects["source_id"].to_pylist() == ["a", "b", "c"]
    assert rejects["error_class"].to_pylist() == [
        "DuplicateStructure",
        "ChangedStructure",
        "ChangedStructure",
    ]


def test_a_source_that_grew_adds_what_is_new_and_rejects_nothing(store: Store) -> None:
    ingest(ListedPages({"before": [crystal("a"), crystal("b")]}), store, LIMITS)
    grown = ListedPages({"after": [crystal("a"), crystal("b"), crystal("c")]})
    for _ in range(2):  # the second time the page is found done
        summary = ingest(grown, store, LIMITS)
        assert (summary.rows, summary.rejected) == (1, 0)
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

        def pages(self) -> Iterator[Page]:
            for page in super().pages():
                self.overtake("listed")
                yield page

        def read(self, page: Page) -> tuple[pa.Table, pa.Table]:
            self.overtake("read")
            return super().read(page)

        def overtake(self, now: str) -> None:
            if now == moment and not store.structures.part_names():
                ingest(ListedPages(pages), store, LIMITS)
                committed.update(content_hashes(store))

    committed: dict[str, str] = {}
    summary = ingest(Overtaken(pages), store, LIMITS)
    assert (summary.skipped_pages, summary.rows) == (2, 3)
    assert ids(store) == ["a", "b", "c"]
    assert store.rejects.scan().to_table()["source_id"].to_pylist() == ["a"]
    assert content_hashes(store) == committed  # what is derived from them stays valid


def test_ids_of_another_run_at_work_on_the_store_are_known(store: Store) -> None:
    class Joined(ListedPages):
        def read(self, page: Page) -> tuple[pa.Table, pa.Table]:
            if page.key == "p2":
                ingest(ListedPages({"q1": [crystal("b")]}), store, LIMITS)
            return super().read(page)

    summary = ingest(Joined({"p1": [crystal("a")], "p2": [crystal("b"), crystal("c")]}), store, LIMITS)
    assert (summary.rows, summary.rejected) == (2, 0)
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
