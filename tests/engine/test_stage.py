"""Promises of the stage contract: a pipeline that does not fit together says so before anything runs."""

import pickle
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from engine.errors import CrysiftError
from engine.schema import STATUS_COLUMNS, STRUCTURE_ID, STRUCTURES, features_schema
from engine.stage import BatchFunction, Resources, Stage, check_pipeline

STATUS = [STRUCTURE_ID, *STATUS_COLUMNS]


@dataclass(frozen=True)
class Features(Stage):
    width: int = 8
    name: ClassVar[str] = "features_test"
    source: ClassVar[str] = "structures"
    revision: ClassVar[int] = 1

    @property
    def reads(self) -> pa.Schema:
        return pa.schema([STRUCTURE_ID, STRUCTURES.field("cartesian_site_positions")])

    @property
    def writes(self) -> pa.Schema:
        return features_schema(self.width)

    def settings(self) -> dict[str, Any]:
        return {"width": self.width}

    def open(self) -> BatchFunction:
        return lambda batch: batch


@dataclass(frozen=True)
class Predictions(Features):
    column: str = "vector"
    name: ClassVar[str] = "predictions_test"
    source: ClassVar[str] = "features_test"

    @property
    def reads(self) -> pa.Schema:
        return pa.schema([*STATUS, pa.field(self.column, pa.list_(pa.float32(), self.width))])

    @property
    def writes(self) -> pa.Schema:
        return pa.schema([*STATUS, pa.field("prototype", pa.string())])


def test_a_pipeline_that_fits_passes() -> None:
    check_pipeline([Features(), Predictions()], STRUCTURES)


def test_a_missing_column_is_named_with_both_stages() -> None:
    with pytest.raises(CrysiftError) as error:
        check_pipeline([Features(), Predictions(column="spectrum")], STRUCTURES)
    message = str(error.value)
    assert (
        "stage predictions_test reads the column 'spectrum', which features_test does not provide" in message
    )
    assert "features_test has structure_id, status, error_stage" in message


def test_a_column_of_another_type_is_named_with_both_types() -> None:
    with pytest.raises(CrysiftError) as error:
        check_pipeline([Features(width=8), Predictions(width=9)], STRUCTURES)
    message = str(error.value)
    assert "predictions_test reads the column 'vector' as fixed_size_list" in message
    assert "[9]" in message
    assert "[8]" in message
    assert "features_test provides it" in message


def test_a_stage_before_its_source_is_named() -> None:
    with pytest.raises(CrysiftError, match="reads the table features_test, which no earlier stage writes"):
        check_pipeline([Predictions(), Features()], STRUCTURES)


def test_the_first_stage_is_checked_against_the_structures() -> None:
    with pytest.raises(CrysiftError, match="'cartesian_site_positions', which structures does not provide"):
        check_pipeline([Features()], pa.schema([STRUCTURE_ID]))


def test_a_stage_travels_to_workers_unchanged() -> None:
    stage = Predictions(width=9)
    assert pickle.loads(pickle.dumps(stage)) == stage  # noqa: S301 -- our own bytes


@pytest.mark.parametrize("needs", [{"cpus": 0.0}, {"gpus": -1.0}, {"memory_bytes": 0}])
def test_impossible_resources_are_refused(needs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a worker needs cores and memory"):
        Resources(**needs)
