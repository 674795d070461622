"""Run the command line as a user does: in a process of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase.build import bulk

CRYSTALS = {
    "copper": bulk("Cu"),
    "iron": bulk("Fe"),
    "magnesium": bulk("Mg"),
    "rocksalt": bulk("NaCl", "rocksalt", a=5.64),
}
"""What the folder of the tests holds, beside one file with a clash of atoms and one that is no CIF."""


@dataclass(frozen=True)
class Answer:
    """What a command line said and how it ended."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def crysift(*arguments: str | Path, cwd: Path | None = None) -> Answer:
    """Run the command line in a process of its own."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("CRYSIFT_STORE", "COLUMNS")
    }
    ended = subprocess.run(
        [sys.executable, "-m", "crysift", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=environment,
    )
    return Answer(ended.returncode, ended.stdout, ended.stderr)
