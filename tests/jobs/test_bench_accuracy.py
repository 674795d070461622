"""The accuracy benchmark: its structures, its counts, its tables, and a whole small run."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import jobs.bench.accuracy as benchmark
from engine.errors import CrysiftError
from engine.execution.events import Event, PartDone, ignore
from engine.store import Store
from engine.structure import structures_in
from jobs.bench import BenchmarkSettings
from jobs.bench.accuracy.answers import WITHOUT_OVITO, WITHOUT_SKLEARN, Asked
from jobs.bench.accuracy.confusions import confusions_of, most_frequent
from jobs.bench.accuracy.measure import measure
from jobs.bench.accuracy.ours import rows_of
from jobs.bench.accuracy.published import ARISE, GOALS, PUBLISHED
from jobs.bench.accuracy.reporting import CONFUSIONS, SCORES, TABLE
from jobs.bench.accuracy.scores import Score, Verdicts, published_scores, scores_of
from jobs.bench.accuracy.sets import KINDS, PRISTINE, BenchmarkSet, Facts, facts_of
from jobs.bench.accuracy.table import COMBINED, SINGLE, accuracy_tables, local_order_table, published_table
from jobs.bench.readme import main as fill_in
from jobs.bench.report import BenchmarkReport
from jobs.cli import app
from jobs.settings import ExecutionSettings
from models.catalogue import shipped_models
from models.prototypes import prototypes
from models.stage import PredictArise
from models.training.defects import Defect, defective
from models.training.grid import GridSettings
from models.training.replicas import defect_hosts, label_of
from models.weights_file import model_folder

FCC, TUBE = "fcc_Cu_A_cF4_225_a", "armchair_cnt_nm_3_3_30.0_4.07"
LABELS = (FCC, "L12_Cu3Au", "C", TUBE)
SMALL = BenchmarkSet(draws=1, kinds=(PRISTINE, Defect(0.02), Defect(vacancies=0.05)), labels=LABELS)
ONE_POINT = GridSettings((4.0,), (0.1,), (1.0,))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[BenchmarkSettings, BenchmarkReport]:
    """A whole benchmark on four prototypes and three kinds of defects, and what it reported."""
    folder = tmp_path_factory.mktemp("accuracy")
    settings = BenchmarkSettings(
        store=str(folder / "store"), out=folder / "out", execution=ExecutionSettings("inline")
    )
    return settings, measure(settings, SMALL, Asked(rows_of(()), ONE_POINT))


def test_the_full_set_has_the_published_number_of_structures_of_every_kind() -> None:
    parts = BenchmarkSet().parts()
    rows = Counter[Defect]()
    for part in parts:
        rows[part.kind] += part.rows
    assert rows == {PRISTINE: 396, **dict.fromkeys(KINDS[1:], 5880)}
    assert rows.total() == 117_996
    assert len({part.name for part in parts}) == len(parts)
    assert max(part.rows for part in parts) <= 1024


def test_structures_are_those_that_the_seed_draws_and_their_ids_tell_what_they_are(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    replace(SMALL, seed=3).write(store, ignore, 1)
    stored = {s.structure_id: s for s in structures_in(store.structures.scan().to_table())}
    hosts = [host for host in defect_hosts() if label_of(host.structure_id) in LABELS]
    assert len(stored) == 4 * 3 + 1 + 2 * len(hosts)
    for drawn in defective(hosts, Defect(vacancies=0.05), 1, 3):
        np.testing.assert_array_equal(stored[drawn.structure_id].positions, drawn.positions)
        facts = facts_of([drawn.structure_id])
        assert facts.labels[0] in LABELS
        assert KINDS[facts.kinds[0]] == Defect(vacancies=0.05)
    assert facts_of([f"prototype:{FCC}/periodic"]) == Facts([FCC], [0])


def test_an_interrupted_drawing_goes_on_and_makes_the_same(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    small = replace(SMALL, labels=(FCC, TUBE))
    small.write(store, ignore, 1)
    names = store.structures.part_names()
    lost = min(names)
    before = store.structures.footer(lost).content_hash
    (tmp_path / "store" / "structures" / f"{lost}.parquet").unlink()
    events: list[Event] = []
    small.write(store, events.append, 1)
    assert [event.part for event in events if isinstance(event, PartDone)] == [lost]
    assert store.structures.part_names() == names
    assert store.structures.footer(lost).content_hash == before


def test_a_store_of_another_seed_or_of_more_draws_is_refused(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    tiny = replace(SMALL, labels=(TUBE,))
    tiny.write(store, ignore, 1)
    for other in (replace(tiny, seed=1), replace(tiny, draws=2)):
        with pytest.raises(CrysiftError, match=f"none of seed {other.seed} with {other.draws} draws"):
            other.write(store, ignore, 1)


def test_accuracies_are_of_what_a_method_treats_and_starred_of_everything() -> None:
    facts = Facts([FCC, FCC, FCC, "C", "C"], [0, 4, 4, 4, 4])
    right = np.array([1.0, 1.0, 0.5, 0.0, 0.0])
    treated = np.array([True, True, True, False, False])
    plain, plain_defective, starred, starred_defective = scores_of(facts, Verdicts("m", right, treated))
    assert (plain.kind, plain.percent, plain.classes, plain.row) == (PRISTINE, 100.0, 1, "m")
    assert (plain_defective.kind, plain_defective.percent, plain_defective.structures) == (KINDS[4], 75.0, 2)
    assert (starred.percent, starred.row) == (100.0, "m*")
    assert (starred_defective.percent, starred_defective.structures) == (37.5, 4)
    every = scores_of(facts, Verdicts("all", right, np.ones(5, bool)))
    assert [score.starred for score in every] == [False, False]


def test_the_published_table_is_complete() -> None:
    assert len(SINGLE) == 14
    assert len(COMBINED) == 7
    assert [len(row) for row in PUBLISHED.values()] == [14] * 6 + [21]
    assert PUBLISHED[ARISE][Defect(0.10)] == 94.56
    assert PUBLISHED[ARISE][Defect(0.10, 0.30)] == 92.50
    assert PUBLISHED["Ackland–Jones (3/108)"][Defect(vacancies=0.30)] == 7.35
    assert PUBLISHED["spglib loose (96/108)"][Defect(0.01)] == 95.26
    assert set(GOALS["arise"]) == set(KINDS)
    assert set(GOALS["arise-robust"]) < set(KINDS)
    (arise,) = (row for row in published_table().rows if row[0] == ARISE)
    assert arise[1:6] == ("100.00", "100.00", "100.00", "100.00", "99.86")


def test_a_table_names_how_many_prototypes_a_method_treats_and_leaves_unmeasured_cells_empty() -> None:
    scores = [
        Score("PTM", PRISTINE, 100.0, classes=13),
        Score("PTM", KINDS[1], 99.987, classes=13),
        Score("PTM", PRISTINE, 3.2, classes=13, starred=True),
        Score("ours", PRISTINE, 100.0, classes=108),
        *published_scores(ARISE),
    ]
    single, combined = accuracy_tables(scores, 108)
    assert single.heading[:3] == ("% correct", "pristine", "δ 0.1 %")
    assert [row[0] for row in single.rows] == ["PTM (13/108)", "PTM*", "ours", ARISE]
    assert single.rows[0][1:4] == ("100.00", "99.99", "")
    assert [row[0] for row in combined.rows] == [ARISE]


def test_confusions_are_counted_by_kind_and_added_up_over_kinds() -> None:
    facts = Facts([FCC, FCC, FCC, "C", "C"], [1, 1, 2, 2, 2])
    assert len(confusions_of("m", facts, [FCC, None, None, "C", None])) == 0
    table = confusions_of("m", facts, [FCC, "CsCl", "CsCl", "C", "BN"])
    rows = table.select(["kind", "prototype", "taken_for", "count", "structures"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("δ 0.1 %", FCC, "CsCl", 1, 2),
        ("δ 0.6 %", "C", "BN", 1, 2),
        ("δ 0.6 %", FCC, "CsCl", 1, 1),
    ]
    ((right, wrong, apart, times, kinds),) = most_frequent(table, 1)
    assert (right, wrong, times, kinds) == ("fcc (Cu)", "CsCl", "2", "δ 0.1 %: 1; δ 0.6 %: 1")
    assert 0.1 < float(apart) < 1.5
    graphite = ("HexGraph_C_A_hP4_194_bc", "rhombGraph_C_A_hR2_166_c")
    ((_, _, apart, _, _),) = most_frequent(confusions_of("m", Facts([graphite[0]], [1]), [graphite[1]]))
    assert apart == "0.024"


def test_every_shipped_network_on_soap_vectors_has_a_row_and_names_stay_different(tmp_path: Path) -> None:
    shipped = shipped_models("arise")
    assert PredictArise.weights in shipped
    assert "diffraction-single" not in shipped
    one, other = (str(tmp_path / folder / "mine") for folder in ("one", "other"))
    for folder in (one, other):
        shutil.copytree(model_folder(PredictArise.weights), folder)
    assert list(rows_of([one])) == [*shipped, "mine"]
    with pytest.raises(CrysiftError, match="both be called 'mine'"):
        rows_of([one, other])
    with pytest.raises(CrysiftError, match="reads no SOAP vectors"):
        rows_of(["diffraction-single"])


def test_a_whole_run_measures_all_methods_on_the_same_structures(
    measured: tuple[BenchmarkSettings, BenchmarkReport],
) -> None:
    settings, report = measured
    assert settings.out is not None
    rows = pq.read_table(settings.out / SCORES).to_pylist()
    percents = {(row["method"], row["starred"], row["kind"]): row["percent"] for row in rows}
    hosts = 3 * 6 + 1
    for kind in ("δ 2 %", "η 5 %"):
        assert percents[PredictArise.weights, False, kind] == 100.0
        assert {row["structures"] for row in rows if row["kind"] == kind and row["starred"]} == {hosts}
    assert {row["structures"] for row in rows if row["method"] == "spglib loose"} == {3, 9, 13, hosts}
    assert percents["spglib loose", False, "pristine"] == percents["spglib tight", False, "pristine"] == 100.0
    assert percents["spglib loose", True, "pristine"] == pytest.approx(100 * 3 / 13)
    assert percents["spglib tight", False, "δ 2 %"] == 0.0
    assert percents["Gaussian naive Bayes", False, "pristine"] > 50.0
    assert percents[ARISE, False, "δ 10 %"] == 94.56
    assert all(0.0 <= row["percent"] <= 100.0 for row in rows)
    text = (settings.out / TABLE).read_text(encoding="utf-8")
    assert f"| {PredictArise.weights} | 100.00 |" in text
    assert "spglib loose (3/4)" in text
    assert pq.read_table(settings.out / CONFUSIONS).num_rows == 0
    assert report.figures == ()


def test_a_second_run_computes_nothing_and_says_the_same(
    measured: tuple[BenchmarkSettings, BenchmarkReport], tmp_path: Path
) -> None:
    settings, report = measured
    events: list[Event] = []
    again = measure(
        replace(settings, out=tmp_path, listener=events.append), SMALL, Asked(rows_of(()), ONE_POINT)
    )
    assert not [event for event in events if isinstance(event, PartDone)]
    assert again.tables == report.tables


def test_rows_of_absent_packages_are_left_out_with_a_word_on_how_to_have_them(
    measured: tuple[BenchmarkSettings, BenchmarkReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, _ = measured
    monkeypatch.setitem(sys.modules, "ovito", None)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    report = measure(replace(settings, out=None), SMALL, Asked(rows_of(()), ONE_POINT))
    assert report.remarks[-2:] == (WITHOUT_OVITO, WITHOUT_SKLEARN)
    assert "pip install 'crysift[peers]'" in WITHOUT_OVITO
    methods = [row[0] for row in report.tables[0].rows]
    assert "spglib tight*" in methods
    assert not [name for name in methods if name.startswith(("PTM", "CNA", "adaptive", "Ackland", "Gauss"))]


def test_the_command_prints_the_table_and_documents_are_filled_from_its_report(
    measured: tuple[BenchmarkSettings, BenchmarkReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, _ = measured
    monkeypatch.setattr(benchmark, "QUICK", SMALL)
    monkeypatch.setattr(benchmark, "Asked", lambda models: Asked(models, ONE_POINT))
    where = ["--store", str(settings.store), "--out", str(tmp_path / "out"), "--executor", "inline"]
    ended = CliRunner().invoke(app, ["bench", "accuracy", "--quick", *where, "--json", "--quiet"])
    assert ended.exit_code == 0, ended.output
    report = json.loads(ended.stdout)
    assert [table["block"] for table in report["tables"]] == ["accuracy"] * 2
    saved, document = tmp_path / "accuracy.json", tmp_path / "document.md"
    saved.write_text(ended.stdout, encoding="utf-8")
    blocks = ("accuracy", "accuracy-published", "accuracy-local-order")
    document.write_text("".join(f"<!-- figures:{name} -->\n<!-- /figures:{name} -->\n" for name in blocks))
    fill_in(str(document), str(saved))
    text = document.read_text(encoding="utf-8")
    assert f"| {PredictArise.weights} | 100.00 |" in text
    assert "| Bernoulli naive Bayes | 75.76 |" in text
    assert "| L1₂ (Cu3Au) | FCC and L12_A or L12_B |  |  |" in text
    assert (tmp_path / "out" / TABLE).is_file()


def test_every_method_of_ovito_is_told_what_is_right_for_which_prototype() -> None:
    rows = {row[0]: row[1:] for row in local_order_table().rows}
    assert len(rows) == 13
    assert rows["bcc (W)"] == ("BCC and PURE", "BCC", "1.394")
    assert set(rows) <= {prototype.title for prototype in prototypes()}


@pytest.mark.parametrize("seed", [1, 2, 77, 1000])
def test_a_seed_that_models_were_made_with_is_refused(seed: int) -> None:
    told = CliRunner().invoke(app, ["bench", "accuracy", "--seed", str(seed)])
    assert told.exit_code == 1
    assert f"--seed {seed} draws structures that models are trained" in " ".join(told.output.split())
