"""Both networks on the same structures: one screening, and their verdicts side by side."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write
from typer.testing import CliRunner

from engine.errors import CrysiftError
from engine.execution import Event, PartDamaged, StageFinished
from engine.execution.events import PageDone
from engine.store import Store
from jobs import ExecutionSettings, ScreenResult, ScreenSettings, screen
from jobs.cli import app
from jobs.stages import networks
from jobs.views import add_verdicts, connect
from models.prototypes import CUBIC_ELEMENTAL, prototypes
from models.stage import PREDICTIONS, PredictArise, PredictDiffraction
from tests.jobs.small_network import CRYSTALS as TAUGHT

PASSES = 50
STAGES = ("features_soap", "predictions_arise", "features_diffraction", "predictions_diffraction")
CRYSTALS = {
    "copper": bulk("Cu"),
    "iron": bulk("Fe"),
    "magnesium": bulk("Mg"),
    "silicon": bulk("Si"),
    "water": Atoms("OH2", [[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]]),
}
VERDICTS = {
    "copper": ("fcc_Cu_A_cF4_225_a", False, "fcc", False, 225, True),
    "iron": ("bcc_W_A_cI2_229_a", False, "bcc", False, 229, True),
    "magnesium": ("hcp_Mg_A_hP2_194_c", False, "fcc", True, 194, True),  # neither sees a cubic element
    "silicon": ("diam_C_A_cF8_227_a", False, "diamond", True, 227, False),
    "water": (None, True, None, None, None, None),  # whichever class is nearest to what is far from all
}


@dataclass(frozen=True)
class Screening:
    """A folder of crystals, how it is screened, and what came of it."""

    crystals: Path
    settings: ScreenSettings
    result: ScreenResult
    events: list[Event]

    @property
    def store(self) -> Path:
        return Path(self.result.store_url)


@pytest.fixture(scope="module")
def both(diffraction_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Screening:
    """Some crystals and a molecule, of which there is no diffraction pattern, screened by both networks."""
    folder = tmp_path_factory.mktemp("both")
    crystals, events = folder / "crystals", list[Event]()
    crystals.mkdir()
    for name, atoms in CRYSTALS.items():
        write(crystals / f"{name}.extxyz", atoms)
    settings = ScreenSettings(
        models=(
            PredictDiffraction(passes=PASSES, weights=str(diffraction_weights)),
            PredictArise(passes=PASSES),
        ),
        execution=ExecutionSettings("inline"),
    )
    result = screen(crystals, folder / "store", settings, events.append)
    return Screening(crystals, settings, result, events)


@pytest.fixture
def command_line(both: Screening, diffraction_weights: Path) -> Callable[..., str]:
    """Run a command on the crystals' store or another; return what it prints."""

    def run(*arguments: str | Path, store: Path = both.store, status: int = 0) -> str:
        ended = CliRunner().invoke(app, [*map(str, arguments), "--store", str(store)])
        assert ended.exit_code == status, ended.output
        return ended.output

    return run


def derived(store: Path, of: str = "*") -> dict[str, pa.Table]:
    return {str(path.relative_to(store)): pq.read_table(path) for path in store.glob(f"{of}-*/*.parquet")}


def test_one_ingest_serves_both(both: Screening) -> None:
    finished = [event for event in both.events if isinstance(event, StageFinished)]
    assert [(event.stage, event.rows, event.failed) for event in finished] == [
        ("features_soap", 5, 0),
        ("predictions_arise", 5, 0),
        ("features_diffraction", 5, 1),
        ("predictions_diffraction", 5, 1),
        ("protostructures", 5, 1),
    ]
    assert sum(isinstance(event, PageDone) for event in both.events) == 1


def test_verdicts_stand_side_by_side_with_the_space_group(both: Screening) -> None:
    names = (
        "arise_prototype",
        "arise_is_ood",
        "diffraction_prototype",
        "diffraction_is_ood",
        "space_group",
        "agree",
    )
    rows = both.result.verdicts().to_pylist()
    for row in rows:
        if row["arise_is_ood"]:
            row["arise_prototype"] = None
    assert {row["structure_id"]: tuple(row[name] for name in names) for row in rows} == {
        f"files:{name}.extxyz": verdict for name, verdict in VERDICTS.items()
    }
    for model in PREDICTIONS:
        own = both.result.predictions(model=model).sort_by("structure_id")
        for column in ("probability", "mutual_information"):
            assert [row[f"{model}_{column}"] for row in rows] == own[column].to_pylist()


def test_query_has_the_same_verdicts(both: Screening) -> None:
    asked = connect(both.result.store).sql("SELECT * FROM verdicts ORDER BY structure_id").to_arrow_table()
    assert asked.equals(both.result.verdicts())


def test_disagreement_is_a_query(command_line: Callable[..., str]) -> None:
    told = command_line("query", "SELECT structure_id FROM verdicts WHERE NOT agree", "--json")
    assert told.count("structure_id") == 1
    assert "files:silicon.extxyz" in told


def test_the_report_counts_what_each_network_says_and_whether_they_agree(
    both: Screening, command_line: Callable[..., str], diffraction_weights: Path
) -> None:
    models = ("--models", "diffraction,arise", "--weights", diffraction_weights, "--passes", str(PASSES))
    told = command_line("screen", both.crystals, *models)
    assert "5 in = 5 structures + 0 rejects" in told
    assert "5 predictions  (1 out of distribution, 0 failed)" in told
    assert "5 predictions  (2 out of distribution, 1 failed)" in told
    assert "3 agree, 1 disagree, 1 have one or none" in told
    assert "NotPeriodic (features_diffraction)" in told
    assert "SELECT * FROM verdicts WHERE NOT agree" in told
    [silicon] = [line.split() for line in told.splitlines() if line.startswith("files:silicon")]
    assert silicon[2] == "diam_C_A_cF8_227_a"
    assert silicon[5:] == ["no", "diamond", silicon[7], "yes", "227", "no"]


def test_the_summary_counts_each_network(both: Screening) -> None:
    summary = both.result.summary
    assert summary["accounted"] is True
    assert summary["verdicts"] == {"agree": 3, "disagree": 1, "not_compared": 1}
    assert {name: found["failed"] for name, found in summary["models"].items()} == {
        "arise": 0,
        "diffraction": 1,
    }
    assert summary["models"]["diffraction"]["prototypes"][0]["prototype"] == "bcc"
    assert set(STAGES) < summary["tables"].keys()


def test_the_record_of_the_run_says_what_was_read_and_what_determines_the_numbers(both: Screening) -> None:
    path = min(both.store.glob("runs/*/settings.json"))
    record = json.loads(path.read_text())["settings"]
    assert [source["root"] for source in record["sources"]] == [str(both.crystals)]
    assert record["features_diffraction"] == {"channels": "single", "mask": True, "model": None}
    assert record["predictions_arise"]["model"] == PredictArise().model_hash()
    assert record["predictions_diffraction"]["passes"] == PASSES


def test_the_strangest_structures_come_with_both_verdicts(both: Screening) -> None:
    strangest = both.result.most_out_of_distribution(2).to_pylist()
    scores = sorted(both.result.predictions(["ood_score"])["ood_score"].to_pylist(), reverse=True)
    assert [row["arise_ood_score"] for row in strangest] == scores[:2]
    assert strangest[0]["structure_id"] == "files:water.extxyz"
    assert strangest[0]["diffraction_prototype"] is None


def test_the_order_in_which_networks_are_named_does_not_matter(both: Screening, tmp_path: Path) -> None:
    store = Path(shutil.copytree(both.store, tmp_path / "store"))
    before = {path: path.stat().st_mtime_ns for path in store.glob("*-*/*.parquet")}
    turned = ScreenSettings(models=both.settings.models[::-1], execution=both.settings.execution)
    result = screen(both.crystals, store, turned)
    assert result.models == both.result.models == ("arise", "diffraction")
    assert {path: path.stat().st_mtime_ns for path in store.glob("*-*/*.parquet")} == before


def test_a_damaged_part_between_the_second_descriptor_and_its_network_is_made_again(
    both: Screening, tmp_path: Path
) -> None:
    store = Path(shutil.copytree(both.store, tmp_path / "store"))
    whole = derived(store)
    [features] = store.glob("features_diffraction-*/*.parquet")
    data = bytearray(features.read_bytes())
    data[len(data) // 3] ^= 4
    features.write_bytes(data)
    [predictions] = store.glob("predictions_diffraction-*/*.parquet")
    predictions.unlink()
    events = list[Event]()
    screen(both.crystals, store, both.settings, events.append)
    assert [event.part for event in events if isinstance(event, PartDamaged)] == [features.stem]
    assert derived(store) == whole


def test_the_steps_one_by_one_make_the_same_tables(
    both: Screening, command_line: Callable[..., str], diffraction_weights: Path, tmp_path: Path
) -> None:
    store, passes = tmp_path / "store", ("--passes", str(PASSES))
    command_line("ingest", both.crystals, store=store)
    for descriptor in ("diffraction", "soap"):
        command_line("featurize", "--descriptor", descriptor, store=store)
    command_line("predict", "--model", "diffraction", "--weights", diffraction_weights, *passes, store=store)
    command_line("predict", *passes, store=store)
    assert derived(store) == {**derived(both.store, "features_*"), **derived(both.store, "predictions_*")}


@pytest.mark.slow
@pytest.mark.integration
def test_clusters_make_the_same_tables(both: Screening, tmp_path: Path) -> None:
    clusters = ScreenSettings(models=both.settings.models, execution=ExecutionSettings("cluster", workers=1))
    result = screen(both.crystals, tmp_path / "store", clusters)
    assert derived(tmp_path / "store") == derived(both.store)
    assert result.verdicts().equals(both.result.verdicts())


def test_diffraction_alone_is_a_screening_as_any_other(both: Screening, tmp_path: Path) -> None:
    alone = ScreenSettings(models=both.settings.models[:1], execution=both.settings.execution)
    result = screen(both.crystals / "copper.extxyz", tmp_path / "store", alone)
    assert result.predictions(["prototype"])["prototype"].to_pylist() == ["fcc"]
    assert (result.summary["predictions"], result.summary["out_of_distribution"]) == (1, 0)
    assert result.most_out_of_distribution()["nearest_class"].to_pylist() == ["fcc"]
    with pytest.raises(CrysiftError, match="'arise' was not applied: diffraction was"):
        result.predictions(model="arise")
    with pytest.raises(CrysiftError, match="only the network 'diffraction' was applied"):
        result.verdicts()
    views = {row[0] for row in connect(result.store).sql("SHOW TABLES").fetchall()}
    assert "predictions_diffraction" in views
    assert "verdicts" not in views


def test_the_shipped_networks_agree_on_the_crystals_that_both_know(tmp_path: Path) -> None:
    crystals = tmp_path / "crystals"
    crystals.mkdir()
    for name, atoms in TAUGHT.items():
        write(crystals / f"{name}.extxyz", atoms)
    settings = ScreenSettings(models=("arise", "diffraction"), execution=ExecutionSettings("inline"))
    rows = screen(crystals, tmp_path / "store", settings).verdicts().to_pylist()
    for row in rows:
        name = row["structure_id"].removeprefix("files:").removesuffix(".extxyz")
        assert CUBIC_ELEMENTAL[row["arise_prototype"]] == row["diffraction_prototype"] == name
    assert [row["agree"] for row in rows] == [True] * len(TAUGHT)


def test_verdicts_remain_where_the_descriptors_were_deleted(both: Screening, tmp_path: Path) -> None:
    store = Path(shutil.copytree(both.store, tmp_path / "store"))
    for table in store.glob("features_*"):
        shutil.rmtree(table)
    asked = connect(Store.open(store)).sql("SELECT * FROM verdicts ORDER BY structure_id").to_arrow_table()
    assert asked["space_group"].null_count == len(CRYSTALS)
    assert asked.drop(["space_group"]).equals(both.result.verdicts().drop(["space_group"]))


def test_networks_are_chosen_by_the_weights_architecture(diffraction_weights: Path) -> None:
    arise, diffraction = networks(["diffraction", "arise"], [str(diffraction_weights)], passes=7)
    assert arise == PredictArise(passes=7)
    assert diffraction == PredictDiffraction(passes=7, weights=str(diffraction_weights))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda _: ScreenSettings(models=("arise", "other")),
            "no network 'other': choose from arise, diffraction",
        ),
        (lambda _: ScreenSettings(models=("arise", PredictArise(passes=3))), "'arise' is named twice"),
        (lambda _: ScreenSettings(models=()), "no network is named"),
        (
            lambda weights: networks(["arise"], [weights]),
            "are of the network 'diffraction', and arise is asked",
        ),
        (lambda weights: networks(["diffraction"], [weights, weights]), "are both of 'diffraction'"),
    ],
)
def test_networks_that_make_no_sense_are_refused(
    make: Callable[[str], object], words: str, diffraction_weights: Path
) -> None:
    with pytest.raises(CrysiftError, match=words):
        make(str(diffraction_weights))


def test_a_descriptor_that_the_network_does_not_read_is_refused_before_any_work(
    both: Screening, command_line: Callable[..., str], diffraction_weights: Path, tmp_path: Path
) -> None:
    for option, named in ((("--channels", "rgb"), "channels: rgb"), (("--no-mask",), "mask: False")):
        models = ("--models", "arise,diffraction", "--weights", diffraction_weights, *option)
        told = command_line("screen", both.crystals, *models, store=tmp_path / "store", status=1)
        assert named in told
        assert not (tmp_path / "store").exists()


Row = tuple[str, str | None, bool | None] | None
"""Status, prototype and whether it is out of distribution; None where the table has no such row."""
FCC, BCC, HCP = "fcc_Cu_A_cF4_225_a", "bcc_W_A_cI2_229_a", "hcp_Mg_A_hP2_194_c"
AGREEMENT: dict[str, tuple[Row, Row, bool | None]] = {
    "the same": (("ok", FCC, False), ("ok", "fcc", False), True),
    "another": (("ok", FCC, False), ("ok", "bcc", False), False),
    "arise knows more": (("ok", HCP, False), ("ok", "fcc", False), False),
    "other and unknown": (("ok", HCP, False), ("ok", "fcc", True), True),
    "both unknown": (("ok", BCC, True), ("ok", "fcc", True), True),
    "arise does not know": (("ok", FCC, True), ("ok", "fcc", False), False),
    "diffraction does not know": (("ok", FCC, False), ("ok", "fcc", True), False),
    "arise failed": (("failed", None, None), ("ok", "fcc", False), None),
    "diffraction failed": (("ok", HCP, False), ("failed", None, None), None),
    "both failed": (("failed", None, None), ("failed", None, None), None),
    "arise not asked": (None, ("ok", "fcc", True), None),
    "diffraction not asked": (("ok", HCP, False), None, None),
}


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """Views of predictions with a row for each case of agreement."""
    columns = ("structure_id", "status", "prototype", "is_ood", "probability", "mutual_information")
    arise = {case: row for case, (row, _, _) in AGREEMENT.items()}
    diffraction = {case: row for case, (_, row, _) in AGREEMENT.items()}
    with duckdb.connect() as opened:
        for model, cases in {"arise": arise, "diffraction": diffraction}.items():
            rows = [
                dict(zip(columns, (case, *row, 0.9, 0.1), strict=True)) for case, row in cases.items() if row
            ]
            opened.register(f"predictions_{model}", pa.Table.from_pylist(rows))
        yield opened


def test_networks_agree_at_what_both_can_say(connection: duckdb.DuckDBPyConnection) -> None:
    add_verdicts(connection, features=None)
    found = dict(connection.sql("SELECT structure_id, agree FROM verdicts").fetchall())
    assert found == {case: expected for case, (*_, expected) in AGREEMENT.items()}


def test_the_classes_that_both_networks_know_are_prototypes_of_arise() -> None:
    of_label = {prototype.label: prototype for prototype in prototypes()}
    assert {name: of_label[label].space_group for label, name in CUBIC_ELEMENTAL.items()} == {
        "fcc": 225,
        "diamond": 227,
        "bcc": 229,
        "sc": 221,
    }
    assert all(len(set(of_label[label].species)) == 1 for label in CUBIC_ELEMENTAL)
