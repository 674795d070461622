"""Workers and drivers are killed for real, by process id, and nothing is lost or doubled."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import CrysiftError
from engine.execution import (
    Event,
    Executor,
    PartDone,
    PartIsolated,
    StagePlan,
    WorkerLost,
    execute,
    plan_stage,
)
from engine.store import Store
from tests.engine.execution.clusters import local_ray
from tests.engine.execution.stages import SquareStage, fill
from tests.engine.tiny_disk import tiny_disk

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
CLUSTERS = ["dask", "ray"]
PATIENCE_SECONDS = 90.0

DRIVER = """
import sys
from engine.execution import execute, plan_stage
from engine.store import Store
from tests.engine.execution.clusters import local_ray
from tests.engine.execution.stages import SquareStage

if __name__ == "__main__":
    url, executor, faults = sys.argv[1:]
    store = Store.open(url)
    store.sweep()
    finished = execute(plan_stage(store, SquareStage(faults=faults), executor, 2))
    print(finished.parts, finished.skipped_rows)
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.open(tmp_path / "store", create=True)
    fill(store, parts=6)
    return store


@pytest.fixture
def faults(tmp_path: Path) -> Path:
    folder = tmp_path / "faults"
    folder.mkdir()
    return folder


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    return script


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    with local_ray():
        yield


@pytest.fixture(params=CLUSTERS)
def cluster(request: pytest.FixtureRequest) -> Executor:
    """Either cluster: Ray outlives its lost actors and is shared, Dask is started anew by each run."""
    if request.param == "ray":
        request.getfixturevalue("ray_cluster")
    name: Executor = request.param
    return name


def planned(store: Store, faults: Path, executor: Executor, workers: int = 2) -> StagePlan:
    return plan_stage(store, SquareStage(faults=str(faults)), executor, workers)


def assert_whole(store: Store) -> None:
    result = store.latest("features_square").scan().to_table()
    structures = store.structures.scan().to_table()
    assert result["structure_id"] == structures["structure_id"]
    assert [name for name in store.latest("features_square").folder.names() if name.endswith(".tmp")] == []


def wait_for(folder: Path, pattern: str) -> Path:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = [path for path in folder.glob(pattern) if path.read_text()]
        if found:
            return found[0]
        time.sleep(0.02)
    pytest.fail(f"nothing like {pattern} in {folder} after {PATIENCE_SECONDS} s")


def test_a_killed_worker_loses_nothing(store: Store, faults: Path, cluster: Executor) -> None:
    killed: list[int] = []

    def kill() -> None:
        killed.append(int(wait_for(faults, "part-003.met.*").read_text()))
        (faults / "part-003").unlink()
        os.kill(killed[0], signal.SIGKILL)

    (faults / "part-003").write_text("wait")
    assassin = threading.Thread(target=kill, daemon=True)
    assassin.start()
    events: list[Event] = []
    finished = execute(planned(store, faults, cluster), events.append)
    assassin.join()
    assert killed[0] != os.getpid()
    assert finished.rows == 30
    done = sorted(event.part for event in events if isinstance(event, PartDone))
    assert done == sorted(store.structures.part_names())
    assert_whole(store)


def test_a_part_that_kills_its_worker_once_is_done_by_another(
    store: Store, faults: Path, cluster: Executor
) -> None:
    (faults / "part-005").write_text("die once")
    events: list[Event] = []
    finished = execute(planned(store, faults, cluster), events.append)
    assert [event for event in events if isinstance(event, WorkerLost)] == [
        WorkerLost("features_square", "part-005", 1)
    ]
    assert finished.rows == 30
    assert_whole(store)


@pytest.fixture
def deaths_at_start(tmp_path: Path) -> Iterator[Path]:
    """A file of Dask's workers: as many of them are killed while they start as it has bytes."""
    import dask.config
    import distributed  # noqa: F401 -- fills in the settings that are set aside below

    deaths, preload = tmp_path / "deaths", tmp_path / "deadly.py"
    preload.write_text(
        "import os, pathlib, signal\n"
        f"deaths = pathlib.Path({str(deaths)!r})\n"
        "def dask_setup(worker):\n"
        "    left = deaths.stat().st_size\n"
        "    if left:\n"
        "        os.truncate(deaths, left - 1)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with dask.config.set({"distributed.worker.preload": [str(preload)]}):
        yield deaths


def test_a_worker_killed_while_it_starts_is_started_again(
    store: Store, faults: Path, deaths_at_start: Path
) -> None:
    deaths_at_start.write_text("x")
    events: list[Event] = []
    assert execute(planned(store, faults, "dask", workers=1), events.append).rows == 30
    losses = [event for event in events if isinstance(event, WorkerLost)]
    assert losses == [WorkerLost("features_square", "", 1)]
    assert_whole(store)


def test_workers_killed_at_every_start_stop_the_run_with_the_way_out(
    store: Store, faults: Path, deaths_at_start: Path
) -> None:
    deaths_at_start.write_text("x" * 3)
    with pytest.raises(CrysiftError, match=r"3 workers of stage features_square died at start"):
        execute(planned(store, faults, "dask", workers=1))


def test_a_structure_that_kills_every_worker_becomes_a_failed_row(
    store: Store, faults: Path, cluster: Executor
) -> None:
    (faults / "part-004").write_text("die always on row 3")
    events: list[Event] = []
    finished = execute(planned(store, faults, cluster), events.append)
    assert (finished.rows, finished.failed) == (30, 1 + unlucky(store) - was_unlucky(store, "part-004:3"))
    assert [event for event in events if isinstance(event, WorkerLost | PartIsolated)] == [
        WorkerLost("features_square", "part-004", 1),
        WorkerLost("features_square", "part-004", 2),
        PartIsolated("features_square", "part-004", 2),
    ]
    rows = store.latest("features_square").scan().to_table().to_pylist()
    [killed] = [row for row in rows if row["error_class"] == "ProcessKilled"]
    assert killed["structure_id"] == "part-004:3"
    assert "SIGKILL" in killed["error_message"]
    assert killed["square"] is None
    assert_whole(store)


def unlucky(store: Store) -> int:
    return sum(row["nsites"] == 13 for row in store.structures.scan().to_table().to_pylist())


def was_unlucky(store: Store, structure: str) -> bool:
    rows = store.structures.scan().to_table().to_pylist()
    return [row["nsites"] for row in rows if row["structure_id"] == structure] == [13]


@pytest.mark.parametrize("executor", ["inline", *CLUSTERS])
def test_a_killed_driver_resumes_with_the_same_command(
    store: Store, faults: Path, driver: Path, executor: Executor
) -> None:
    (faults / "part-002").write_text("wait")
    command = [sys.executable, str(driver), store.folder.url, executor, str(faults)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, cwd=faults)
    worker = int(wait_for(faults, "part-002.met.*").read_text())
    process.kill()
    process.wait()
    (faults / "part-002").unlink()
    before = store.latest("features_square").part_names()
    assert before
    again = subprocess.run(command, env=environment, cwd=faults, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    parts, skipped_rows = map(int, again.stdout.split())
    assert parts <= 6 - len(before)
    assert parts * 5 + skipped_rows == 30
    assert_whole(store)
    assert_gone(worker)


@pytest.mark.parametrize("executor", ["inline", *CLUSTERS])
def test_ctrl_c_ends_the_driver_and_its_workers(
    store: Store, faults: Path, driver: Path, executor: Executor
) -> None:
    (faults / "part-002").write_text("wait")
    command = [sys.executable, str(driver), store.folder.url, executor, str(faults)]
    process = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=faults,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    worker = int(wait_for(faults, "part-002.met.*").read_text())
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert "run the same command to go on" in stderr.splitlines()[-1]
    assert "nanny" not in stderr
    assert_gone(worker)


@pytest.mark.parametrize("executor", CLUSTERS)
def test_a_foreign_package_in_the_working_directory_is_not_imported_by_workers(
    store: Store, faults: Path, driver: Path, executor: Executor
) -> None:
    for name in ("engine", "models"):
        (faults / name).mkdir()
        (faults / name / "__init__.py").write_text("raise ImportError('foreign')")
    command = [sys.executable, str(driver), store.folder.url, executor, str(faults)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, cwd=faults, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert_whole(store)


@pytest.mark.parametrize("executor", ["inline", "dask"])
def test_a_full_disk_stops_the_run_and_it_goes_on_when_there_is_space(
    tmp_path: Path, faults: Path, executor: Executor
) -> None:
    with tiny_disk(tmp_path / "tiny") as disk:
        store = Store.open(disk / "store", create=True)
        fill(store, parts=6)
        ballast = disk / "ballast"
        free = shutil.disk_usage(disk).free
        ballast.write_bytes(b"\0" * (free - 12 * 1024))
        with pytest.raises(CrysiftError, match=r"is full: .* free space and run the same command again"):
            execute(planned(store, faults, executor))
        assert store.latest("features_square").part_names() < store.structures.part_names()
        ballast.unlink()
        assert execute(planned(store, faults, executor)).skipped_rows > 0
        assert_whole(store)


def assert_gone(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    pytest.fail(f"process {pid} outlived its driver")


@pytest.fixture
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the import of either executor an error."""
    monkeypatch.setitem(sys.modules, "engine.execution.dask", None)
    monkeypatch.setitem(sys.modules, "engine.execution.ray", None)


@pytest.mark.parametrize("executor", CLUSTERS)
def test_nothing_to_do_starts_no_cluster(
    store: Store, faults: Path, executor: Executor, no_cluster: None
) -> None:
    execute(planned(store, faults, "inline"))
    finished = execute(planned(store, faults, executor))
    assert (finished.parts, finished.rows, finished.skipped_rows) == (0, 0, 30)
