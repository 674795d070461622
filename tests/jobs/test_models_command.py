"""`crysift models` and `crysift tune` say what they need, and what a user can do."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import h5py
import pytest
from typer.testing import CliRunner

from jobs.cli import app
from models.stage import PredictArise


def test_models_are_listed_as_json_with_the_default_marked() -> None:
    told = CliRunner().invoke(app, ["models", "list", "--json"])
    assert told.exit_code == 0
    models = json.loads(told.stdout)["models"]
    (default,) = (each for each in models if each["default"] and each["architecture"] == "arise")
    assert default["name"] == PredictArise.weights
    assert default["classes"] == 108


def test_names_and_errors_of_models_are_shown_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine[bold]").mkdir()
    (tmp_path / "mine[bold]" / "model.safetensors").write_bytes(b"[/bold] is no model")
    monkeypatch.setenv("CRYSIFT_MODELS", str(tmp_path))
    told = CliRunner().invoke(app, ["models", "list"])
    assert told.exit_code == 0, told.output
    (row,) = (line for line in told.stdout.splitlines() if line.startswith("mine"))
    assert row.startswith("mine[bold]")
    assert "unusable" in row


def test_a_file_of_another_network_is_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "other.h5"
    with h5py.File(file, "w") as opened:
        opened.attrs["layer_names"] = [b"dense_1"]
        opened.create_group("dense_1").attrs["weight_names"] = [b"dense_1/kernel:0", b"dense_1/bias:0"]
    told = CliRunner().invoke(app, ["models", "import-keras", str(file), "-o", str(tmp_path / "model")])
    assert told.exit_code == 1
    assert "1 layers with weights (dense_1), the network has 4 (316 → 256 → 512 → 256 → 108)" in told.stderr
    assert not (tmp_path / "model").exists()


def test_a_search_without_its_packages_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec

    def without_optuna(name: str, package: str | None = None) -> Any:
        return None if name == "optuna" else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without_optuna)
    told = CliRunner().invoke(app, ["tune", "arise", "--search", str(tmp_path / "search")])
    assert told.exit_code == 1
    assert "a search needs optuna" in told.stderr
    assert "pip install 'crysift[tune]'" in told.stderr
    assert not (tmp_path / "search").exists()
