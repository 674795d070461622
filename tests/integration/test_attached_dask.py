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


def planned(
    store: Store, scheduler: LocalCluster, faults: Path, workers: int | None = None, power: int = 2
) -> StagePlan:
    attached = Cluster(dask=scheduler.scheduler_address)
    stage = SquareStage(power=power, faults=str(faults))
    return plan_stage(store, stage, "dask", workers, cluster=attached, allow_new=True)


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


def test_two_runs_at_once_do_not_exchange_their_stages(
    store: Store, scheduler: LocalCluster, faults: Path
) -> None:
    other = planned(store, scheduler, faults, power=3)

    def listen(event: Event) -> None:
        if isinstance(event, PartDone) and not other.target.part_names():
            execute(other)

    mine = planned(store, scheduler, faults)
    execute(mine, listen)
    for plan, power in ((mine, 2), (other, 3)):
        assert plan.target.part_names() == store.structures.part_names()
        rows = plan.target.scan().to_table().to_pylist()
        sites = dict(zip(*store.structures.scan().to_table().to_pydict().values(), strict=True))
        assert all(row["square"] in (None, sites[row["structure_id"]] ** power) for row in rows)


def test_no_more_workers_than_were_asked_for(store: Store, faults: Path) -> None:
    with LocalCluster(
        n_workers=1, threads_per_worker=4, dashboard_address=None, silence_logs=50
    ) as scheduler:
        events: list[Event] = []
        execute(planned(store, scheduler, faults, workers=2), events.append)
    assert [event for event in events if isinstance(event, WorkersChanged)] == [
        WorkersChanged("features_square", 2, 2)
    ]


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
