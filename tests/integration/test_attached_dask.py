"""A Dask scheduler that runs already does the Dask stages, is left as it was, and may come and go."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from engine.errors import CrysiftError
from engine.execution import Cluster, Event, PartDone, StagePlan, WorkersChanged, execute, plan_stage
from engine.store import Store
from tests.engine.execution.stages import SquareStage, fill

pytestmark = pytest.mark.integration

PARTS = 6


@pytest.fixture
def scheduler() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster:
        yield cluster


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.open(tmp_path / "store", create=True)
    fill(store, parts=PARTS)
    return store


@pytest.fixture
def faults(tmp_path: Path) -> Path:
    folder = tmp_path / "faults"
    folder.mkdir()
    return folder


def planned(store: Store, scheduler: LocalCluster, faults: Path) -> StagePlan:
    attached = Cluster(dask=scheduler.scheduler_address)
    return plan_stage(store, SquareStage(faults=str(faults)), "dask", cluster=attached)


def test_its_workers_do_the_parts_and_keep_nothing_of_them(
    store: Store, scheduler: LocalCluster, faults: Path
) -> None:
    (faults / "part-000").write_text("note")
    assert execute(planned(store, scheduler, faults)).rows == 5 * PARTS
    with Client(scheduler.scheduler_address, set_as_default=False) as client:
        [pid] = client.run(lambda: __import__("os").getpid()).values()
        [plugins] = client.run(lambda dask_worker: list(dask_worker.plugins)).values()
    [met] = faults.glob("part-000.met.*")
    assert int(met.read_text()) == pid
    assert not [name for name in plugins if "crysift" in name]


def test_a_worker_that_joins_during_the_run_is_used(
    store: Store, scheduler: LocalCluster, faults: Path
) -> None:
    (faults / "part-005").write_text("wait")
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, WorkersChanged) and event.workers == 1:
            scheduler.scale(2)
        if len([done for done in events if isinstance(done, PartDone)]) == PARTS - 1:
            (faults / "part-005").unlink()

    execute(planned(store, scheduler, faults), listen)
    workers = [event.workers for event in events if isinstance(event, WorkersChanged)]
    assert workers == [1, 2]


def test_a_scheduler_that_goes_away_ends_the_run_with_the_way_on(
    store: Store, scheduler: LocalCluster, faults: Path
) -> None:
    (faults / "part-003").write_text("wait")

    def listen(event: Event) -> None:
        if isinstance(event, PartDone):
            threading.Thread(target=scheduler.close, daemon=True).start()

    with pytest.raises(CrysiftError, match="the Dask scheduler went away: run the same command again"):
        execute(planned(store, scheduler, faults), listen)
    (faults / "part-003").unlink()
    finished = execute(plan_stage(store, SquareStage(), "inline"))
    assert finished.skipped_rows >= 5
    assert finished.rows + finished.skipped_rows == 5 * PARTS
