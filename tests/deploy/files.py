"""The files in deploy/, and what they must agree with."""

import re
import tomllib
from pathlib import Path
from typing import Any

import typer
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKED = dict(
    line.split("==", 1)
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if "==" in line and not line.startswith("#")
)


def documents(file: Path) -> list[Any]:
    """Return what a YAML file holds."""
    return list(yaml.safe_load_all(file.read_text()))


def settings() -> dict[str, str]:
    """Return the variables of cluster.env."""
    lines = (DEPLOY / "cluster.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def code_blocks(file: Path) -> list[str]:
    """Return the commands shown in a Markdown file, one a line, without comments."""
    blocks = re.findall(r"```bash\n(.*?)```", file.read_text(), flags=re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


def parse_crysift(words: list[str]) -> None:
    """Parse a crysift command line without running it; a wrong one raises click's UsageError."""
    from jobs.cli import app

    group: Any = typer.main.get_command(app)
    context = group.context_class(group, info_name="crysift")
    name, command, rest = group.resolve_command(context, words)
    parsed = command.make_context(name, list(rest), parent=context)
    if name == "submit":
        parse_crysift(list(parsed.params["command"]))
