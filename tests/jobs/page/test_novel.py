"""What a screening selected as novel, in the page and in a headless Chromium."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from engine.store import Store
from jobs.cli import app
from jobs.page.pack import ReportSettings, write_report
from tests.jobs.page.browsing import Tab, launched, opened
from tests.jobs.page.mapped_store import FAILED, Expected, expected
from tests.jobs.page.novel_store import CHANGED, CLASSES, FDR, GONE, add_answer, groups, novel_rows, screened
from tests.jobs.page.reading import Page

COLUMNS = ("selection.is_ood", "ood_q_value", "novel_rank", "nearest_training_id", "symmetry_class")


@pytest.fixture(scope="module")
def store(mapped: Store, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return screened(mapped, tmp_path_factory.mktemp("novel"))


@pytest.fixture(scope="module")
def novel_page(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "novel.html"
    write_report(store, path, ReportSettings())
    return path


@pytest.fixture(scope="module")
def shared_tab(novel_page: Path) -> Iterator[Tab]:
    with launched() as browser, opened(browser, novel_page.as_uri()) as tab:
        yield tab


@pytest.fixture
def tab(shared_tab: Tab) -> Tab:
    shared_tab.clear()
    shared_tab.page.locator("#tab-novel").click()
    shared_tab.page.locator("#panel-novel .table").evaluate("table => { table.scrollTop = 0; }")
    return shared_tab


@pytest.fixture(scope="module")
def rows(store: Store) -> list[Expected]:
    """Structures that were predicted."""
    return [row for row in expected(store) if not row.structure_id.endswith(FAILED)]


def listed(page: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(page.block(page.meta["novel"]["block"]))
    return found


def test_the_list_is_the_table_with_the_rows_that_the_page_has(
    novel_page: Path, rows: list[Expected]
) -> None:
    page, table = Page.read(novel_page), novel_rows(rows)
    assert page.meta["novel"] == {
        "block": "novel",
        "count": len(table),
        "selected": sum(row.is_ood for row in rows),
        "fdr": FDR,
    }
    for found, wanted, members in zip(listed(page), table, [*groups(rows), []], strict=True):
        for name in found.keys() - {"row", "ood_score", "ood_q_value"}:
            assert found[name] == wanted.get(name)
        assert found["ood_score"] == pytest.approx(wanted["ood_score"], rel=1e-6)
        changed = bool(members) and members[0].position == CHANGED
        assert found["row"] == (members[0].position if members and not changed else None)
    assert sum(found["row"] is None for found in listed(page)) == 2


def test_columns_tell_the_selection_but_nothing_of_a_structure_that_changed_since(
    novel_page: Path, rows: list[Expected]
) -> None:
    page = Page.read(novel_page)
    selected, ranks = page.column("selection.is_ood"), page.column("novel_rank")
    rank_of = {row.position: rank for rank, group in enumerate(groups(rows), 1) for row in group}
    q_values, second = page.column("ood_q_value"), page.column("symmetry_class")
    for row in rows:
        known = row.position != CHANGED
        assert selected[row.position] is (row.is_ood if known else None)
        assert second[row.position] == (CLASSES if known and row.position % 10 == 0 else None)
        q_value = (0.02 if row.is_ood else 0.5) if known else np.nan
        assert q_values[row.position] == pytest.approx(q_value, rel=1e-4, nan_ok=True)
        rank = rank_of.get(row.position, np.nan) if known else np.nan
        assert ranks[row.position] == pytest.approx(rank, nan_ok=True)


def test_without_a_selection_the_page_has_neither_its_columns_nor_its_list(page_file: Path) -> None:
    page = Page.read(page_file)
    assert page.meta["novel"] is None
    assert not {column["name"] for column in page.meta["columns"]} & set(COLUMNS)
    with launched() as browser, opened(browser, page_file.as_uri()) as tab:
        assert tab.page.locator("#tab-structures").count() == 1
        assert tab.page.locator("#tab-novel").count() == 0
        tab.hook("open(5)")
        assert tab.page.locator("#details .candidate").count() > 0
        assert tab.page.locator("#details .novelty").count() == 0
        assert tab.complaints == []


def test_the_newest_whole_answer_counts_and_the_summary_says_how_many_are_novel(
    mapped: Store, tmp_path: Path
) -> None:
    store = screened(mapped, tmp_path)
    add_answer(store, 0.2)
    add_answer(store, 0.3, whole=False)
    out = tmp_path / "page.html"
    arguments = ["report", "--store", store.folder.url, "--out", str(out)]
    summary = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert summary["novel"] == Page.read(out).meta["novel"]["count"] > 20
    assert Page.read(out).meta["novel"]["fdr"] == 0.2
    told = CliRunner().invoke(app, arguments).stdout
    assert f"{summary['novel']} novel structures" in told.replace("\n", " ")
    assert write_report(mapped, out, ReportSettings())["novel"] is None


def test_a_page_within_its_budget_keeps_the_atoms_of_the_novel_ones_first(
    store: Store, rows: list[Expected], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.page.structures.CHUNK_BYTES", 500)
    whole = write_report(store, tmp_path / "whole.html", ReportSettings())
    budget = whole["bytes"] - 3_000
    summary = write_report(store, tmp_path / "small.html", ReportSettings(budget=budget))
    assert (tmp_path / "small.html").stat().st_size == summary["bytes"] <= budget
    assert 0 < summary["with_positions"] < whole["with_positions"]
    page = Page.read(tmp_path / "small.html")
    medoids = [cluster["medoid_row"] for cluster in page.meta["clusters"]]
    first = [group[0].position for group in groups(rows) if group[0].position not in medoids]
    assert list(page.structures())[len(medoids) :][: len(first)] == first


def test_a_click_on_a_novel_structure_opens_it_with_what_it_stands_for(
    tab: Tab, rows: list[Expected]
) -> None:
    tab.page.locator("#tab-novel", has_text=str(len(novel_rows(rows)))).wait_for()
    assert f"at a false discovery rate of {100 * FDR:g} %" in tab.page.locator("#panel-novel").inner_text()
    first, second = groups(rows)[:2]
    row = tab.page.locator("#panel-novel .table-body .row").nth(1)
    cells = [cell.inner_text() for cell in row.locator(".cell").all()]
    assert cells[:4] == ["2", "2", "ClCs", second[0].structure_id]
    row.click()
    tab.wait_for(f"crysift.active === {second[0].position}")
    assert tab.page.locator("#panel-novel .row.marked .cell").first.inner_text() == "2"
    details = tab.page.locator("#details .novelty")
    assert "the representative of 2 equivalent structures" in details.inner_text()
    details.locator(".text-button").click()
    tab.wait_for("crysift.visible === 2")
    tab.hook(f"open({first[1].position})")
    assert f"represented by {first[0].structure_id}" in details.inner_text()
    assert "0.02" in details.inner_text()
    assert tab.page.locator("#panel-novel .row.marked .cell").first.inner_text() == "1"
    details.locator(".text-button").first.click()
    tab.wait_for(f"crysift.active === {first[0].position}")


def test_details_show_the_second_opinion_as_text(tab: Tab, rows: list[Expected]) -> None:
    both = next(row for row in rows if row.position % 10 == 0 and row.position != CHANGED)
    tab.hook(f"open({both.position})")
    told = tab.page.locator("#details .novelty").inner_text()
    assert CLASSES in told
    assert "novel, rank" in tab.page.locator("#details .chips").inner_text()
    tab.hook(f"open({CHANGED})")
    assert tab.page.locator("#details .novelty p").count() == 0
    changed, other = next(group for group in groups(rows) if group[0].position == CHANGED)
    tab.hook(f"open({other.position})")
    told = tab.page.locator("#details .novelty p").inner_text()
    assert f"represented by {changed.structure_id} (not on the map as screened)" in told


def test_a_novel_structure_that_the_map_lacks_is_listed_but_opens_nothing(tab: Tab) -> None:
    table = tab.page.locator("#panel-novel .table")
    table.evaluate("table => { table.scrollTop = table.scrollHeight; }")
    gone = table.locator(".row", has_text=GONE[:10])
    gone.wait_for()
    assert "not on the map" in gone.inner_text()
    gone.click()
    assert tab.hook("active") is None
    assert tab.page.evaluate("window.hacked") is None


def test_what_is_selected_is_shown_on_the_map(tab: Tab, rows: list[Expected]) -> None:
    tab.page.get_by_role("button", name="Show the selected on the map").click()
    tab.wait_for(f"crysift.visible === {sum(row.is_ood for row in rows) - 1}")  # one has changed since
    assert tab.page.locator("#colour").input_value() == "selection.is_ood"


def test_nothing_was_forbidden_or_complained_of_meanwhile(tab: Tab) -> None:
    assert tab.violations() == []
    assert tab.complaints == []
