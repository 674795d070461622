"""`crysift screen` and `from jobs import screen`, with the shipped network on real files."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from engine.errors import CrysiftError
from engine.execution import PartDone, StageFinished
from jobs import ExecutionSettings, ScreenSettings, screen
from jobs.cli import app
from tests.jobs.running import CRYSTALS, Answer, crysift

INLINE = ScreenSettings(execution=ExecutionSettings(executor="inline"))


def test_every_file_becomes_a_prediction_or_a_reject_with_a_reason(screened: tuple[Path, Answer]) -> None:
    summary = screened[1].json()
    assert screened[1].status == 0, screened[1].err
    assert summary["structures"] == summary["predictions"] == len(CRYSTALS)
    assert summary["rejects"] == 2
    assert summary["rows_in"] == len(CRYSTALS) + 2
    assert summary["accounted"] is True
    assert {failure["error_stage"] for failure in summary["failures"]} == {"read", "validate"}
    assert all(failure["example"] for failure in summary["failures"])


def test_known_prototypes_are_recognised(screened: tuple[Path, Answer]) -> None:
    found = {row["structure_id"]: row for row in screened[1].json()["most_out_of_distribution"]}
    for name, prototype in {
        "copper": "fcc",
        "iron": "bcc",
        "magnesium": "hcp",
        "rocksalt": "RockSalt",
    }.items():
        assert prototype.lower() in found[f"files:{name}.extxyz"]["prototype"].lower()
        assert not found[f"files:{name}.extxyz"]["is_ood"]


def test_the_same_command_again_computes_nothing_and_says_the_same(
    screened: tuple[Path, Answer], crystal_files: Path
) -> None:
    store, first = screened
    files = {path: path.stat().st_mtime_ns for path in store.glob("*/part-*.parquet")}
    again = crysift("screen", crystal_files, "--store", store, "--json")
    assert again.json() == first.json()
    assert {path: path.stat().st_mtime_ns for path in store.glob("*/part-*.parquet")} == files


def test_a_screening_that_lost_parts_is_completed_with_identical_files(
    screened: tuple[Path, Answer], crystal_files: Path, tmp_path: Path
) -> None:
    store = Path(shutil.copytree(screened[0], tmp_path / "store"))
    before = {path: path.read_bytes() for path in store.glob("*/part-*.parquet")}
    for path in before:
        if path.parent.name.startswith("predictions_"):
            path.unlink()
    assert crysift("screen", crystal_files, "--store", store, "--quiet").status == 0
    assert {path: path.read_bytes() for path in store.glob("*/part-*.parquet")} == before


def test_adaptive_passes_recognise_the_same_with_fewer_of_them(
    screened: tuple[Path, Answer], crystal_files: Path, tmp_path: Path
) -> None:
    adaptive = ("--passes", "adaptive", "--threshold", "0.1", "--executor", "inline")
    told = CliRunner().invoke(
        app, ["screen", str(crystal_files), "--store", str(tmp_path / "store"), *adaptive, "--json"]
    )
    assert told.exit_code == 0, told.output
    found, fixed = json.loads(told.stdout), screened[1].json()
    assert found["predictions"] == len(CRYSTALS)
    both = [
        {row["structure_id"]: row["prototype"] for row in each["most_out_of_distribution"]}
        for each in (found, fixed)
    ]
    assert both[0] == both[1]
    (table,) = (tmp_path / "store").glob("predictions_arise*")
    assert max(pq.read_table(table)["n_passes"].to_pylist()) < 1000


@pytest.mark.parametrize(
    ("option", "value", "named"), [("--passes", "10", "passes: 1000"), ("--seed", "7", "seed: 0")]
)
def test_other_settings_are_refused_by_name(
    screened: tuple[Path, Answer], crystal_files: Path, option: str, value: str, named: str
) -> None:
    refused = crysift("screen", crystal_files, "--store", screened[0], option, value)
    assert refused.status == 1
    assert f"{named} in the store, {value} asked" in refused.err
    assert "--add-table" in refused.err
    assert "Traceback" not in refused.err


def test_other_settings_are_kept_beside_with_add_table(
    screened: tuple[Path, Answer], crystal_files: Path, tmp_path: Path
) -> None:
    store = Path(shutil.copytree(screened[0], tmp_path / "store"))
    both = crysift("screen", crystal_files, "--store", store, "--passes", "10", "--add-table", "--quiet")
    assert both.status == 0, both.err
    assert len(list(store.glob("predictions_arise-*"))) == 2
    assert len(list(store.glob("features_soap-*"))) == 1


def test_a_descriptor_that_the_network_does_not_read_is_refused_before_any_work(
    crystal_files: Path, tmp_path: Path
) -> None:
    refused = crysift("screen", crystal_files, "--store", tmp_path / "store", "--cutoff", "5")
    assert refused.status == 1
    assert "cutoff" in refused.err
    assert not (tmp_path / "store").exists()


def test_the_report_for_a_person_names_structures_counts_and_tables(
    screened: tuple[Path, Answer], crystal_files: Path
) -> None:
    told = crysift("screen", crystal_files, "--store", screened[0])
    assert "files:rocksalt.extxyz" in told.out
    assert "6 in = 4 predictions + 2 rejects" in told.out
    assert "predictions_arise-" in told.out
    assert "features_soap: all 4 rows done before" in told.err


def test_quiet_says_nothing(screened: tuple[Path, Answer], crystal_files: Path) -> None:
    told = crysift("screen", crystal_files, "--store", screened[0], "--quiet")
    assert (told.status, told.out, told.err) == (0, "", "")


def test_the_steps_one_by_one_make_the_same_tables_as_screen(
    screened: tuple[Path, Answer], crystal_files: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    for command in (["ingest", crystal_files], ["featurize"], ["predict"]):
        done = crysift(*command, "--store", store, "--quiet")
        assert done.status == 0, done.err
    for table in ("features_soap-*", "predictions_arise-*"):
        theirs = {
            path.relative_to(screened[0]): pq.read_table(path) for path in screened[0].glob(f"{table}/*")
        }
        assert {path.relative_to(store): pq.read_table(path) for path in store.glob(f"{table}/*")} == theirs


def test_python_gives_arrow_tables_and_events(crystal_files: Path, tmp_path: Path) -> None:
    events: list[object] = []
    result = screen(crystal_files, tmp_path / "store", INLINE, events.append)
    predictions = result.predictions()
    assert predictions.num_rows == result.summary["predictions"] == len(CRYSTALS)
    assert pc.all(pc.equal(predictions["status"], "ok")).as_py()
    assert result.predictions(["structure_id"]).column_names == ["structure_id"]
    strangest = result.most_out_of_distribution(2)
    scores = sorted(predictions["ood_score"].to_pylist(), reverse=True)
    assert strangest["ood_score"].to_pylist() == scores[:2]
    assert sum(event.rows for event in events if isinstance(event, PartDone)) == 3 * len(CRYSTALS)
    assert sum(isinstance(event, StageFinished) for event in events) == 3
    assert result.selection().num_rows == len(CRYSTALS)
    assert result.novel(1).num_rows == min(1, result.summary["selection"]["novel"])


def test_results_cover_the_sources_asked_for_and_not_the_whole_store(
    crystal_files: Path, tmp_path: Path
) -> None:
    screen(crystal_files / "copper.extxyz", tmp_path / "store", INLINE)
    second = screen([crystal_files / "iron.extxyz"], tmp_path / "store", INLINE)
    assert second.predictions()["structure_id"].to_pylist() == ["files:iron.extxyz"]
    assert second.summary["rows_in"] == 1


def test_python_raises_what_the_user_can_mend(tmp_path: Path) -> None:
    with pytest.raises(CrysiftError, match="does not exist"):
        screen(tmp_path / "nowhere.cif", tmp_path / "store")


def test_a_source_of_rejects_only_ends_with_their_reasons(crystal_files: Path, tmp_path: Path) -> None:
    told = crysift("screen", crystal_files / "broken.cif", "--store", tmp_path / "store")
    assert told.status == 0, told.err
    assert "1 in = 0 predictions + 1 rejects" in told.out
    assert "broken.cif" in told.out


def test_a_report_asks_on_about_its_own_table_beside_a_newer_one(
    screened: tuple[Path, Answer], crystal_files: Path, tmp_path: Path
) -> None:
    store = Path(shutil.copytree(screened[0], tmp_path / "store"))
    own = next(store.glob("predictions_arise-*")).name.replace("-", "_")
    crysift("screen", crystal_files, "--store", store, "--passes", "10", "--add-table", "--quiet")
    assert f"FROM {own}" in crysift("screen", crystal_files, "--store", store).out


def test_a_script_without_a_main_guard_is_told_what_it_lacks(crystal_files: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"from jobs import screen\n\nscreen({str(crystal_files)!r}, 'store')\n")
    ended = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=120
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("engine.errors.CrysiftError")
    assert 'if __name__ == "__main__":' in ended.stderr.splitlines()[-1]
