"""The prediction stage: one row per row, whatever the batch, and only for the vectors it was trained on."""

import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from engine.errors import CrysiftError
from engine.schema import features_schema
from engine.stage import BatchFunction
from engine.store import Fingerprint
from models.adaptive import AdaptivePasses
from models.stage import PredictArise
from tests.models.conftest import Published


@pytest.fixture(scope="session")
def stage(weights: Path) -> PredictArise:
    return PredictArise(passes=60, weights=str(weights))


@pytest.fixture(scope="session")
def predict(stage: PredictArise) -> BatchFunction:
    return stage.open()


def features(vectors: NDArray[np.float32], failed: frozenset[int] = frozenset()) -> pa.Table:
    schema = features_schema(vectors.shape[1])
    rows = [
        {
            "structure_id": f"test:{i}",
            "status": "failed" if i in failed else "ok",
            "error_stage": "features_soap" if i in failed else None,
            "error_class": "NoNeighbours" if i in failed else None,
            "error_message": "no atom has a neighbour" if i in failed else None,
            "vector": None if i in failed else vector.tolist(),
        }
        for i, vector in enumerate(vectors)
    ]
    return pa.Table.from_pylist(rows, schema=schema)


@pytest.fixture(scope="session")
def table() -> pa.Table:
    random = np.random.default_rng(0)
    return features(random.normal(size=(9, 316)).astype(np.float32), failed=frozenset({0, 4}))


def test_every_row_comes_back_in_order_with_the_declared_schema(
    stage: PredictArise, predict: BatchFunction, table: pa.Table
) -> None:
    result = predict(table)
    assert result.schema == stage.writes
    assert result["structure_id"].equals(table["structure_id"])
    result.validate(full=True)


def test_failed_rows_keep_their_error_and_get_nulls(predict: BatchFunction, table: pa.Table) -> None:
    rows = predict(table).to_pylist()
    for index, row in enumerate(rows):
        results = [value for name, value in row.items() if name not in table.column_names]
        if index in {0, 4}:
            assert row["error_class"] == "NoNeighbours"
            assert results == [None] * len(results)
        else:
            assert None not in results


def test_a_batch_of_failed_rows_and_an_empty_one_pass(predict: BatchFunction, table: pa.Table) -> None:
    assert predict(table.slice(0, 1))["status"].to_pylist() == ["failed"]
    assert predict(table.slice(0, 0)).num_rows == 0


def test_columns_agree_with_each_other(predict: BatchFunction, table: pa.Table) -> None:
    for row in predict(table).to_pylist():
        if row["status"] == "failed":
            continue
        assert len(row["top"]) == 5
        assert (row["top"][0]["prototype"], row["top"][0]["probability"]) == (
            row["prototype"],
            row["probability"],
        )
        chances = [candidate["probability"] for candidate in row["top"]]
        assert chances == sorted(chances, reverse=True)
        assert 0 <= row["mutual_information"] <= row["predictive_entropy"] <= np.log(108)
        assert row["is_ood"] == (row["ood_p_value"] <= 0.05)
        assert row["n_passes"] == 60
        assert len(row["representation"]) == 256


def test_rows_are_bit_identical_whatever_the_batch(predict: BatchFunction, table: pa.Table) -> None:
    whole = predict(table)
    one_by_one = [predict(table.slice(i, 1)) for i in range(table.num_rows)]
    assert pa.concat_tables(one_by_one).equals(whole)
    backwards = table.take(list(range(table.num_rows))[::-1])
    assert predict(backwards).to_pylist() == whole.to_pylist()[::-1]


def test_another_worker_computes_the_same(
    stage: PredictArise, predict: BatchFunction, table: pa.Table
) -> None:
    elsewhere = pickle.loads(pickle.dumps(stage)).open()  # noqa: S301 -- the stage travels to workers like this
    assert elsewhere(table).equals(predict(table))


def test_seed_and_passes_and_weights_are_in_the_fingerprint_and_the_device_is_not(
    stage: PredictArise,
) -> None:
    assert stage.settings() == {"passes": 60, "seed": 0, "top": 5, "alpha": 0.05}
    assert replace(stage, device="cpu").settings() == stage.settings()
    assert len(stage.model_hash()) == 64


def test_adaptive_passes_are_counted_per_row_and_are_in_the_fingerprint(
    stage: PredictArise, predict: BatchFunction, table: pa.Table
) -> None:
    adaptive = replace(stage, passes=AdaptivePasses(first=20, most=60))
    rows, fixed = adaptive.open()(table).to_pylist(), predict(table).to_pylist()
    assert {row["n_passes"] for row in rows if row["status"] == "ok"} <= {20, 40, 60}
    for row, of_all in zip(rows, fixed, strict=True):
        if row["n_passes"] == 60:
            assert row["mutual_information"] == pytest.approx(of_all["mutual_information"], abs=1e-5)
    recorded = adaptive.settings()["passes"]
    assert (recorded["first"], recorded["most"]) == (20, 60)
    assert recorded["threshold"] == pytest.approx(max(0.1, (1 + np.log(60)) / 60))
    other = replace(stage, passes=AdaptivePasses(first=20, most=60, threshold=0.3))
    assert other.settings() != adaptive.settings()


def fingerprint(**changes: object) -> Fingerprint:
    soap = {"cutoff": 4.0, "sigma": 0.1, "scale": 1.0, "basis": "quip", "backend": "kernel", **changes}
    return Fingerprint("features_soap", 1, 1, soap, None, "structures")


def test_vectors_of_other_soap_settings_are_refused_naming_the_setting(stage: PredictArise) -> None:
    stage.check_source(fingerprint())
    with pytest.raises(CrysiftError, match=r"cutoff: 5.0 in features_soap-.*, 4.0 in the model"):
        stage.check_source(fingerprint(cutoff=5.0))
    with pytest.raises(CrysiftError, match=r"basis: gto in .*, quip in the model"):
        stage.check_source(fingerprint(basis="gto"))


@pytest.mark.parametrize(
    ("setting", "make"),
    [
        ("passes = 0", lambda: PredictArise(passes=0)),
        ("passes = 2e+06", lambda: PredictArise(passes=2_000_000)),
        ("seed = -1", lambda: PredictArise(seed=-1)),
        ("top = 0", lambda: PredictArise(top=0)),
        ("alpha = 1.5", lambda: PredictArise(alpha=1.5)),
    ],
)
def test_settings_out_of_range_are_refused_naming_them(
    setting: str, make: Callable[[], PredictArise]
) -> None:
    with pytest.raises(CrysiftError, match=re.escape(f"{setting} is outside")):
        make()


def test_shipped_model_knows_the_published_vectors(published: Published) -> None:
    result = PredictArise(passes=100).open()(features(published.vectors))
    right = np.array(result["prototype"].to_pylist()) == np.array(published.labels)
    assert right.mean() >= 0.99
    assert np.mean(result["is_ood"].to_pylist()) <= 0.02
    assert (np.array(result["nearest_class"].to_pylist()) == np.array(published.labels)).mean() >= 0.98
