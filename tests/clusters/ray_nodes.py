"""Real Ray clusters of several nodes, on one address or on hosts of their own; everything ends with them."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.clusters.network import Host

RAY = str(Path(sys.executable).with_name("ray"))
WITH_ITS_PARENT = ("setpriv", "--pdeathsig", "TERM")
"""Words before a command that ends with this process, however that ends."""
USUAL_PORTS = (6379, 10001, 8265)
OBJECT_STORE_BYTES = 80 * 1024**2
PATIENCE_SECONDS = 120.0
RESTART_AFTER_SECONDS = 1.0

ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    # The head gives a silent node up after some 8 seconds instead of 45.
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
}


class RayNode:
    """One node: `ray start --block`, which ends when its raylet does, in a session of its own."""

    def __init__(
        self, host: Host, folder: Path, words: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        """Start it; ``folder`` must have a short path, because sockets in it have at most 107 bytes."""
        self.host = host
        self.folder = folder
        self._environment = environment
        self.command = [
            RAY, "start", "--block", *words, "--node-ip-address", host.address, "--temp-dir", str(folder),
            "--object-store-memory", str(OBJECT_STORE_BYTES), "--dashboard-agent-listen-port", "0",
            "--include-log-monitor", "false", "--disable-usage-stats",
        ]  # fmt: skip
        self._sessions: list[int] = []
        self.wanted = True
        self.start()

    def start(self) -> None:
        """Start the node, or start it again."""
        self.folder.mkdir(exist_ok=True)
        with (self.folder / "node.log").open("a") as log:
            self._main = subprocess.Popen(
                self.host.command(*WITH_ITS_PARENT, *self.command),
                env=dict(self._environment),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._sessions.append(self._main.pid)

    @property
    def has_exited(self) -> bool:
        """Whether `ray start` has ended."""
        return self._main.poll() is not None

    @property
    def log(self) -> str:
        """What `ray start` said."""
        return (self.folder / "node.log").read_text()

    def processes(self) -> list[psutil.Process]:
        """All processes of the node that live: raylet, agents and workers, of its earlier starts too."""
        return processes_of_sessions(self._sessions)

    def raylet(self) -> psutil.Process | None:
        """The raylet, None where there is none at the moment."""
        return next((process for process in self.processes() if _title(process).endswith("/raylet")), None)

    def actors(self, kind: str) -> list[psutil.Process]:
        """Processes of actors of a class, known by the titles that Ray gives them."""
        return [process for process in self.processes() if _title(process).startswith(f"ray::{kind}")]

    def kill(self) -> None:
        """End all of the node at once, as a power cut does; it is not started again."""
        self.wanted = False
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.suspend()  # so that none can tell of another's end
        kill_all(self.processes)

    def stop(self) -> None:
        """End the node in order."""
        self.wanted = False
        self._main.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._main.wait(timeout=PATIENCE_SECONDS)
        kill_all(self.processes)


class RayCluster:
    """A head without cores and worker nodes with one core each; a node that exits is started again."""

    def __init__(
        self, folder: Path, hosts: Sequence[Host], environment: Mapping[str, str], *, dashboard: bool
    ) -> None:
        """Start the head on the first host, and a worker node on each of the others once the head listens."""
        self.folder = folder
        self.environment = os.environ | environment
        self._names = iter(range(10_000))
        self.workers: list[RayNode] = []
        # A host of its own has its ports to itself, and Ray's usual ones are known to the reader.
        port, client_port, dashboard_port = USUAL_PORTS if hosts[0].namespace else free_ports(3)
        self.address = f"{hosts[0].address}:{port}"
        self.dashboard = f"http://{hosts[0].address}:{dashboard_port}"
        words = [
            "--head",
            "--port",
            f"{port}",
            "--ray-client-server-port",
            f"{client_port}",
            "--num-cpus",
            "0",
        ]
        words += ["--include-dashboard", f"{dashboard}", "--dashboard-port", f"{dashboard_port}"]
        words += ["--dashboard-host", hosts[0].address]
        self.head = self._node(hosts[0], words)
        for host in hosts[1:]:
            self.add(host)
        self._stopped = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)
        self._supervisor.start()

    @property
    def nodes(self) -> list[RayNode]:
        """The head and the worker nodes."""
        return [self.head, *self.workers]

    def add(self, host: Host, cpus: int = 1) -> RayNode:
        """Let a node join."""
        node = self._node(host, ["--address", self.address, "--num-cpus", str(cpus)])
        self.workers.append(node)
        return node

    def wait(self, nodes: int) -> None:
        """Wait until so many nodes are alive, the head included."""
        code = f"while sum(node['Alive'] for node in ray.nodes()) != {nodes}: time.sleep(0.2)"
        self.ask(f"import time\n{code}\nprint(0)")

    def alive(self) -> int:
        """Nodes that the head counts as alive."""
        return self.ask("print(sum(node['Alive'] for node in ray.nodes()))")

    def living_actors(self) -> int:
        """Actors that the head knows and that are not dead, those that wait for room included."""
        code = "from ray._private.state import actors\n"
        return self.ask(code + "print(sum(actor['State'] != 'DEAD' for actor in actors().values()))")

    def ask(self, code: str) -> int:
        """Run a few lines of Python on the head, connected to the cluster; the last word printed counts."""
        lines = f"import ray\nray.init(address={self.address!r}, log_to_driver=False)\n{code}"
        done = subprocess.run(
            self.head.host.command(sys.executable, "-c", lines),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE_SECONDS,
        )
        return int(done.stdout.split()[-1])

    def stop(self) -> None:
        """End all nodes, the head last."""
        self._stopped.set()
        self._supervisor.join()
        for node in reversed(self.nodes):
            node.stop()

    def _node(self, host: Host, words: Sequence[str]) -> RayNode:
        return RayNode(host, self.folder / f"{next(self._names)}", words, self.environment)

    def _supervise(self) -> None:
        while not self._stopped.wait(RESTART_AFTER_SECONDS):
            for node in self.workers:
                if node.wanted and node.has_exited:
                    kill_all(node.processes)
                    node.start()


@contextmanager
def ray_cluster(
    hosts: Sequence[Host] = (Host(), Host(), Host()),
    environment: Mapping[str, str] | None = None,
    *,
    dashboard: bool = False,
) -> Iterator[RayCluster]:
    """A cluster on these hosts, the head on the first of them, ready for work."""
    folder = Path(tempfile.mkdtemp(prefix="cr", dir="/tmp"))  # sockets in it need a short path
    cluster = RayCluster(folder, hosts, ENVIRONMENT | dict(environment or {}), dashboard=dashboard)
    try:
        cluster.wait(len(hosts))
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def processes_of_sessions(sessions: Sequence[int]) -> list[psutil.Process]:
    """Living processes of sessions that this test began; orphans stay in their session."""
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            if os.getsid(process.pid) in sessions and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def kill_all(processes: Callable[[], list[psutil.Process]]) -> None:
    """Kill processes until none is left: some start others meanwhile."""

    def none_left() -> bool:
        for process in (left := processes()):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return not left

    wait_until(none_left, "processes to end")


def wait_until(
    holds: Callable[[], object],
    what: str,
    explain: Callable[[], str] = str,
    patience: float = PATIENCE_SECONDS,
) -> None:
    """Wait for something that a cluster does on its own; fails after two minutes."""
    deadline = time.monotonic() + patience
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {patience:g} s in vain for {what} {explain()}")
        time.sleep(0.05)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _title(process: psutil.Process) -> str:
    """First word of the command line: a program's path, or the title that Ray set."""
    try:
        return next(iter(process.cmdline()), "")
    except psutil.NoSuchProcess:
        return ""
