"""Scripts and commands of deploy/: clean to the linters, and understood by crysift."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.execution.dask_settings import SETTINGS
from tests.deploy.files import DEPLOY, code_blocks, parse_crysift, settings

SCRIPTS = [DEPLOY / "install.sh", DEPLOY / "slurm" / "crysift.sbatch"]


def linter(name: str) -> str:
    """Return a linter's path; the test is skipped where it is not installed."""
    path = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed (pip install '.[dev]')")
    return path


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    command = [linter("shellcheck"), "--external-sources", f"--source-path={DEPLOY.parent}", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_hadolint_finds_nothing() -> None:
    command = [linter("hadolint"), str(DEPLOY / "Dockerfile")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_environment_file_is_read_alike_by_all() -> None:
    """Docker and Kubernetes take values literally; a shell gives the same where nothing needs quoting."""
    assert settings()
    for name, value in settings().items():
        assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)
        assert re.fullmatch(r"[A-Za-z0-9_.:/-]+", value)


def test_dask_is_set_as_crysift_sets_it() -> None:
    ours = {
        f"DASK_{key.upper().replace('.', '__').replace('-', '_')}": str(value)
        for key, value in SETTINGS.items()
    }
    assert {name: value for name, value in settings().items() if name.startswith("DASK_")} == ours


def test_the_commands_of_the_readme_are_crysifts() -> None:
    shown = code_blocks(DEPLOY / "README.md")
    commands = [line for line in shown if line.startswith("crysift ")]
    batches = [line for line in shown if line.startswith("sbatch ")]
    assert commands
    assert batches
    for line in commands:
        parse_crysift(shlex.split(line)[1:])
    for line in batches:
        words = shlex.split(line)
        parse_crysift(words[words.index("deploy/slurm/crysift.sbatch") + 1 :])


def test_a_wrong_command_would_be_noticed() -> None:
    with pytest.raises(Exception, match="No such option: --stroe"):
        parse_crysift(["screen", "mp:", "--stroe", "x"])
