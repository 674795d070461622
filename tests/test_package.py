"""The installed distribution: its packages, and what happens when others of the same name are in the way."""

import os
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

import crysift

ROOT = Path(__file__).parents[1]


def run_python(code: str, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, with another folder on PYTHONPATH."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


START = "import sys; sys.argv = ['crysift', '--version']; import crysift; crysift.main()"


def test_the_version_is_the_one_in_pyproject(tmp_path: Path) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    started = run_python(START, tmp_path)
    assert version("crysift") == declared
    assert started.stdout == f"crysift {declared}\n"


def test_the_console_command_starts_where_shadowing_is_checked() -> None:
    (command,) = entry_points(group="console_scripts", name="crysift")
    assert command.value == "crysift:main"


@pytest.mark.parametrize("name", crysift.PACKAGES)
@pytest.mark.parametrize("kind", ["package", "plain folder", "module"])
def test_a_foreign_package_on_the_path_is_named_with_the_way_out(
    tmp_path: Path, name: str, kind: str
) -> None:
    foreign = tmp_path / "theirs"
    foreign.mkdir()
    place = foreign / name
    if kind == "module":
        place = foreign / f"{name}.py"
        place.write_text("raise RuntimeError('a foreign module was run')\n")
    else:
        place.mkdir()
        if kind == "package":
            (place / "__init__.py").write_text("raise RuntimeError('a foreign package was run')\n")
        else:
            (place / "mine.py").write_text("")

    started = run_python(START, tmp_path, path=foreign)

    assert started.returncode == 1
    assert f"'{name}' is found in {place}" in started.stderr
    assert "PYTHONPATH" in started.stderr
    assert "Traceback" not in started.stderr


def test_the_python_interface_names_a_foreign_package_in_the_working_folder(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("")
    started = run_python("from jobs import screen", tmp_path)
    assert "ForeignPackageError" in started.stderr
    assert str(tmp_path / "models") in started.stderr


def test_our_own_packages_pass_the_check() -> None:
    crysift.check_packages()


def test_every_package_is_declared_typed() -> None:
    for name in crysift.PACKAGES:
        assert (ROOT / name / "py.typed").is_file(), f"{name}/py.typed is missing"
