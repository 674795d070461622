"""A command line as a job: what runs it, in which environment, under which name."""

from __future__ import annotations

import secrets
import shlex
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from jobs.cluster.client import STOP_SECONDS
from jobs.cluster.package import wheel_as_archive, write_archive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.cluster.client import Jobs

INSTALLED, THIS = "installed", "this"
_ENTRY = " -m crysift "


def submit_command(
    jobs: Jobs, identifier: str, arguments: Sequence[str], *, package: str, python: str
) -> None:
    """Start a command of crysift as a job; ``package`` is "this", "installed" or the path of a wheel.

    Raises CrysiftError where the wheel or the cluster does not accept it.
    """
    environment: dict[str, Any] = {
        "env_vars": {
            "CRYSIFT_RAY": "auto",
            "PYTHONSAFEPATH": "1",  # the folder in which the cluster was started hides none of our packages
            "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS),
        }
    }
    with TemporaryDirectory(prefix="crysift-") as folder:
        if package != INSTALLED:
            archive = Path(folder) / "crysift.zip"
            if package == THIS:
                write_archive(archive)
            else:
                wheel_as_archive(Path(package), archive)
            environment["working_dir"] = str(archive)
        jobs.submit(identifier, shlex.join(["exec", python, *shlex.split(_ENTRY), *arguments]), environment)


def new_identifier(command: str) -> str:
    """Return a name for a job that tells the command and the time."""
    return f"{command}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def command_of(entrypoint: str) -> str:
    """Return the command line that a job runs, without what stands before crysift's own words."""
    return entrypoint.partition(_ENTRY)[2] or entrypoint
