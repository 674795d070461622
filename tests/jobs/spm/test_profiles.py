"""Profiles through a particle and differences between frames, on fields and structures made for it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from typer.testing import CliRunner

from engine.errors import CrysiftError
from engine.spm import GridSettings
from engine.store import Store
from jobs.cli import app
from jobs.spm.pipeline import run_spm
from jobs.spm.profiles import ProfileSettings, masses_of, profile, reference_frames
from tests.jobs.spm.crystals import INLINE, request
from tests.jobs.spm.fields import BCC, FCC, field_of, grid_of


def test_shells_average_their_boxes_and_add_up() -> None:
    field = field_of(grid_of(5, 4, 3))
    distances = np.random.default_rng(0).uniform(-4.0, 9.0, (5, 4, 3))
    shells = profile(field, 0, distances, 2.5)
    known = field.classified[0]
    values = field.mutual_information[0]
    assert sum(shell.boxes for shell in shells) == known.sum() == 59
    assert shells[0].lower == -5.0
    for shell in shells:
        inside = known & (distances >= shell.lower) & (distances < shell.upper)
        before = known & (distances < shell.upper)
        assert shell.boxes == inside.sum()
        assert shell.mean == pytest.approx(values[inside].mean(), rel=1e-5)
        assert shell.std == pytest.approx(values[inside].std(), rel=1e-4)
        assert shell.cumulative_mean == pytest.approx(values[before].mean(), rel=1e-5)
        assert shell.cumulative_share == pytest.approx(values[before].sum() / values[known].sum(), rel=1e-5)
        assert shell.shares == {
            FCC: pytest.approx((field.prototype[0][inside] == 0).mean()),
            BCC: pytest.approx((field.prototype[0][inside] == 1).mean()),
        }
    assert shells[-1].cumulative_share == pytest.approx(1.0)


def test_frames_are_compared_with_the_first_or_the_one_before() -> None:
    assert reference_frames(4, "first") == [(1, 0), (2, 0), (3, 0)]
    assert reference_frames(4, "previous") == [(1, 0), (2, 1), (3, 2)]
    assert reference_frames(1, "first") == []


def test_lengths_that_make_no_sense_are_refused() -> None:
    with pytest.raises(CrysiftError, match="shells is 0 Å"):
        ProfileSettings(width=0.0)
    with pytest.raises(CrysiftError, match="probe is -1 Å"):
        ProfileSettings(probe=-1.0)


def test_labels_that_are_no_elements_weigh_the_same() -> None:
    assert masses_of(("Fe", "Pt"))["Pt"] == pytest.approx(195.08, abs=0.01)
    assert masses_of(("Fe", "large")) == {"Fe": 1.0, "large": 1.0}


def test_what_melted_between_two_frames_is_found_where_it_melted(tmp_path: Path) -> None:
    crystal = bulk("Cu", cubic=True) * (12, 3, 3)
    molten = crystal.copy()
    shaken = np.random.default_rng(0).normal(scale=0.5, size=(len(crystal), 3))
    molten.positions += shaken * (molten.positions[:, :1] > 22.0)
    store = tmp_path / "store"
    grid = GridSettings(stride=(4.0, 4.0, 4.0), box=10.0, axes="1")
    run_spm(Store.open(store, create=True), request(crystal, molten, name="melt", grid=grid), INLINE)
    out = tmp_path / "out"
    asked = ["--from", "surface", "--out", str(out), "--json"]
    answer = CliRunner().invoke(app, ["spm-profiles", "--store", str(store), *asked])
    assert answer.exit_code == 0, answer.stderr
    summary = json.loads(answer.stdout)
    names = {"profiles.csv", "profiles.png", "classes.png", "change-00001.png"}
    assert {Path(file).name for file in summary["files"]} == names == {file.name for file in out.iterdir()}
    [change] = summary["changes"]
    assert change["mean_change"] > 0.05
    table = Store.open(store).latest("spm_changes").scan().to_table()
    x = np.array(table["center"].to_pylist())[:, 0]
    moved = table["mutual_information_change"].to_numpy()
    assert len(table) == change["boxes"]
    assert np.abs(moved[x < 17.0]).max() < 1e-3, "what did not move has not changed"
    assert moved[(x > 27.0) & (x < 38.0)].min() > 0.05
    before = np.array(table["prototype_before"].to_pylist())
    assert set(before[(x > 6.0) & (x < 38.0)]) == {FCC}
    with (out / "profiles.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    stored = Store.open(store).latest("spm_profiles").scan().to_table()
    assert len(rows) == len(stored)
    assert {row["frame"] for row in rows} == {"0", "1"}
    classified = [frame["classified"] for frame in summary["frames"]]
    assert [sum(int(r["boxes"]) for r in rows if r["frame"] == str(f)) for f in (0, 1)] == classified
