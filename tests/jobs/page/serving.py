"""Start `crysift serve` as a process of its own."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest


@dataclass(frozen=True)
class Running:
    """A server at work."""

    process: subprocess.Popen[str]
    url: str

    @property
    def origin(self) -> str:
        return self.url.partition("/?")[0]

    @property
    def token(self) -> str:
        return self.url.partition("token=")[2]

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()

    def get(self, path: str, *, bearer: str | None = None, **headers: str) -> httpx.Response:
        given = {"Authorization": f"Bearer {self.token if bearer is None else bearer}"}
        return httpx.get(self.origin + path, headers={**given, **headers}, timeout=20, trust_env=False)


def start(*arguments: str | Path) -> Running:
    command = [sys.executable, "-m", "crysift", "serve", "--json", "--quiet", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith("}"):
            break
    if not said:
        assert process.stderr is not None
        pytest.fail(process.stderr.read())
    return Running(process, json.loads(said)["url"])
