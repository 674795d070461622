"""The benchmark of adaptive passes: what it measures, and which vectors of a store it takes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.errors import CrysiftError
from jobs.bench import adaptive
from jobs.cli import app
from models.adaptive import AdaptivePasses
from tests.jobs.running import CRYSTALS, Answer


@pytest.mark.slow
def test_five_structures_take_fewer_passes_and_are_decided_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adaptive, "QUICK_COUNT", 5)
    told = CliRunner().invoke(app, ["bench", "adaptive", "--quick", "--json"])
    assert told.exit_code == 0, told.output
    figures = {figure["name"]: figure["value"] for figure in json.loads(told.stdout)["figures"]}
    passes, limits = figures["adaptive: passes per structure"], AdaptivePasses()
    assert limits.first <= passes < limits.most
    assert figures["fixed / adaptive: passes"] == pytest.approx(limits.most / passes)
    assert figures["adaptive: of another class"] == 0.0
    assert "5 structures from examples:" in json.loads(told.stdout)["remarks"][0]


def test_vectors_of_a_store_are_measured_on(screened: tuple[Path, Answer]) -> None:
    assert adaptive.stored_vectors(str(screened[0]), 3, seed=0).shape == (3, 316)
    assert len(adaptive.stored_vectors(str(screened[0]), 100, seed=0)) == len(CRYSTALS)


def test_vectors_that_the_model_does_not_read_are_refused(crystal_files: Path, tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    for command in (
        ["ingest", str(crystal_files / "copper.extxyz")],
        ["featurize", "--sigma", "0.2", "--executor", "inline"],
    ):
        told = CliRunner().invoke(app, [*command, "--store", store])
        assert told.exit_code == 0, told.output
    with pytest.raises(CrysiftError, match=r"reads other .*sigma: 0\.2 in features_soap"):
        adaptive.stored_vectors(store, 3, seed=0)
