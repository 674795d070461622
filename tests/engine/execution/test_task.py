"""Promises of the check between a stage's function and the store."""

import pickle

import pyarrow as pa
import pytest

from engine.execution.task import StageError, checked
from tests.engine.execution.stages import STRUCTURES, SquareStage

STAGE = SquareStage()
BATCH = pa.table([["a:0", "a:1"], pa.array([1, 2], pa.int32())], schema=STRUCTURES)
RESULT = STAGE.open()(BATCH)


def test_a_result_as_declared_passes_with_the_declared_schema() -> None:
    assert checked(STAGE, BATCH, RESULT.replace_schema_metadata({"stray": "1"})).schema == STAGE.writes


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (RESULT.drop_columns(["square"]), "it returned the columns"),
        (RESULT.set_column(5, "square", pa.array([1, 4], pa.int32())), "'square' as int32, not int64"),
        (RESULT.set_column(1, "status", pa.array(["ok", None])), "1 nulls in 'status'"),
        (RESULT.slice(1), "1 rows for 2"),
        (RESULT.take([1, 0]), "another order"),
        (pa.concat_tables([RESULT, RESULT]), "4 rows for 2"),
    ],
)
def test_any_broken_promise_is_named(result: pa.Table, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked(STAGE, BATCH, result)


def test_a_stage_error_travels_with_its_traceback() -> None:
    error = StageError("stage a failed on part-1")
    error.add_note("Traceback: line 1")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 -- our own bytes
    assert str(copy) == str(error)
    assert copy.__notes__ == ["Traceback: line 1"]
