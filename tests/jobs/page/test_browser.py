"""The page in a headless Chromium, with the network off."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from engine.store import Store
from jobs.page.pack import ReportSettings, write_report
from tests.jobs.page.browsing import Tab, launched, opened
from tests.jobs.page.mapped_store import HOSTILE, expected
from tests.jobs.page.reading import Page
from tests.jobs.page.serving import start

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

NO_WEBGL2 = """const original = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  return kind === "webgl2" ? null : original.call(this, kind, ...rest);
};"""


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with launched() as started:
        yield started


@pytest.fixture(scope="module")
def shared_tab(browser: "Browser", page_file: Path) -> Iterator[Tab]:
    with opened(browser, page_file.as_uri()) as tab:
        yield tab


@pytest.fixture
def tab(shared_tab: Tab) -> Tab:
    shared_tab.clear()
    return shared_tab


def row_of(store: Store, name: str) -> int:
    return next(row.position for row in expected(store) if row.structure_id == f"db:{name}")


def colours(what: "Locator") -> int:
    """How many colours a part of the page shows."""
    pixels = np.asarray(Image.open(io.BytesIO(what.screenshot())).convert("RGB")).reshape(-1, 3)
    return len(np.unique(pixels, axis=0))


def test_a_page_opens_without_a_network_asks_for_nothing_and_draws_all_points(
    tab: Tab, page_file: Path, mapped: Store
) -> None:
    assert tab.requests == [page_file.as_uri()]
    assert tab.page.evaluate("document.documentElement.dataset.state") == "ready"
    assert tab.hook("rows") == tab.hook("visible") == len(expected(mapped))
    assert colours(tab.page.locator("#map")) > 20
    row = expected(mapped)[200]
    place, origin = tab.hook("position(200)"), tab.hook("position(3)")
    assert (place["x"] > origin["x"]) == (row.x > expected(mapped)[3].x)


def test_hostile_names_are_text_wherever_they_appear(tab: Tab, mapped: Store) -> None:
    for name in HOSTILE:
        if name in HOSTILE[::3]:
            tab.hook(f"open({row_of(mapped, name)})")
        tab.page.locator("#search").fill(name[:40])
        tab.page.locator("#suggestions li").first.wait_for()
        tab.page.keyboard.press("Escape")
    for panel in tab.page.locator("#tabs [role=tab]").all():
        panel.click()
    for column in ("cluster", "prototype", "gap", "odd \"'key"):
        tab.page.locator("#colour").select_option(column)
    assert tab.page.evaluate("window.hacked") is None
    assert tab.page.locator("#details img, #panels img, #panels script").count() == 0
    assert tab.page.locator("#details h2").count() == 1


def test_search_goes_to_a_structure_by_its_id_and_to_a_prototype(tab: Tab, mapped: Store) -> None:
    tab.page.keyboard.press("/")
    assert tab.page.evaluate("document.activeElement.id") == "search"
    tab.page.keyboard.type("crystal-123")
    tab.page.locator("#suggestions li").first.wait_for()
    tab.page.keyboard.press("Enter")
    tab.wait_for(f"crysift.active === {row_of(mapped, 'crystal-123')}")
    assert "db:crystal-123" in tab.page.locator("#details").inner_text()
    tab.page.locator("#search").fill("fcc_Cu_A")
    tab.page.locator("#suggestions li").first.click()
    counted = sum(entry.startswith("fcc_Cu_A") for entry in _prototypes(mapped))
    tab.wait_for(f"crysift.visible === {counted}")


def _prototypes(store: Store) -> list[str]:
    return [row.prototype for row in expected(store) if not row.structure_id.endswith("fails")]


def test_a_click_on_a_point_shows_its_candidates_neighbours_and_atoms(tab: Tab, mapped: Store) -> None:
    row = row_of(mapped, "crystal-150")
    place = tab.hook(f"position({row})")
    tab.page.mouse.click(place["x"], place["y"])
    tab.wait_for(f"crysift.active === {row}")
    details = tab.page.locator("#details")
    assert expected(mapped)[row].prototype in details.inner_text()
    assert "75" in details.locator(".candidate").first.inner_text()
    stage = details.locator(".stage canvas")
    stage.wait_for()
    tab.page.wait_for_timeout(500)  # 3Dmol draws in a later frame
    assert colours(stage) > 50
    details.locator(".neighbors button").first.click()
    tab.wait_for(f"crysift.active === {row + 1}")


def test_a_lasso_selects_points_and_saves_them_as_csv_that_is_no_formula(
    tab: Tab, mapped: Store, tmp_path: Path
) -> None:
    box = tab.page.locator("#overlay").bounding_box()
    assert box is not None
    left, top = box["x"] + 60, box["y"] + 60
    right, bottom = box["x"] + box["width"] / 2, box["y"] + box["height"] - 20
    tab.page.keyboard.down("Shift")
    tab.page.mouse.move(left, top)
    tab.page.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom), (left, top)):
        tab.page.mouse.move(x, y, steps=4)
    tab.page.mouse.up()
    tab.page.keyboard.up("Shift")
    tab.wait_for("crysift.selected > 10")
    inside = {
        row.position
        for row in expected(mapped)
        if (place := tab.hook(f"position({row.position})")) is not None
        and left < place["x"] < right
        and top < place["y"] < bottom
    }
    assert tab.hook("selected") == len(inside)
    tab.page.locator("#tabs [role=tab]").first.click()
    with tab.page.expect_download() as saved:
        tab.page.locator("#download").click()
    saved.value.save_as(tmp_path / "saved.csv")
    with (tmp_path / "saved.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    ids = [row.structure_id.replace("\n", " ") for row in expected(mapped)]
    assert {line["structure_id"] for line in lines} == {ids[position] for position in inside}
    prototypes = {line["prototype"] for line in lines}
    assert "'=1+1" in prototypes
    assert "=1+1" not in prototypes


def test_everything_is_reached_and_moved_by_keys(tab: Tab) -> None:
    tab.page.evaluate("document.activeElement.blur()")
    reached = set()
    for _ in range(60):
        tab.page.keyboard.press("Tab")
        reached.add(tab.page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"search", "theme", "colour", "overlay", "point-size", "drawer-toggle"} <= reached
    tab.page.locator("#overlay").focus()
    before = tab.hook("position(100)")
    tab.page.keyboard.press("ArrowRight")
    tab.wait_for(f"Math.abs(crysift.position(100).x - {before['x']}) > 20")
    tab.page.keyboard.press("0")
    tab.wait_for(f"Math.abs(crysift.position(100).x - {before['x']}) < 1")
    spread = "Math.abs(crysift.position(240).x - crysift.position(20).x)"
    first = tab.page.evaluate(spread)
    tab.page.keyboard.press("+")
    tab.wait_for(f"{spread} > {first} * 1.2")
    tab.page.keyboard.press("Enter")
    tab.wait_for("crysift.active !== null")
    tab.page.keyboard.press("Escape")
    tab.wait_for("crysift.active === null")


def test_entries_of_the_legend_are_filters(tab: Tab, mapped: Store) -> None:
    tab.page.locator("#colour").select_option("is_ood")
    tab.page.locator("#legend button").first.click()
    strange = sum(row.is_ood for row in expected(mapped) if not row.structure_id.endswith("fails"))
    tab.wait_for(f"crysift.visible === {strange}")


def test_colours_follow_the_theme(tab: Tab) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    light = tab.page.evaluate(background)
    tab.page.locator("#theme").click()
    assert tab.page.evaluate(background) != light
    tab.page.locator("#theme").click()


def test_nothing_was_asked_for_forbidden_or_complained_of_meanwhile(tab: Tab, page_file: Path) -> None:
    assert [url for url in tab.requests if not url.startswith("blob:")] == [page_file.as_uri()]
    assert tab.violations() == []
    assert tab.complaints == []


@pytest.mark.slow
def test_without_webgl2_tables_and_search_still_work(
    browser: "Browser", page_file: Path, mapped: Store
) -> None:
    with opened(browser, page_file.as_uri(), before=NO_WEBGL2) as tab:
        assert tab.page.locator("#no-webgl").is_visible()
        tab.page.locator("#search").fill("crystal-007")
        tab.page.keyboard.press("Enter")
        tab.wait_for(f"crysift.active === {row_of(mapped, 'crystal-007')}")
        assert not [words for words in tab.complaints if words.startswith("uncaught")]


def test_a_served_page_shows_the_atoms_that_its_file_lacks(
    browser: "Browser", mapped: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.page.structures.CHUNK_BYTES", 500)
    small = tmp_path / "small.html"
    whole = write_report(mapped, small, ReportSettings())
    write_report(mapped, small, ReportSettings(budget=whole["bytes"] - 3_000))
    held = Page.read(small).structures()
    lacking = next(row.position for row in expected(mapped) if row.position not in held)
    with opened(browser, small.as_uri()) as tab:
        tab.hook(f"open({lacking})")
        tab.page.locator("#details", has_text="crysift serve").wait_for()
    server = start("--store", mapped.folder.url, "--report", small)
    try:
        with opened(browser, server.url, offline=False) as tab:
            assert tab.page.url == f"{server.origin}/"
            tab.hook(f"open({lacking})")
            tab.page.locator("#details .stage canvas").wait_for()
            asked = [url for url in tab.requests if not url.startswith("blob:")]
            assert asked == [server.url, f"{server.origin}/", f"{server.origin}/api/structure/{lacking}"]
            assert tab.violations() == []
            assert tab.complaints == []
    finally:
        server.stop()
