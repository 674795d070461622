"""`crysift spm` as a user runs it."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from typer.testing import CliRunner

from engine.errors import CrysiftError
from engine.spm import Frame, GridSettings
from engine.store import Store
from jobs.cli import app
from jobs.commands.spm import spm
from jobs.spm.forecast import forecast
from jobs.spm.pipeline import SpmRequest, open_spm
from jobs.spm.reading import stride_of
from jobs.spm.refine import Refine
from tests.jobs.running import Answer, crysift
from tests.jobs.spm.crystals import INLINE, bicrystal, request
from tests.servers.ray_head import ray_head

BOXES = ("--stride", "2", "--box", "10", "--axes", "1", "--passes", "20")


def here(*arguments: str | Path) -> Answer:
    """Run the command line in this process, which starts no other."""
    ended = CliRunner().invoke(app, [*map(str, arguments)])
    return Answer(ended.exit_code, ended.stdout, ended.stderr)


@pytest.fixture(scope="module")
def rod_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "rod.xyz"
    write(path, bicrystal(), format="xyz")
    return path


def test_what_it_will_take_is_said_first_and_what_was_found_at_the_end(
    rod_file: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    told = crysift("spm", rod_file, *BOXES, "--classes", "fcc,bcc", "--store", store)
    assert told.status == 0, told.err
    first, cost, memory = told.err.splitlines()[:3]
    assert first.startswith("rod: ")
    assert "× 1 × 1 = " in first
    assert "one every 2 Å" in first
    assert "neighbour pairs" in cost
    assert "GiB for the atoms and the grid" in memory
    for words in ("fcc_Cu_A_cF4_225_a", "bcc_W_A_cI2_229_a", "Mutual information", "0 failed", "spm_grid"):
        assert words in told.out
    again = here("spm", rod_file, *BOXES, "--classes", "fcc,bcc", "--store", store, "--json")
    assert again.status == 0, again.err
    assert "done before" in again.err
    summary = again.json()
    assert summary["boxes"] == summary["classified"] + summary["sparse"] + summary["failed"]
    assert summary["fraction_evaluated"] == 1.0
    requested = open_spm(Store.open(store)).grid.scan(["requested"]).to_table()["requested"][0].as_py()
    assert [each["prototype"] for each in requested] == ["fcc_Cu_A_cF4_225_a", "bcc_W_A_cI2_229_a"]
    asked = here("query", "SELECT count(*) AS n FROM spm_grid", "--store", store, "--json")
    assert asked.json() == [{"n": summary["boxes"]}], asked.err
    status = here("status", "--store", store, "--json").json()
    missing = {table["table"].partition("-")[0]: table["missing_parts"] for table in status["tables"]}
    assert missing == {"spm_atoms": None, "spm_boxes": None, "spm_soap": 0, "spm_grid": 0}
    verified = here("verify", "--store", store)
    assert verified.status == 0, verified.out + verified.err


def test_a_refined_map_of_adaptive_passes_has_both_halves(rod_file: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    asked = ("--stride", "1", "--box", "10", "--axes", "1", "--passes", "adaptive", "--executor", "inline")
    told = here("spm", rod_file, *asked, "--refine", "--store", store, "--json")
    assert told.status == 0, told.err
    assert told.json()["fraction_evaluated"] < 1.0
    rows = here("query", "SELECT prototype, n_passes FROM spm_grid", "--store", store, "--json").json()
    assert {"fcc_Cu_A_cF4_225_a", "bcc_W_A_cI2_229_a"} <= {row["prototype"] for row in rows}
    passes = [row["n_passes"] for row in rows if row["n_passes"]]
    assert min(passes) == 32
    assert max(passes) <= 1000


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--stride", "0"], "the stride along x is 0 Å: give a length above 0"),
        (["--stride", "1,2"], "--stride '1,2' is not understood"),
        (["--box", "100"], "a box of 100 Å is larger than the structure, which measures"),
        (["--padding", "-1"], "the padding is -1 boxes"),
        (["--classes", "fcd"], "knows no prototype 'fcd'"),
        (["--refine", "--refine-step", "3"], "every 3th box cannot be halved"),
        (["--format", "sif"], "format 'sif' is not known"),
        (["--weights", "diffraction-single"], "is of the architecture 'diffraction'"),
        (["--species", "Xx=Fe,Fe=Xx"], "which is not the symbol of an element"),
        (
            ["--stride", "0.01", "--axes", "3"],
            "are more than 2,147,483,648: take a stride larger than 0.01 Å",
        ),
    ],
)
def test_what_cannot_be_done_is_said_before_a_store_is_made(
    options: list[str], words: str, rod_file: Path, tmp_path: Path
) -> None:
    told = here("spm", rod_file, "--store", tmp_path / "store", *options)
    assert told.status == 1
    assert words in told.err
    assert "Traceback" not in told.err
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.xyz", "", "empty.xyz has no atoms"),
        ("none.extxyz", "0\nnothing\n", "has no atoms"),
        ("dump.types", "ITEM: NUMBER OF ATOMS\n1\nITEM: ATOMS type x y z\n1 0 0 0\n", "--species 1=Ni,2=Al"),
    ],
)
def test_a_file_without_atoms_or_elements_is_refused(
    name: str, content: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    told = here("spm", tmp_path / name, "--store", tmp_path / "store")
    assert (told.status, told.out) == (1, "")
    assert words in told.err
    assert not (tmp_path / "store").exists()


def test_defaults_of_the_options_are_those_of_the_settings() -> None:
    given = {name: parameter.default for name, parameter in signature(spm).parameters.items()}
    stride = stride_of(given["stride"])
    boxes = [given[name] for name in ("box", "shape", "axes", "padding", "min_atoms")]
    assert GridSettings(stride, *boxes) == GridSettings()
    assert Refine(*(given[f"refine_{name}"] for name in ("step", "uncertainty", "contrast"))) == Refine()
    plain = SpmRequest(name="any", frames=[])
    shared = ("mode", "passes", "seed", "alpha", "weights", "device")
    assert [given[name] for name in shared] == [getattr(plain, name) for name in shared]


def test_paths_of_a_job_are_those_of_the_cluster() -> None:
    command = ["submit", "--address", "http://127.0.0.1:1", "--", "spm"]
    relative = here(*command, "rod.xyz", "--store", "/s")
    assert relative.status == 1
    assert "the source 'rod.xyz' is relative" in relative.err
    sent = here(*command, "/rod.xyz", "--store", "/s")
    assert "no Ray dashboard answers at http://127.0.0.1:1" in sent.err


def test_ten_million_atoms_are_forecast_and_refused_where_memory_is_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = request(bulk("Ni", a=3.52, cubic=True) * (8, 8, 8))
    expected = forecast(asked, INLINE)
    assert expected.seconds > 0
    assert expected.boxes == expected.occupied
    [frame] = asked.frames
    many = Frame(np.resize(frame.positions, (10_000_000, 3)), np.zeros(10_000_000, np.uint8), ("Ni",))
    monkeypatch.setattr("engine.execution.capacity.available_memory", lambda: 2**29)
    with pytest.raises(
        CrysiftError, match=r"10,000,000 atoms and .* need about 1\.0 GiB .*, and 0\.5 GiB are"
    ):
        forecast(replace(asked, frames=[many]), INLINE)


def _start(file: Path, store: Path) -> "subprocess.Popen[bytes]":
    options: tuple[str | Path, ...] = (
        "--stride",
        "1",
        "--box",
        "10",
        "--passes",
        "50",
        "--executor",
        "cluster",
        "--quiet",
    )
    command = [sys.executable, "-m", "crysift", "spm", file, *options, "--store", store]
    return subprocess.Popen(command, start_new_session=True)


@pytest.mark.slow
@pytest.mark.integration
def test_a_killed_run_ends_with_the_parts_of_one_that_was_not(tmp_path: Path) -> None:
    file = tmp_path / "block.xyz"
    write(file, bicrystal(40.0, 20.0), format="xyz")
    assert _start(file, tmp_path / "whole").wait() == 0
    killed = 0
    for stage in ("spm_soap", "spm_grid"):
        driver = _start(file, tmp_path / "killed")
        try:
            while driver.poll() is None and not list((tmp_path / "killed").glob(f"{stage}-*/part-*.parquet")):
                time.sleep(0.05)
            killed += driver.poll() is None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(driver.pid, signal.SIGKILL)
            driver.wait()
    assert killed == 2
    assert _start(file, tmp_path / "killed").wait() == 0
    for stage in ("spm_atoms", "spm_boxes", "spm_soap", "spm_grid"):
        of_both = [sorted((tmp_path / name).glob(f"{stage}-*/part-*")) for name in ("whole", "killed")]
        assert [path.name for path in of_both[0]] == [path.name for path in of_both[1]]
        for one, other in zip(*of_both, strict=True):
            assert one.read_bytes() == other.read_bytes()


@pytest.mark.slow
@pytest.mark.integration
def test_it_runs_as_a_job_on_a_ray_cluster(rod_file: Path, tmp_path: Path) -> None:
    with ray_head(tmp_path) as head:
        command: list[str | Path] = ["spm", rod_file, *BOXES, "--store", tmp_path / "store", "--json"]
        options = ["--address", head.url, "--unauthenticated", "--python", sys.executable]
        ended = crysift("submit", *options, "--", *command, cwd=tmp_path)
    assert ended.status == 0, ended.out + ended.err
    assert ended.json()["classified"] > 20
