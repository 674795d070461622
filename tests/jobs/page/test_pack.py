"""What a page holds, read back as its scripts read it."""

import base64
import hashlib
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from engine.errors import CrysiftError
from engine.species import Species
from engine.store import Store
from engine.structure import Structure, structures_table
from jobs.cli import app
from jobs.page.pack import ReportSettings, write_report
from jobs.page.sizes import parse_size
from jobs.page.structures import structure_documents
from jobs.page.tables import PageTables
from jobs.page.template import Template
from tests.jobs.page.mapped_store import CLUSTER_COUNT, FAILED, HOSTILE, TITLE, Expected, expected
from tests.jobs.page.reading import Page


@pytest.fixture(scope="module")
def page(page_file: Path) -> Page:
    return Page.read(page_file)


def placed(store: Store) -> list[Expected]:
    return [row for row in expected(store) if not row.structure_id.endswith(FAILED)]


def test_every_structure_of_the_map_is_a_row_with_its_values(page: Page, mapped: Store) -> None:
    rows = expected(mapped)
    assert page.meta["rows"] == len(rows)
    assert page.column("structure_id") == [row.structure_id.replace("\n", " ") for row in rows]
    assert set(page.column("formula")) == {"ClCs"}
    good = [row.position for row in placed(mapped)]
    for name in ("x", "y", "mutual_information"):
        values = np.array(page.column(name))[good]
        np.testing.assert_allclose(values, [getattr(row, name) for row in placed(mapped)], rtol=2e-5)
    assert [page.column("is_ood")[i] for i in good] == [row.is_ood for row in placed(mapped)]
    assert [page.column("prototype")[i] for i in good] == [row.prototype for row in placed(mapped)]
    assert page.column("nsites") == [2.0] * len(rows)


def test_a_failed_structure_has_a_row_without_a_place(page: Page, mapped: Store) -> None:
    [failed] = {row.position for row in expected(mapped)} - {row.position for row in placed(mapped)}
    assert math.isnan(page.column("x")[failed])
    assert math.isnan(page.column("ood_score")[failed])
    assert page.column("cluster")[failed] is None
    assert page.column("is_ood")[failed] is None


def test_codes_of_clusters_are_their_rows_and_the_last_is_outlier(page: Page, mapped: Store) -> None:
    [described] = [column for column in page.meta["columns"] if column["name"] == "cluster"]
    labels = [cluster["label"] for cluster in page.meta["clusters"]]
    assert described["categories"] == [*labels, "outlier"]
    names = {-1: "outlier", **dict(enumerate(labels))}
    found = page.column("cluster")
    assert [found[row.position] for row in placed(mapped)] == [names[row.cluster] for row in placed(mapped)]
    ids = page.column("structure_id")
    assert [ids[cluster["medoid_row"]] for cluster in page.meta["clusters"]] == [
        cluster["medoid"].replace("\n", " ") for cluster in page.meta["clusters"]
    ]


def test_columns_that_a_user_names_are_found_in_tables_and_in_extra_json(page: Page) -> None:
    assert np.nanmedian(page.column("gap")) == pytest.approx(np.nanmedian(page.column("odd \"'key")) / 2)
    [entropy] = [c for c in page.meta["columns"] if c["name"] == "predictions_arise.predictive_entropy"]
    assert (entropy["unit"], entropy["kind"]) == ("nat", "number")
    row = page.column("structure_id").index("db:crystal-001")
    assert page.column("gap")[row] == pytest.approx(3.51 / 2, rel=2e-5)


def test_neighbors_and_candidates_are_rows_and_names(page: Page, mapped: Store) -> None:
    rows, described = page.meta["rows"], page.meta["neighbors"]
    near = page.array(described["block"], "<u4", described["k"])
    distances = page.array(described["distances"], "<f4", described["k"])
    for row in placed(mapped):
        assert near[row.position].tolist() == [(row.position + step) % rows for step in (1, 2, 3)]
        np.testing.assert_allclose(distances[row.position], [1, 2, 3], rtol=2e-3)
    described = page.meta["candidates"]
    codes = page.array(described["block"], "<u2", described["k"])
    shares = page.array(described["probabilities"], "u1", described["k"]) / 255
    for row in placed(mapped):
        assert described["names"][codes[row.position, 0]] == row.prototype
        np.testing.assert_allclose(shares[row.position], [0.75, 0.25], atol=1 / 255)


def test_structures_in_the_page_are_those_of_the_store_in_their_latest_version(
    page: Page, mapped: Store
) -> None:
    found = page.structures()
    assert len(found) == page.meta["rows"] == page.meta["structures"]["count"]
    ids = page.column("structure_id")
    edges = {"db:crystal-000": 6.5, "db:crystal-007": 3.57, "db:crystal-100": 4.5}
    for name, edge in edges.items():
        structure = found[ids.index(name)]
        np.testing.assert_allclose(structure["lattice"], np.eye(3) * edge)
        np.testing.assert_allclose(structure["positions"], np.array([[0.0] * 3, [edge / 2] * 3]), atol=5e-4)
        assert structure["species"] == ["Cs", "Cl"]
        assert structure["pbc"] == [1, 1, 1]


def test_prototypes_of_the_network_have_readable_titles(page: Page) -> None:
    assert page.meta["titles"]["fcc_Cu_A_cF4_225_a"] == "fcc (Cu)"
    assert "=1+1" not in page.meta["titles"]


def test_a_shared_site_is_its_most_frequent_element_and_a_molecule_has_no_cell() -> None:
    alloy = Species("site", ("Cu", "Au"), (0.25, 0.75))
    mixed = Structure("db", "a", ("site",), np.zeros((1, 3)), np.eye(3) * 4, (1, 1, 0), species=(alloy,))
    molecule = Structure("db", "b", ("O", "C"), np.array([[0.0, 0, -1e-9], [0, 0, 1.12345]]))
    first, second = map(json.loads, structure_documents(structures_table([mixed, molecule])))
    assert (first["species"], first["pbc"]) == (["Au"], [1, 1, 0])
    assert second == {
        "lattice": None,
        "pbc": [0, 0, 0],
        "species": ["O", "C"],
        "positions": [[0, 0, 0], [0, 0, 1.123]],
    }


def test_panels_count_prototypes_and_failures_of_every_stage(page: Page, mapped: Store) -> None:
    good, panels = placed(mapped), page.meta["panels"]
    for panel in panels["prototypes"]:
        of_it = [row for row in good if row.prototype == panel["name"]]
        assert panel["recognised"] == sum(not row.is_ood for row in of_it)
        assert panel["out_of_distribution"] == sum(row.is_ood for row in of_it)
    failures = {(entry["stage"], entry["class"]): entry["count"] for entry in panels["rejects"]}
    assert failures.pop(("features_soap", "TooManyPairsError")) == 1  # in two tables, but one structure
    assert sum(failures.values()) == 1
    assert next(iter(failures))[0] == "validate"
    assert sum(panels["uncertainty"]["counts"]) == len(good)
    strangest = sorted((row for row in good if row.is_ood), key=lambda row: -row.position)
    assert panels["ood"] == [row.position for row in strangest]
    assert page.meta["run"]["Structures in this page"] == page.meta["rows"]


def test_nothing_of_a_hostile_name_becomes_markup(page: Page, page_file: Path) -> None:
    assert {f"db:{name}".replace("\n", " ") for name in HOSTILE} <= set(page.column("structure_id"))
    assert page.meta["title"] == TITLE
    assert "<script>window.hacked" not in page_file.read_text("utf-8")
    blocks = [name for name, encoding in page.elements.encodings.items() if encoding]
    assert page.elements.tags.count("script") == Template.built().text.count("<script") + 1 + len(blocks)


def test_the_policy_lets_only_the_scripts_and_the_style_of_the_page_run(page: Page) -> None:
    policy = dict(entry.split(" ", 1) for entry in page.elements.policy.split("; "))
    blocks = {name for name, encoding in page.elements.encodings.items() if encoding}
    scripts = [text for name, text in page.elements.scripts.items() if name not in blocks | {"meta"}]
    assert len(scripts) == 2
    assert set(policy["script-src"].split()) == {source(text) for text in scripts}
    assert policy["style-src"] == source(page.elements.style)
    assert policy["default-src"] == policy["connect-src"] == policy["object-src"] == "'none'"
    assert "unsafe" not in page.elements.policy


def source(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def test_the_command_writes_a_page_and_says_what_it_left_out(mapped: Store, tmp_path: Path) -> None:
    out, arguments = tmp_path / "new" / "page.html", ["report", "--store", mapped.folder.url, "--out"]
    answer = CliRunner().invoke(app, [*arguments, str(out), "--column", "gap", "--title", "Mine", "--json"])
    summary = json.loads(answer.stdout)
    assert summary["bytes"] == out.stat().st_size <= 20_000_000
    assert (summary["structures"], summary["clusters"]) == (len(expected(mapped)), CLUSTER_COUNT)
    assert Page.read(out).meta["title"] == "Mine"
    tight = f"{summary['bytes'] - 500}B"
    told = CliRunner().invoke(app, [*arguments, str(out), "--column", "gap", "--budget", tight])
    assert told.exit_code == 0
    assert "have no room for their atoms: `crysift serve --store" in told.stdout.replace("\n", " ")


def test_a_map_whose_clusters_are_not_there_yet_is_passed_over(mapped: Store, tmp_path: Path) -> None:
    store = Store.open(Path(shutil.copytree(mapped.folder.url, tmp_path / "store")))
    [whole] = store.existing("map")
    unfinished = store.derived(replace(whole.fingerprint, settings={"neighbors": 5}), allow_new=True)
    part = min(whole.part_names())
    rows = whole.read(part)
    unfinished.commit(part, rows, source_part=part, rows_in=len(rows), failed=0, cost=1.0)
    assert store.latest("map") == unfinished
    assert PageTables.of(store).map == whole
    with pytest.raises(CrysiftError, match="no table of its clusters"):
        PageTables.of(store, unfinished)


def test_a_page_stays_within_its_budget_and_keeps_medoids_and_the_strangest(
    mapped: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.page.structures.CHUNK_BYTES", 1_000)
    whole = write_report(mapped, tmp_path / "whole.html", ReportSettings())
    budget = whole["bytes"] - 3_000
    summary = write_report(mapped, tmp_path / "small.html", ReportSettings(budget=budget))
    assert (tmp_path / "small.html").stat().st_size == summary["bytes"] <= budget
    assert 0 < summary["with_positions"] < whole["with_positions"] == whole["structures"]
    page = Page.read(tmp_path / "small.html")
    held = list(page.structures())
    medoids = [cluster["medoid_row"] for cluster in page.meta["clusters"]]
    assert sorted(held[: len(medoids)]) == sorted(medoids)
    strangest = [row for row in page.meta["panels"]["ood"] if row not in medoids]
    assert held[len(medoids) : len(medoids) + 20] == strangest[:20]
    assert page.meta["structures"]["left_out"] == page.meta["rows"] - len(held)


def test_a_budget_that_cannot_hold_the_points_is_refused_with_one_that_can(
    mapped: Store, tmp_path: Path
) -> None:
    with pytest.raises(CrysiftError, match=r"give --budget \d+MB or more"):
        write_report(mapped, tmp_path / "page.html", ReportSettings(budget=10_000))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("column", "said"),
    [("gapp", "did you mean gap"), ("neighbors", "holds struct"), ("clusters.size", "no table has it")],
)
def test_a_column_that_cannot_be_shown_is_refused(
    mapped: Store, tmp_path: Path, column: str, said: str
) -> None:
    with pytest.raises(CrysiftError, match=said):
        write_report(mapped, tmp_path / "page.html", ReportSettings(columns=(column,)))


def test_a_store_without_a_map_is_told_how_to_make_one(tmp_path: Path) -> None:
    (tmp_path / "structures").mkdir()
    store = Store.open(tmp_path, create=True)
    with pytest.raises(CrysiftError, match="crysift map --store"):
        write_report(store, tmp_path / "page.html", ReportSettings())


@pytest.mark.parametrize(
    ("text", "size"), [("20MB", 20_000_000), ("1.5 gb", 1_500_000_000), ("4KiB", 4096), ("77", 77)]
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-3MB", "20 TB", "1e6"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(CrysiftError, match="is not a size"):
        parse_size(text)
