"""Promises of execution, on every executor, with real local clusters."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pytest

from engine.errors import CrysiftError
from engine.execution import (
    EXECUTORS,
    EngineStarted,
    Event,
    Executor,
    PartDone,
    StageError,
    StageFinished,
    StageStarted,
    WorkersChanged,
    execute,
    plan_stage,
)
from engine.store import Store
from tests.engine.execution.clusters import local_ray
from tests.engine.execution.stages import ReversingStage, SquareStage, fill


@pytest.fixture(scope="module")
def dask_cluster() -> Iterator[None]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster,
        Client(cluster),
    ):
        yield


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    with local_ray():
        yield


@pytest.fixture(params=EXECUTORS)
def executor(request: pytest.FixtureRequest) -> Executor:
    if request.param != "inline":
        request.getfixturevalue(f"{request.param}_cluster")
    name: Executor = request.param
    return name


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.open(tmp_path / "store", create=True)
    fill(store, parts=9)
    return store


def derived(store: Store) -> pa.Table:
    return store.latest("features_square").scan().to_table()


def test_every_row_comes_back_exactly_once_and_in_order(store: Store, executor: Executor) -> None:
    finished = execute(plan_stage(store, SquareStage(), executor, 2))
    structures = store.structures.scan().to_table()
    result = derived(store)
    assert result["structure_id"] == structures["structure_id"]
    assert len(set(result["structure_id"].to_pylist())) == 45
    expected = [None if n == 13 else n * n for n in structures["nsites"].to_pylist()]
    assert result["square"].to_pylist() == expected
    assert (finished.parts, finished.rows, finished.failed) == (9, 45, expected.count(None))


def test_failed_rows_stay_rows_with_their_reason(store: Store, executor: Executor) -> None:
    execute(plan_stage(store, SquareStage(), executor, 2))
    failed = derived(store).filter(pa.compute.field("status") == "failed")
    unlucky = store.structures.scan().to_table().filter(pa.compute.field("nsites") == 13)
    assert failed["structure_id"] == unlucky["structure_id"]
    assert set(failed["error_class"].to_pylist()) == {"UnluckyNumber"}
    assert set(failed["error_message"].to_pylist()) == {"13 sites"}
    assert failed["square"].null_count == failed.num_rows
    assert store.latest("features_square").count().failed == failed.num_rows


def test_an_interrupted_run_resumes_without_duplicates(store: Store, executor: Executor) -> None:
    committed: list[str] = []

    def interrupt(event: Event) -> None:
        if isinstance(event, PartDone):
            committed.append(event.part)
            if len(committed) == 3:
                raise KeyboardInterrupt

    with pytest.raises(CrysiftError, match=r"interrupted after 3 of 9 parts; run the same command"):
        execute(plan_stage(store, SquareStage(), executor, 2), interrupt)
    plan = plan_stage(store, SquareStage(), executor, 2)
    assert not set(plan.parts) & set(committed)
    done: list[str] = []
    finished = execute(plan, lambda event: done.append(event.part) if isinstance(event, PartDone) else None)
    assert sorted(done) == sorted(plan.parts)
    assert finished.rows + finished.skipped_rows == 45
    assert derived(store)["structure_id"] == store.structures.scan().to_table()["structure_id"]


def test_the_bytes_are_the_same_on_every_executor(
    store: Store, tmp_path: Path, dask_cluster: None, ray_cluster: None
) -> None:
    contents = []
    for name in EXECUTORS:
        other = Store.open(tmp_path / name, create=True)
        fill(other, parts=9)
        execute(plan_stage(other, SquareStage(), name, 2))
        folder = Path(other.latest("features_square").folder.url)
        contents.append({path.name: path.read_bytes() for path in sorted(folder.iterdir())})
    assert len(contents[0]) == 9
    assert contents[0] == contents[1] == contents[2]


def test_a_defect_of_the_stage_names_the_part_and_is_not_retried(
    store: Store, executor: Executor, tmp_path: Path
) -> None:
    faults = tmp_path / "faults"
    faults.mkdir()
    (faults / "part-004").write_text("raise")
    with pytest.raises(
        StageError, match=r"features_square failed on part-004: ZeroDivisionError: a defect"
    ) as e:
        execute(plan_stage(store, SquareStage(faults=str(faults)), executor, 2))
    assert len(list(faults.glob("part-004.met.*"))) == 1
    assert "_meet_fault" in "".join(getattr(e.value, "__notes__", []))
    assert "part-004" not in store.latest("features_square").part_names()


def test_a_stage_runs_on_an_object_store() -> None:
    store = Store.open(f"memory://{uuid4().hex}/store", create=True)
    fill(store, parts=3)
    assert execute(plan_stage(store, SquareStage(), "inline")).rows == 15
    assert derived(store)["structure_id"] == store.structures.scan().to_table()["structure_id"]
    assert execute(plan_stage(store, SquareStage(), "inline")).skipped_rows == 15


def test_a_stage_that_reorders_rows_is_stopped(store: Store, executor: Executor) -> None:
    with pytest.raises(StageError, match="or in another order: the structure_id columns differ"):
        execute(plan_stage(store, ReversingStage(), executor, 2))
    assert store.existing("features_square") == []


def test_what_the_user_can_mend_comes_back_as_such(store: Store, executor: Executor) -> None:
    plan = plan_stage(store, SquareStage(), executor, 2)
    Path(store.structures.folder.path("part-002.parquet")).write_bytes(b"PAR1")
    with pytest.raises(CrysiftError, match=r"part-002\.parquet is damaged.*run the same command again"):
        execute(plan)


def test_events_tell_the_whole_run_once(store: Store, executor: Executor) -> None:
    events: list[Event] = []
    execute(plan_stage(store, SquareStage(), executor, 2), events.append)
    assert isinstance(events[0], StageStarted)
    assert (events[0].parts, events[0].rows, events[0].skipped_rows) == (9, 45, 0)
    done = [event for event in events if isinstance(event, PartDone)]
    assert sorted(event.part for event in done) == sorted(store.structures.part_names())
    assert sum(event.cost for event in done) == events[0].cost == sum(range(100, 109))
    assert isinstance(events[-1], StageFinished)
    around = {EngineStarted, WorkersChanged}
    assert len([event for event in events if type(event) not in around]) == 11


def test_workers_that_end_too_slowly_are_no_failure(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import LocalCluster

    close = LocalCluster.close

    def too_slowly(self: LocalCluster, timeout: float | None = None) -> None:
        close(self, timeout)
        raise TimeoutError

    monkeypatch.setattr(LocalCluster, "close", too_slowly)
    finished = execute(plan_stage(store, SquareStage(), "dask", 2))
    assert finished.rows == 45
