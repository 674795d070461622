"""What holds for every command: help, start-up, wrong input, interruption, queries and status."""

import json
import os
import signal
import subprocess
import sys
import time
from inspect import signature
from pathlib import Path
from typing import get_args, get_type_hints

import duckdb
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from jobs import options
from jobs.cli import app
from tests.jobs.running import CRYSTALS, Answer, crysift

COMMANDS = (
    *("screen", "query", "status", "verify", "ingest", "featurize", "predict", "train", "bench"),
    *("submit", "jobs", "logs", "stop", "spm", "spm-maps", "spm-regions", "spm-profiles", "study"),
    *("map", "report", "serve", "similar", "explain", "tune", "models"),
)
HEAVY = {"torch", "ray", "dask", "distributed", "numba", "pymatgen", "ase", "scipy"}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_with_an_example(command: str) -> None:
    told = CliRunner().invoke(app, [command, "--help"])
    assert told.exit_code == 0
    assert f"crysift {command}" in told.output


def loaded_by(*arguments: str | Path) -> set[str]:
    """Top-level modules that a command has imported when it ends."""
    code = (
        "import sys, json, crysift\n"
        f"sys.argv = {['crysift', *map(str, arguments)]!r}\n"
        "try:\n    crysift.main()\nexcept SystemExit:\n    pass\n"
        "sys.stderr.write(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(ended.stderr.splitlines()[-1]))


def test_help_loads_no_heavy_library() -> None:
    assert not loaded_by("--help") & (HEAVY | {"pandas", "pyarrow", "duckdb"})
    assert not loaded_by("screen", "--help") & (HEAVY | {"pandas", "pyarrow", "duckdb"})


def test_status_and_query_load_neither_torch_nor_clusters_nor_chemistry(
    screened: tuple[Path, Answer],
) -> None:
    assert not loaded_by("status", "--store", screened[0]) & HEAVY
    assert not loaded_by("query", "SELECT 1", "--store", screened[0]) & HEAVY


def test_the_defaults_on_the_command_line_are_those_of_the_settings() -> None:
    from engine.descriptors.diffraction import DiffractionSettings
    from engine.descriptors.soap import SoapSettings
    from engine.validation import StructureLimits
    from jobs.proposals import ProposalSettings
    from jobs.screening import DEFAULT_STORE
    from jobs.stages import networks, stages_of
    from models.stage import PREDICTIONS
    from models.training.arise import AriseTraining
    from models.training.diffraction import DiffractionTraining

    soap, limits = SoapSettings(), StructureLimits()
    assert soap == SoapSettings(
        cutoff=options.CUTOFF, sigma=options.SIGMA, basis=options.BASIS, backend=options.BACKEND
    )
    assert limits == StructureLimits(max_sites=options.MAX_SITES, min_distance=options.MIN_DISTANCE)
    assert DiffractionSettings() == DiffractionSettings(channels=options.CHANNELS, mask=options.MASK)
    given = networks(list(PREDICTIONS), [], passes=options.PASSES, seed=options.SEED, alpha=options.ALPHA)
    assert given == tuple(stages_of(PREDICTIONS).values())
    assert {stage.architecture: stage.weights for stage in given} == options.WEIGHTS
    assert {stage.architecture: stage.source for stage in given} == options.READ_BY
    for network, training in (("arise", AriseTraining()), ("diffraction", DiffractionTraining())):
        optimisation = training.optimisation
        assert (optimisation.epochs, optimisation.seed) == (options.EPOCHS[network], options.TRAINING_SEED)
    assert DEFAULT_STORE == options.DEFAULT_STORE
    dense = ProposalSettings(min_members=options.MIN_MEMBERS, max_classes=options.MAX_CLASSES)
    assert ProposalSettings() == dense


def test_the_words_of_the_command_line_name_the_defaults_of_searches_and_adaptive_passes() -> None:
    from jobs.commands.tune import tune
    from jobs.tune.run import EPOCHS, QUICK_EPOCHS, TuningSettings
    from jobs.tune.search import SearchSettings
    from models.adaptive import AdaptivePasses

    given = {name: parameter.default for name, parameter in signature(tune).parameters.items()}
    searching, tuning, adaptive = SearchSettings(), TuningSettings(), AdaptivePasses()
    assert (given["trials"], given["workers"], given["seed"]) == (
        searching.trials,
        searching.workers,
        searching.seed,
    )
    assert (given["best"], given["passes"]) == (tuning.best, tuning.passes)
    (words,) = (
        each.show_default for each in get_args(get_type_hints(tune, include_extras=True)["epochs"])[1:]
    )
    assert words == f"{EPOCHS}, quick: {QUICK_EPOCHS}"
    assert tuning.training.optimisation.epochs == EPOCHS
    (passes,) = get_args(options.Passes)[1:]
    assert f"adaptive: {adaptive.first:,} to {adaptive.most:,}" in passes.help


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["screen"], 2, "Missing argument"),
        (["screen", "nowhere.cif"], 1, "nowhere.cif does not exist"),
        (["screen", "examples:", "--passes", "0"], 2, "--passes"),
        (["screen", "examples:", "--passes", "many"], 2, "'many' is neither"),
        (["screen", "examples:", "--threshold", "0.1"], 1, "decides nothing with --passes 1000"),
        (["screen", "examples:", "--sigma", "9"], 1, "sigma = 9 is outside"),
        (["screen", "examples:", "--basis", "other"], 2, "quip"),
        (["screen", "examples:", "--backend", "dscribe"], 1, "has no radial basis"),
        (["screen", "examples:", "--weights", "nobody"], 1, "there is no model 'nobody'"),
        (["screen", "examples:", "--models", "arise,other"], 1, "there is no network 'other'"),
        (["screen", "examples:", "--no-mask"], 1, "--mask/--no-mask is a setting of features_diffraction"),
        (["screen", "examples:", "--models", "diffraction", "--cutoff", "4"], 1, "--cutoff is a setting of"),
        (["featurize", "--channels", "rgb"], 1, "--channels is a setting of features_diffraction"),
        (["featurize", "--descriptor", "diffraction", "--basis", "quip"], 1, "does not use: leave it out"),
        (["predict", "--model", "diffraction", "--weights", "arise-robust"], 1, "are of the network 'arise'"),
        (["status"], 1, "there is no store"),
        (["featurize"], 1, "there is no store"),
        (["predict"], 1, "there is no store"),
        (["query", "SELECT 1"], 1, "there is no store"),
        (["bench", "nothing"], 1, "there is no benchmark 'nothing'"),
        (["bench", "nothing", "--out", "o"], 1, "there is no benchmark 'nothing'"),
        (["bench", "soap", "--seed", "-1"], 2, "--seed"),
        (["bench", "soap", "--weights", "arise"], 1, "--weights changes nothing in `crysift bench soap`"),
        (["bench", "ood", "--work", "vectors"], 1, "--work: it belongs to --retrain, which is not given"),
        (["bench", "spm", "--source", "x.cif"], 1, "--source changes nothing in `crysift bench spm`"),
        (["bench", "map", "-j", "1"], 1, "--workers/-j changes nothing in `crysift bench map`"),
        (["bench", "accuracy", "--source", "x.cif"], 1, "--source changes nothing"),
        (["bench", "adaptive", "--store", "s", "--source", "x"], 1, "`crysift bench adaptive` with --store"),
        (["train", "other"], 2, "arise"),
        (["train", "arise", "--no-mask"], 1, "`crysift train arise` does not use"),
        (["train", "diffraction", "--basis", "gto"], 1, "`crysift train diffraction` does not use"),
        (["train", "diffraction", "--recipe", "robust"], 1, "it belongs to `crysift train arise`"),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_wrong_input_gets_one_clear_message(
    tmp_path: Path, arguments: list[str], status: int, words: str
) -> None:
    ended = crysift(*arguments, cwd=tmp_path)
    assert ended.status == status
    assert words in ended.err
    assert "Traceback" not in ended.err
    assert not list(tmp_path.iterdir())


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    ended = crysift("screen", "nowhere.cif", "--debug", cwd=tmp_path)
    assert ended.status == 1
    assert "Traceback" in ended.err


def test_an_interrupted_screening_says_how_to_go_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "crysift", "screen", "examples:", "--store", str(tmp_path / "store")]
    running = subprocess.Popen(
        [*command, "--executor", "inline", "--passes", "100000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"COLUMNS": "200"},
    )
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob("store/features_soap-*/part-*")) and time.monotonic() < deadline:
        assert running.poll() is None, running.communicate()
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=120)
    assert running.returncode == 130, err
    assert "run the same command to go on" in err
    assert "Traceback" not in err
    assert not list(tmp_path.glob("store/*/*.tmp"))


def test_query_answers_in_json_csv_and_parquet(screened: tuple[Path, Answer], tmp_path: Path) -> None:
    store = screened[0]
    sql = "SELECT structure_id, nsites, top FROM structures JOIN predictions_arise USING (structure_id)"
    rows = crysift("query", sql, "--store", store, "--json").json()
    assert len(rows) == len(CRYSTALS)
    assert len(rows[0]["top"]) == 5
    assert rows[0]["top"][0].keys() == {"prototype", "probability"}
    written = crysift(
        "query", sql, "--store", store, "--csv", tmp_path / "a.csv", "--parquet", tmp_path / "a.parquet"
    )
    assert written.status == 0, written.err
    assert pq.read_table(tmp_path / "a.parquet").num_rows == len(CRYSTALS)
    assert duckdb.read_csv(str(tmp_path / "a.csv")).count("*").fetchall() == [(len(CRYSTALS),)]


def test_query_has_a_view_per_table_and_per_hashed_table(screened: tuple[Path, Answer]) -> None:
    store = screened[0]
    views = {row["name"] for row in crysift("query", "SHOW TABLES", "--store", store, "--json").json()}
    hashed = {path.name.replace("-", "_") for path in store.glob("*-????????")}
    fixed = {"structures", "structures_history", "rejects"}
    newest = {"features_soap", "predictions_arise", "protostructures", "selection", "novel"}
    assert views == fixed | newest | hashed


def test_query_prints_a_table_and_tells_when_there_is_more(screened: tuple[Path, Answer]) -> None:
    told = crysift("query", "SELECT structure_id FROM structures", "--store", screened[0], "-n", "2")
    assert told.out.count("files:") == 2
    assert "--rows" in told.err


@pytest.mark.parametrize(
    ("sql", "words"),
    [("SELEC 1", "syntax error"), ("SELECT x FROM structures", '"x"'), ("FROM nothing", "The store has")],
)
def test_a_query_that_is_wrong_says_where(screened: tuple[Path, Answer], sql: str, words: str) -> None:
    ended = crysift("query", sql, "--store", screened[0])
    assert ended.status == 1
    assert words in ended.err
    assert "Traceback" not in ended.err


def test_status_counts_rows_failures_and_missing_parts(screened: tuple[Path, Answer]) -> None:
    told = crysift("status", "--store", screened[0], "--json").json()
    tables = {table["table"].partition("-")[0]: table for table in told["tables"]}
    assert tables["structures"]["rows"] == len(CRYSTALS)
    assert tables["rejects"]["rows"] == 2
    for name in ("features_soap", "predictions_arise"):
        assert (tables[name]["rows"], tables[name]["failed"], tables[name]["missing_parts"]) == (
            len(CRYSTALS),
            0,
            0,
        )
    assert told["runs"][0]["finished"] is True
