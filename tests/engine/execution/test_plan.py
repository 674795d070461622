"""Promises of the plan: what will run is decided, checked and said before anything starts."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pyarrow as pa
import pytest

from engine.errors import CrysiftError
from engine.execution import Executor, execute, plan_stage
from engine.stage import Resources
from engine.store import Fingerprint, Store
from tests.engine.execution.stages import STRUCTURES, SquareStage, fill


@dataclass(frozen=True)
class HungryStage(SquareStage):
    memory_bytes: int = 1024**5

    @property
    def resources(self) -> Resources:
        return Resources(memory_bytes=self.memory_bytes)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def test_the_dearest_parts_come_first(store: Store) -> None:
    fill(store, parts=4)
    assert plan_stage(store, SquareStage()).parts == ("part-003", "part-002", "part-001", "part-000")


def test_little_work_stays_in_this_process_and_much_goes_to_the_stages_cluster(store: Store) -> None:
    fill(store, parts=2)
    stage = SquareStage()
    assert plan_stage(store, stage).cost == 201.0
    assert plan_stage(store, stage).executor == "dask"
    assert plan_stage(store, stage, workers=1).executor == "inline"
    execute(plan_stage(store, stage, "inline"))
    fill(store, parts=3)
    remaining = plan_stage(store, stage)
    assert (remaining.parts, remaining.cost, remaining.rows, remaining.skipped_rows) == (
        ("part-002",),
        102.0,
        5,
        10,
    )


def test_work_below_the_stages_threshold_is_inline(store: Store) -> None:
    table = pa.table([["a:0"], pa.array([1], pa.int32())], schema=STRUCTURES)
    store.structures.commit("part-a", table, source_part=None, rows_in=1, failed=0, cost=99.0)
    assert plan_stage(store, SquareStage()).executor == "inline"
    assert plan_stage(store, SquareStage(), "ray", 1).executor == "ray"


def test_the_plan_says_what_it_will_do(store: Store) -> None:
    fill(store, parts=3)
    assert plan_stage(store, SquareStage(), "dask", 2).describe() == (
        "features_square: 15 rows in 3 parts, 2 dask workers"
    )
    execute(plan_stage(store, SquareStage(), "inline"))
    assert plan_stage(store, SquareStage()).describe() == "features_square: all 15 rows done before"


def test_never_more_workers_than_parts(store: Store) -> None:
    fill(store, parts=2)
    assert plan_stage(store, SquareStage(), "dask", 8).workers == 2


def test_workers_that_do_not_fit_into_memory_are_refused_with_the_number_that_does(store: Store) -> None:
    fill(store, parts=2)
    with pytest.raises(
        CrysiftError, match=r"1 workers of stage .* need 1048576\.0 GiB each and .* at most 0"
    ):
        plan_stage(store, HungryStage(), "dask")
    with pytest.raises(CrysiftError, match="0 workers cannot run anything"):
        plan_stage(store, SquareStage(), "dask", 0)


def test_a_source_without_the_columns_is_refused(store: Store) -> None:
    table = pa.table({"structure_id": ["a:0"], "nsites": pa.array([1], pa.int64())})
    store.structures.commit("part-a", table, source_part=None, rows_in=1, failed=0, cost=1.0)
    with pytest.raises(CrysiftError, match="'nsites' as int32, but structures provides it as int64"):
        plan_stage(store, SquareStage())


def test_a_store_without_the_source_says_what_it_holds(store: Store) -> None:
    with pytest.raises(CrysiftError, match="holds no table structures; it holds nothing yet"):
        plan_stage(store, SquareStage())


def test_other_settings_are_refused_unless_a_table_is_to_be_added(store: Store) -> None:
    fill(store, parts=1)
    execute(plan_stage(store, SquareStage(power=2), "inline"))
    with pytest.raises(CrysiftError, match="power: 2 in the store, 3 asked"):
        plan_stage(store, SquareStage(power=3))
    execute(plan_stage(store, SquareStage(power=3), "inline", allow_new=True))
    assert len(store.existing("features_square")) == 2
    assert plan_stage(store, SquareStage(power=2)).parts == ()


def test_an_unknown_executor_is_refused_with_the_choices(store: Store) -> None:
    with pytest.raises(CrysiftError, match="no executor 'spark': choose auto, inline, dask, ray"):
        plan_stage(store, SquareStage(), cast(Executor, "spark"))


def test_a_stage_reads_the_table_it_is_given(store: Store) -> None:
    fill(store, parts=1)
    plan = plan_stage(store, SquareStage(), source=store.structures)
    assert plan.target.fingerprint == Fingerprint.of(SquareStage(), store.structures)
    assert plan.target.fingerprint.source_table == "structures"
    assert replace(plan.target.fingerprint, revision=2).hash8 != plan.target.fingerprint.hash8
