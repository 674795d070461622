"""A SLURM cluster on this machine: a controller and nodes with addresses, names and disks of their own."""

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clusters.network import Host, network

DAEMONS = ("munged", "slurmctld", "slurmd")
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Slurm:
    """The cluster's folder, which all hosts see, and the host on which jobs are submitted."""

    folder: Path
    login: Host

    @property
    def local(self) -> Path:
        """Each node's own disk: another one on each of them, under one name."""
        return self.folder / "local"

    def run(self, *words: str, cwd: Path | None = None) -> str:
        """Return what one of SLURM's commands prints."""
        environment = {"SLURM_CONF": str(self.folder / "slurm.conf"), "CRYSIFT_LOCAL": str(self.local)}
        done = subprocess.run(
            self.login.command(*words),
            cwd=cwd or self.folder,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def state(self, job: str) -> str:
        """Return the state of a job: PENDING, RUNNING, COMPLETED…"""
        described = self.run("scontrol", "show", "job", job)
        return described.partition("JobState=")[2].split()[0]

    def wait_for(self, job: str, states: set[str], seconds: float) -> str:
        """Wait until the job is in one of the states; fails when it is not in time."""
        end = time.monotonic() + seconds
        while (state := self.state(job)) not in states:
            assert time.monotonic() < end, f"job {job} is {state} after {seconds:.0f} s, not {states}"
            time.sleep(0.5)
        return state


@contextmanager
def slurm(nodes: int) -> Iterator[Slurm]:
    """Start controller and nodes; skips the test where SLURM is not installed."""
    missing = [daemon for daemon in DAEMONS if _daemon(daemon) is None]
    if missing:
        pytest.skip(f"SLURM is not installed ({', '.join(missing)} not found; Debian: slurm-wlm, munge)")
    folder = Path(tempfile.mkdtemp(prefix="slurm", dir="/var/tmp"))  # short: sockets
    try:
        with network(nodes + 1) as hosts, ExitStack() as daemons:
            login, *others = hosts.hosts
            _configure(folder, login, others)
            daemons.enter_context(_started(_munged(folder), folder))
            names = ["login", *(f"node{index + 1}" for index in range(nodes))]
            for name, host in zip(names, hosts.hosts, strict=True):
                daemon = "slurmctld" if name == "login" else "slurmd"
                command = host.command(*_on_own_machine(name, folder), str(_daemon(daemon)), "-D")
                daemons.enter_context(_started(command, folder))
            cluster = Slurm(folder, login)
            _wait_for_nodes(cluster, nodes)
            yield cluster
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _daemon(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def _configure(folder: Path, login: Host, nodes: list[Host]) -> None:
    (folder / "munge.key").write_bytes(secrets.token_bytes(128))
    (folder / "munge.key").chmod(0o600)
    for name in ("state", "local", "shared"):
        (folder / name).mkdir()
    lines = [
        "ClusterName=test",
        f"SlurmctldHost=login({login.address})",
        "SlurmUser=root",
        f"AuthInfo=socket={folder}/munge.socket,cred_expire=10",  # a job is queued again after that time
        f"StateSaveLocation={folder}/state",
        f"SlurmctldPidFile={folder}/slurmctld.pid",
        f"SlurmctldLogFile={folder}/slurmctld.log",
        f"SlurmdPidFile={folder}/%n.pid",
        f"SlurmdLogFile={folder}/%n.log",
        f"SlurmdSpoolDir={folder}/%n.spool",
        "SlurmdParameters=config_overrides",
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_Core",
        "MpiDefault=none",
        "ReturnToService=2",
        "KillWait=60",  # a cancelled job's seconds to clean up, on a machine with other work
        *(
            f"NodeName=node{index} NodeAddr={host.address} CPUs=1 RealMemory=4000"
            for index, host in enumerate(nodes, 1)
        ),
        "PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP",
    ]
    (folder / "slurm.conf").write_text("\n".join(lines) + "\n")
    # Without limits by control groups; version 1 does not look for their file system then.
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")


def _munged(folder: Path) -> list[str]:
    files = ("key-file", "munge.key"), ("socket", "munge.socket"), ("pid-file", "munge.pid")
    more = ("log-file", "munge.log"), ("seed-file", "munge.seed")
    named = [f"--{option}={folder / name}" for option, name in (*files, *more)]
    return [str(_daemon("munged")), "--foreground", "--force", *named]


def _on_own_machine(name: str, folder: Path) -> list[str]:
    """The start of a command that runs with a host name, a disk and a shared memory of its own."""
    script = (
        f"hostname {name}; mount -t tmpfs tmpfs {folder}/local; mount -t tmpfs tmpfs /dev/shm; "
        f'export SLURM_CONF={folder}/slurm.conf; exec "$@"'
    )
    return ["unshare", "--uts", "--mount", "sh", "-c", script, "sh"]


@contextmanager
def _started(command: list[str], folder: Path) -> Iterator[None]:
    with (folder / "daemons.log").open("a") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def _wait_for_nodes(cluster: Slurm, nodes: int) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    listed = ""
    while time.monotonic() < end:
        done = subprocess.run(
            cluster.login.command("sinfo", "--noheader", "--format=%T %D"),
            env=os.environ | {"SLURM_CONF": str(cluster.folder / "slurm.conf")},
            capture_output=True,
            text=True,
            check=False,
        )
        listed = done.stdout.strip() or done.stderr
        if listed == f"idle {nodes}":
            return
        time.sleep(0.5)
    logs = "\n".join(log.read_text()[-2000:] for log in cluster.folder.glob("*.log"))
    pytest.fail(f"the nodes are not ready ({listed}):\n{logs}")
