"""The benchmark of unknown prototypes: its structures, its counts, and a whole small run."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, product
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from ase.build import bulk
from ase.data import atomic_numbers
from numpy.typing import NDArray
from typer.testing import CliRunner

from engine.errors import CrysiftError
from engine.execution.events import Event, PartDone, StageStarted, ignore
from engine.store import Store
from engine.structure import Structure
from engine.symmetry.protostructure import Protostructure, protostructure
from jobs.bench import BenchmarkSettings
from jobs.bench.ood.answers import NEAREST_AMD, NOT_LISTED, WITHOUT_AMD, Judged, known_types, missing
from jobs.bench.ood.curves import roc
from jobs.bench.ood.database import database_judgements
from jobs.bench.ood.detections import GOAL, STRATA, Judgement, judgements, summary
from jobs.bench.ood.distortive import AMPLITUDE, STRAIN
from jobs.bench.ood.invariants import NEIGHBORS, average_minimum_distances, distances_of, nearest_known
from jobs.bench.ood.measure import Asked, measure
from jobs.bench.ood.molecules import CONTACT
from jobs.bench.ood.nested import best, folds
from jobs.bench.ood.networks import Training, holdouts, members
from jobs.bench.ood.reporting import JUDGEMENTS, SELECTIONS, TABLE, baselines_remark, figures_of
from jobs.bench.ood.roc import main as draw_roc
from jobs.bench.ood.scoring import DEFAULT, ENSEMBLE, INFORMATION, Scored
from jobs.bench.ood.selection import RATES, selected, selections
from jobs.bench.ood.sets import BY_NAME, GROUPS, Group, GroupPart, OodSet, facts_of
from jobs.bench.ood.table import scores_table
from jobs.bench.ood.unknown import unknown_types
from jobs.bench.ood.unseen_classes import UNSEEN
from jobs.bench.readme import main as fill_in
from jobs.cli import app
from jobs.settings import ExecutionSettings
from models.prototypes import class_prototypes, prototypes
from models.training.defects import nearest_neighbor_distance
from models.training.train import TrainingSettings
from models.weights_file import load_model
from tests.models.small_arise import LABELS, RECIPE, small_weights


def _of_labels(name: str) -> Group:
    """A group's structures of four classes."""
    group = BY_NAME[name]

    def draw(seed: int) -> Iterator[Structure]:
        return (s for s in group.draw(seed) if not set(LABELS).isdisjoint(s.source_id.split("/")[:2]))

    return replace(group, draw=draw)


SMALL_GROUPS = (GOAL, "under strain", "superstructures of classes", "classes under large strain")
ALL_LABELS = tuple(prototype.label for prototype in prototypes())


@pytest.mark.parametrize(
    "name",
    [
        "under strain",
        "exchanged atoms",
        "superstructures of classes",
        pytest.param("random packings", marks=pytest.mark.slow),
        pytest.param("glasses", marks=pytest.mark.slow),
    ],
)
def test_a_seed_draws_the_same_structures_again_and_another_seed_others(name: str) -> None:
    first, again, other = (list(islice(BY_NAME[name].draw(seed), 2)) for seed in (3, 3, 4))
    assert [s.content_hash for s in first] == [s.content_hash for s in again]
    assert {s.content_hash for s in first}.isdisjoint(s.content_hash for s in other)


@pytest.mark.parametrize("name", ["random packings", "glasses"])
def test_packings_and_glasses_have_no_symmetry(name: str) -> None:
    for structure in islice(BY_NAME[name].draw(0), 3):
        assert _type_of(structure).space_group == 1


def test_molecules_of_a_crystal_touch_and_do_not_overlap() -> None:
    for structure in islice(BY_NAME["molecular crystals"].draw(0), 10):
        steps = np.array([step for step in product((-1, 0, 1), repeat=3) if any(step)]) @ structure.cell
        ways = structure.positions[:, None, None] - structure.positions[:, None] - steps
        assert np.linalg.norm(ways, axis=-1).min() >= CONTACT[0] - 0.01  # of a molecule and its own copies
        assert len(known_types(ALL_LABELS) & {_type_of(structure).label}) == 0


def test_superstructures_and_strained_classes_are_as_far_off_as_they_say() -> None:
    of = {prototype.name: prototype for prototype in prototypes()}
    for structure in islice(BY_NAME["classes under large strain"].draw(0), 30):
        prototype = of[structure.source_id.split("/")[1]]
        strain = np.linalg.solve(prototype.lattice, structure.cell) - np.eye(3)
        largest = np.abs(np.linalg.eigvalsh((strain + strain.T) / 2)).max()
        assert STRAIN[0] - 1e-6 <= largest <= STRAIN[1] + 1e-6
    for structure in islice(BY_NAME["superstructures of classes"].draw(0), 30):
        prototype = of[structure.source_id.split("/")[1]]
        assert 2 <= len(structure.positions) <= 48 or len(prototype.species) > 48
        fractional = np.linalg.solve(prototype.lattice.T, (structure.positions).T).T
        sites = np.linalg.solve(prototype.lattice.T, prototype.positions.T).T
        ways = fractional[:, None] - sites
        nearest = np.linalg.norm((ways - np.round(ways)) @ prototype.lattice, axis=2).min(axis=1).max()
        assert nearest <= AMPLITUDE[1] * nearest_neighbor_distance(prototype) + 1e-6
        assert nearest > 0.0


@pytest.mark.slow
def test_unknown_types_are_none_of_the_classes_and_each_is_there_once() -> None:
    labels = [each.type.label for each in unknown_types()]
    assert len(set(labels)) == len(labels) > 200
    assert known_types(ALL_LABELS).isdisjoint(labels)
    familiar = {each.type.space_group for each in unknown_types() if each.familiar}
    other = {each.type.space_group for each in unknown_types() if not each.familiar}
    assert familiar.isdisjoint(other)
    assert familiar


def test_no_seed_of_the_test_is_one_that_models_are_made_with() -> None:
    assert OodSet().test_seeds == (0, 3, 4, 5, 6)
    calibration = {part.seed for part in OodSet().calibration_parts()}
    assert len(calibration) == 8
    assert calibration.isdisjoint(OodSet().test_seeds)
    assert len({part.name for part in OodSet().parts()}) == 5 * len(GROUPS)


def test_an_id_tells_group_seed_and_origin() -> None:
    part = GroupPart(BY_NAME["under strain"], 6, every=40)
    for structure in part.drawn:
        facts = facts_of(structure.structure_id)
        assert (facts.group.name, facts.seed) == ("under strain", 6)
        assert facts.origin in ALL_LABELS
    assert part.rows == len(part.drawn) == 3


def test_average_minimum_distances_of_fcc_are_those_of_its_shells_at_any_scale() -> None:
    pytest.importorskip("amd")
    shells = np.repeat(np.sqrt([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]), [12, 6, 24, 12, 24, 8, 14])
    for edge in (3.6, 5.1):
        found = distances_of([Structure.from_ase(bulk("Cu", a=edge, cubic=True), "test", "fcc")])[0]
        np.testing.assert_allclose(found, shells, rtol=1e-9)


def test_a_layer_is_the_same_in_every_cell_and_no_neighbour_of_its_copies() -> None:
    pytest.importorskip("amd")
    layers = [
        Structure("test", str(size), ("C",) * size**2, at, cell, (1, 1, 0))
        for size in (1, 2)
        for cell in [np.diag([2.0 * size, 2.0 * size, 5.0])]
        for at in [2.0 * np.array([(x, y, 0) for x in range(size) for y in range(size)], float)]
    ]
    grid = np.array(list(product(range(-20, 21), repeat=2)))
    expected = np.sort(np.linalg.norm(grid, axis=1))[1 : NEIGHBORS + 1]
    for found in distances_of(layers):
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_finite_structure_has_as_many_distances_as_neighbours_and_is_nearest_to_itself() -> None:
    pytest.importorskip("amd")
    square = np.array([[0, 0, 0], [2, 0, 0], [0, 2, 0], [2, 2, 0.0]])
    found = average_minimum_distances(square, np.zeros((3, 3)), np.zeros(3, bool))
    np.testing.assert_allclose(found[:3], [1, 1, np.sqrt(2)])
    assert np.isnan(found[3:]).all()
    longer = np.arange(1.0, NEIGHBORS + 1)
    assert nearest_known(np.array([found, longer]), np.array([longer, found])).tolist() == [0, 0]


def test_without_its_package_a_baseline_is_left_out_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "amd", None)
    assert missing() == (WITHOUT_AMD,)


def test_baselines_know_only_the_classes_that_they_are_given() -> None:
    fcc = "fcc_Cu_A_cF4_225_a"
    [of_fcc] = known_types((fcc,))
    structures = Judged(np.array(["a", "b"]), np.zeros((2, 3)), types=np.array([of_fcc, ""]))
    assert structures.baselines((fcc,))[NOT_LISTED].tolist() == [0, 1]
    assert structures.baselines(("bcc_W_A_cI2_229_a",))[NOT_LISTED].tolist() == [1, 1]


def _made_up(seeds: int = 2, known: int = 60, others: int = 30) -> tuple[Judged, NDArray[np.float64]]:
    """Ids of structures of three strata and what is 0 for known ones and 1 for others."""
    names = {GOAL: known, "classes under large strain": others, "other types": others, "glasses": others}
    ids = [
        f"ood:{name}/{seed}/{'strained/' * (name.startswith('classes'))}type{number}/x"
        for seed in range(seeds)
        for name, count in names.items()
        for number in range(count)
    ]
    truth = np.array([float(not each.startswith(f"ood:{GOAL}")) for each in ids])
    return Judged(np.array(ids), np.zeros((len(ids), 1))), truth


def test_a_perfect_score_and_a_constant_one_are_judged_as_such() -> None:
    of, truth = _made_up()
    judged = judgements(Scored(of, {DEFAULT: truth, "constant": np.ones(len(truth))}, truth))
    for stratum in STRATA:
        perfect, constant = (summary(judged, name, GOAL, stratum) for name in (DEFAULT, "constant"))
        assert perfect is not None
        assert constant is not None
        assert (perfect.auroc, perfect.auroc_sd, perfect.false_alarms) == (1, 0, 0)
        assert (constant.auroc, constant.false_alarms) == (0.5, 1)
    table = scores_table(judged, GOAL, "title", "ood")
    assert table.rows[0][:3] == (f"`{DEFAULT}`", "**1.000 ± 0.000**", "**0.0 ± 0.0**")
    assert "**" not in "".join(table.rows[1])


def test_a_selection_by_uniform_p_values_keeps_its_rate_and_finds_what_has_none() -> None:
    random = np.random.default_rng(0)
    runs = [selected(random.random(900), np.zeros(100), RATES) for _ in range(200)]
    for rate, (proportion, power) in zip(RATES, np.mean(runs, axis=0), strict=True):
        assert power == 1.0
        assert proportion == pytest.approx(0.9 * rate, abs=0.01)


def test_selections_are_of_mixtures_with_the_shares_asked_for() -> None:
    of, truth = _made_up()
    found = selections({DEFAULT: 1.0 - truth}, of, mixtures=4)
    assert {(each.stratum, each.share, each.rate) for each in found} == {
        (stratum, share, rate) for stratum in STRATA for share in (0.1, 0.5) for rate in RATES
    }
    assert {(each.proportion, each.power, each.mixtures) for each in found} == {(0, 1, 8)}
    assert {each.structures for each in found} == {round(0.9 * 60 / 0.9), 54}


def test_folds_choose_by_what_was_not_put_aside() -> None:
    of, truth = _made_up()
    random = np.random.default_rng(0)
    noisy = truth + random.normal(size=len(truth))
    for fold in folds({"noise": random.random(len(truth)), "noisy": noisy, "true": truth}, "noisy", of):
        assert fold.chosen == "true"
        assert {told.auroc for told in fold.of_chosen.values()} == {1.0}
        assert min(told.auroc for told in fold.of_shipped.values()) < 1.0
    aside = of.seeds == 1
    wrong = np.where(aside, -truth, truth)
    assert best({"noisy": noisy, "wrong aside": wrong}, of, ~aside) == "wrong aside"
    assert best({"noisy": noisy, "wrong aside": wrong}, of, aside) == "noisy"


def test_goals_are_those_of_the_default_and_the_ratio_counts_where_one_structure_shows() -> None:
    def judged(name: str, stratum: str, auroc: float, alarms: float) -> Judgement:
        return Judgement(name, GOAL, stratum, 0, auroc, alarms, (500, 100))

    of = [judged(DEFAULT, "near", 0.94, 0.02), judged(INFORMATION, "near", 0.9, 0.1)]
    of += [judged(DEFAULT, "mid", 0.995, 0.001), judged(INFORMATION, "mid", 0.9, 0.002)]
    near, mid, ratio = figures_of(of)
    assert near.at_least == 95
    assert near.holds is False
    assert mid.at_least == 99
    assert mid.holds is True
    assert (ratio.name.split(":")[0], ratio.holds) == ("near", True)
    assert ratio.value == pytest.approx(0.2)
    assert "no baseline is ahead" in baselines_remark(of)
    ahead = judged(NEAREST_AMD, "near", 0.93, 0.01)
    assert f"told from {GOAL} (near: {NEAREST_AMD} 0.930 / 1.0 %" in baselines_remark([*of, ahead])


def test_a_curve_rises_from_few_false_positives_to_all() -> None:
    random = np.random.default_rng(0)
    points = np.array(roc(random.normal(size=1000), random.normal(2.0, size=500)))
    assert (np.diff(points, axis=0) >= 0).all()
    assert points[0, 0] == pytest.approx(1e-3)
    assert points[-1].tolist() == [1, 1]


def test_networks_without_classes_are_trained_once_and_measure_to_the_others_alone(tmp_path: Path) -> None:
    events: list[Event] = []
    training = Training(
        tmp_path / "networks",
        tmp_path / "work",
        RECIPE,
        TrainingSettings(epochs=2, batch=16),
        class_prototypes(LABELS),
        events.append,
    )
    [asked] = holdouts(LABELS, 1, 1)
    [left_out] = set(LABELS) - set(asked.labels)
    model = training.network(asked)
    assert model.labels == asked.labels == tuple(label for label in LABELS if label != left_out)
    assert not any(left_out in name for name in model.reference.ids)
    for name, number in zip(model.reference.ids, model.reference.classes, strict=True):
        assert model.labels[number] in name
    assert len(model.reference.calibration) > 100
    [started] = [e for e in events if isinstance(e, StageStarted) and e.stage == f"training of {asked.name}"]
    assert started.parts == 2
    events.clear()
    assert training.network(asked).sha256 == model.sha256
    assert not events
    assert training.folder_of(members(LABELS, 1)[0]) != training.folder_of(asked)


@pytest.mark.slow
def test_a_small_run_judges_every_score_writes_its_files_and_goes_on(tmp_path: Path) -> None:
    events: list[Event] = []
    settings = BenchmarkSettings(
        store=str(tmp_path / "store"),
        out=tmp_path / "out",
        execution=ExecutionSettings("inline", 1),
        listener=events.append,
    )
    optimisation, known = TrainingSettings(epochs=3, batch=16), class_prototypes(LABELS)
    training = Training(tmp_path / "networks", tmp_path / "small" / "work", RECIPE, optimisation, known)
    small = str(small_weights(tmp_path / "small"))
    asked = Asked({"small": small}, training, networks=1, left_out=1, passes=20, mixtures=3)
    chosen = OodSet(seeds=1, groups=tuple(map(_of_labels, SMALL_GROUPS)))
    report = measure(settings, chosen, asked)
    assert not report.figures  # goals are of the full benchmark
    by_score = {row[0]: row for row in report.tables[0].rows}
    assert {f"`{DEFAULT}`", INFORMATION, NOT_LISTED, ENSEMBLE} <= by_score.keys()
    assert report.tables[0].heading == ("score", "near: AUROC", "near: FPR95, %")
    rows = pq.read_table(tmp_path / "out" / JUDGEMENTS).to_pylist()
    assert {UNSEEN, "near", "superstructures of classes"} <= {row["found"] for row in rows}
    assert pq.read_table(tmp_path / "out" / SELECTIONS).num_rows > 0
    assert "Nested validation" in (tmp_path / "out" / TABLE).read_text()
    _check_documents(report.as_json(), tmp_path)
    events.clear()
    assert measure(settings, chosen, asked).tables == report.tables
    assert not [event for event in events if isinstance(event, PartDone)]


def _check_documents(report: dict[str, object], folder: Path) -> None:
    (folder / "ood.json").write_text(json.dumps(report))
    document = folder / "README.md"
    document.write_text(
        "<!-- figures:ood -->\n<!-- /figures:ood -->\n<!-- figures:ood-nested -->\n"
        "<!-- /figures:ood-nested -->\n"
    )
    fill_in(str(document), str(folder / "ood.json"))
    assert "| mutual information |" in document.read_text()
    assert "| descriptor + first layer + last layer (`ood_score`) |" in document.read_text()
    draw_roc(str(folder / "roc.svg"), str(folder / "ood.json"))
    assert "mutual information" in (folder / "roc.svg").read_text()


def test_what_only_this_benchmark_reads_is_refused_elsewhere() -> None:
    result = CliRunner().invoke(app, ["bench", "soap", "--retrain"])
    assert result.exit_code != 0
    assert "--retrain changes nothing in `crysift bench soap`" in " ".join(result.output.split())


def test_full_and_quick_sets_differ_in_seeds_and_in_how_many_structures() -> None:
    quick = replace(OodSet(), seeds=1, every=7)
    assert quick.test_seeds == (0,)
    full, some = (GroupPart(BY_NAME["exchanged atoms"], 0, every) for every in (1, 7))
    assert some.rows == -(-full.rows // 7)
    assert {s.structure_id for s in some.drawn} < {s.structure_id for s in full.drawn}


def _type_of(structure: Structure) -> Protostructure:
    numbers = np.array([atomic_numbers[symbol] for symbol in structure.species_at_sites])
    return protostructure(structure.positions, numbers, structure.cell)


def test_real_crystals_are_told_apart_by_symmetry(tmp_path: Path) -> None:
    known = {f"{metal}-fcc": bulk(metal, cubic=True) for metal in ("Cu", "Al", "Ni", "Ag")}
    others = {
        f"{m}F2": bulk(f"{m}F2", "fluorite", a=a) for m, a in {"Ca": 5.46, "Sr": 5.8, "Ba": 6.2}.items()
    }
    (tmp_path / "crystals").mkdir()
    for name, atoms in {**known, **others}.items():
        atoms.write(tmp_path / "crystals" / f"{name}.extxyz")
    store = Store.open(tmp_path / "store", create=True)
    model, inline = load_model("arise-robust"), ExecutionSettings("inline")
    judged = database_judgements(str(tmp_path / "crystals"), model, 20, store, inline, ignore)
    default = next(each for each in judged if each.score == DEFAULT)
    assert (default.structures, default.auroc, default.false_alarms) == ((4, 3), 1.0, 0.0)
    for name in known:
        (tmp_path / "crystals" / f"{name}.extxyz").unlink()
    alone = Store.open(tmp_path / "alone", create=True)
    with pytest.raises(CrysiftError, match=r"of the 3 crystals .* 0 are of one of the model's classes"):
        database_judgements(str(tmp_path / "crystals"), model, 20, alone, inline, ignore)
