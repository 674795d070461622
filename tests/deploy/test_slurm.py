"""The SLURM script, run by a real SLURM on nodes with addresses of their own."""

import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from ase.build import bulk

from tests.deploy.slurm_cluster import Slurm, slurm

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy" / "slurm" / "crysift.sbatch"
RAY = str(Path(sys.executable).with_name("ray"))
STRUCTURES = 24
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "NODE_FAIL", "TIMEOUT"}

pytestmark = [pytest.mark.slow, pytest.mark.integration]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Slurm]:
    with slurm(nodes=2) as cluster:
        yield cluster


@pytest.fixture
def shared(cluster: Slurm, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that all nodes see, with crystals in it."""
    environment = Path(sys.executable).parent
    monkeypatch.setenv("CRYSIFT_HOME", str(ROOT))
    monkeypatch.setenv("PATH", f"{environment}:{os.environ['PATH']}")
    shared = cluster.folder / "shared"
    (shared / "cif").mkdir(exist_ok=True)
    for index in range(STRUCTURES):
        bulk("NaCl", "rocksalt", 5.5 + 0.01 * index).write(shared / "cif" / f"{index}.cif")
    return shared


def submit(cluster: Slurm, shared: Path, *words: str) -> str:
    return cluster.run("sbatch", "--parsable", *words, cwd=shared)


def wait_for_text(file: Path, text: str, seconds: float = 240.0) -> str:
    end = time.monotonic() + seconds
    while text not in (content := file.read_text() if file.exists() else ""):
        assert time.monotonic() < end, f"no {text!r} in {file.name}: {content}"
        time.sleep(0.5)
    return content


def everything(shared: Path) -> str:
    return "\n".join(f"{log.name}: {log.read_text()[-8000:]}" for log in shared.glob("*.log"))


def ray_status(cluster: Slurm, address: str, token: Path | None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"RAY_AUTH_MODE": "token" if token else "disabled"}
    if token:
        environment["RAY_AUTH_TOKEN_PATH"] = str(token)
    command = cluster.login.command(RAY, "status", "--address", address)
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def wait_for_nodes(cluster: Slurm, address: str, token: Path, nodes: int) -> None:
    end = time.monotonic() + 120
    while (status := ray_status(cluster, address, token)).stdout.count("node_") < nodes:
        assert time.monotonic() < end, f"not {nodes} nodes: {status.stdout}{status.stderr}"
        time.sleep(1)


def test_slurm_accepts_the_script(cluster: Slurm, shared: Path) -> None:
    cluster.run("sbatch", "--test-only", str(SCRIPT), "screen", "examples:", cwd=shared)


def test_a_screening_spans_the_nodes_and_goes_on_after_the_time_was_up(cluster: Slurm, shared: Path) -> None:
    store, cif = shared / "store", shared / "cif"
    job = submit(cluster, shared, str(SCRIPT), "screen", str(cif), "--store", str(store), "--passes", "20")
    log = shared / f"crysift-{job}.log"
    address = wait_for_text(log, "; its page").partition("Ray: ")[2].split()[0]

    (token,) = shared.glob(".crysift-*/token")
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert stat.S_IMODE(token.parent.stat().st_mode) == 0o700
    wait_for_nodes(cluster, address, token, nodes=2)
    assert ray_status(cluster, address, token=None).returncode != 0

    cluster.run("scancel", "--batch", "--signal=USR1", job)
    cluster.wait_for(job, {"PENDING", *ENDED}, seconds=120)
    assert cluster.state(job) == "PENDING", log.read_text()
    assert not list(shared.glob(".crysift-*")), "the token is still there"

    assert cluster.wait_for(job, ENDED, seconds=400) == "COMPLETED", everything(shared)
    (predictions,) = store.glob("predictions_arise-*")
    statuses = ds.dataset(predictions, format="parquet").to_table(["status"])["status"].to_pylist()
    assert statuses == ["ok"] * STRUCTURES
    assert not list(shared.glob(".crysift-*"))
    assert cluster.run("srun", "--nodes=2", "ls", str(cluster.local)) == ""


def test_a_command_that_fails_fails_the_job_with_its_status(cluster: Slurm, shared: Path) -> None:
    job = submit(cluster, shared, str(SCRIPT), "screen", str(shared / "nowhere"))
    assert cluster.wait_for(job, ENDED, seconds=240) == "FAILED"
    assert "nowhere" in (shared / f"crysift-{job}.log").read_text()
    assert not list(shared.glob(".crysift-*"))


def test_a_cancelled_job_leaves_nothing_behind(cluster: Slurm, shared: Path) -> None:
    job = submit(cluster, shared, str(SCRIPT), "screen", "examples:", "--store", str(shared / "cancelled"))
    wait_for_text(shared / f"crysift-{job}.log", "; its page")
    cluster.run("scancel", job)
    assert cluster.wait_for(job, ENDED, seconds=120) == "CANCELLED"
    assert cluster.run("srun", "--nodes=2", "ls", str(cluster.local)) == ""
    assert not list(shared.glob(".crysift-*"))
