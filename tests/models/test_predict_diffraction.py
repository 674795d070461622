"""The diffraction network's stage: the columns of ARISE's, and only for the patterns it was trained on."""

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from ase.build import bulk, molecule

from engine.descriptors.diffraction import DiffractionSettings
from engine.descriptors.diffraction.stage import DiffractionStage
from engine.errors import CrysiftError
from engine.schema import DIFFRACTION_FACTS, STRUCTURES, features_schema
from engine.stage import BatchFunction, check_pipeline
from engine.store import Fingerprint
from engine.structure import Structure, structures_table
from models.stage import PREDICTIONS, PredictArise, PredictDiffraction
from models.weights_file import Model

FAILED = {2, 7}


@pytest.fixture(scope="session")
def stage(diffraction_weights: Path) -> PredictDiffraction:
    return PredictDiffraction(passes=60, weights=str(diffraction_weights))


@pytest.fixture(scope="session")
def predict(stage: PredictDiffraction) -> BatchFunction:
    return stage.open()


@pytest.fixture(scope="session")
def table(images: torch.Tensor) -> pa.Table:
    rows = [
        {
            "structure_id": f"test:{i}",
            "status": "failed" if i in FAILED else "ok",
            "error_stage": "features_diffraction" if i in FAILED else None,
            "error_class": "NotPeriodic" if i in FAILED else None,
            "error_message": "the structure does not repeat" if i in FAILED else None,
            "vector": None if i in FAILED else image,
        }
        for i, image in enumerate(images.numpy())
    ]
    return pa.Table.from_pylist(rows, schema=features_schema(4096, pa.float16(), DIFFRACTION_FACTS))


def test_rows_are_bit_identical_whatever_the_batch_and_the_worker(
    stage: PredictDiffraction, predict: BatchFunction, table: pa.Table
) -> None:
    whole = predict(table)
    assert whole.schema == stage.writes
    assert whole["structure_id"].equals(table["structure_id"])
    parts = [predict(table.slice(start, 4)) for start in range(0, table.num_rows, 4)]
    assert pa.concat_tables(parts).equals(whole)
    elsewhere = pickle.loads(pickle.dumps(stage)).open()  # noqa: S301 -- the stage travels to workers like this
    backwards = table.take(list(range(table.num_rows))[::-1])
    assert elsewhere(backwards).to_pylist() == whole.to_pylist()[::-1]


def test_columns_are_those_of_arise_but_for_the_width_of_the_representation(
    stage: PredictDiffraction, weights: Path
) -> None:
    ours, of_arise = stage.writes, PredictArise(weights=str(weights)).writes
    assert ours.names == of_arise.names
    assert [field.name for field in ours if of_arise.field(field.name) != field] == ["representation"]
    assert ours.field("representation").type.list_size == 128
    assert stage.reads.field("vector").type == pa.list_(pa.field("element", pa.float16()), 4096)


def test_columns_are_what_the_network_says(
    predict: BatchFunction, table: pa.Table, diffraction_model: Model, images: torch.Tensor
) -> None:
    network, labels = diffraction_model.network, diffraction_model.labels
    points = network.points(images.float())
    for index, row in enumerate(predict(table).to_pylist()):
        if index in FAILED:
            assert (row["error_class"], row["prototype"], row["is_ood"]) == ("NotPeriodic", None, None)
            continue
        np.testing.assert_allclose(row["representation"], points[index].numpy(), atol=2e-3)
        assert {candidate["prototype"] for candidate in row["top"]} == set(labels)
        assert sum(candidate["probability"] for candidate in row["top"]) == pytest.approx(1.0, abs=1e-5)
        assert row["nearest_class"] == labels[index % 4]  # the patterns are the reference themselves
        assert row["ood_score"] < 0.01
        assert 0 < row["mutual_information"] < row["predictive_entropy"] <= np.log(4)
        assert row["n_passes"] == 60


def test_fingerprints_of_structures_become_predictions(
    stage: PredictDiffraction, predict: BatchFunction
) -> None:
    featurize = DiffractionStage(device="cpu")
    check_pipeline([featurize, stage], STRUCTURES)
    atoms = [bulk("Cu"), molecule("CH4"), bulk("Fe")]
    structures = [Structure.from_ase(each, "test", str(i)) for i, each in enumerate(atoms)]
    rows = predict(featurize.open()(structures_table(structures))).to_pylist()
    assert [row["status"] for row in rows] == ["ok", "failed", "ok"]
    assert rows[1]["error_class"] == "NotPeriodic"
    assert rows[0]["representation"] != rows[2]["representation"]


def test_patterns_of_other_settings_are_refused_naming_the_setting(stage: PredictDiffraction) -> None:
    def source(settings: DiffractionSettings) -> Fingerprint:
        featurize = DiffractionStage(settings)
        return Fingerprint(featurize.name, featurize.revision, 1, featurize.settings(), None, "structures")

    stage.check_source(source(DiffractionSettings()))
    with pytest.raises(
        CrysiftError, match=r"mask: False in .*, True in the model.*crysift train diffraction"
    ):
        stage.check_source(source(DiffractionSettings(mask=False)))
    with pytest.raises(CrysiftError, match=r"column 'vector' as .*\[4096\].* provides it as .*\[12288\]"):
        check_pipeline([DiffractionStage(DiffractionSettings(channels="rgb")), stage], STRUCTURES)


def test_a_model_of_the_other_architecture_is_refused_naming_the_way_out(
    weights: Path, diffraction_weights: Path
) -> None:
    wrong = (PredictDiffraction(weights=str(weights)), PredictArise(weights=str(diffraction_weights)))
    for stage, theirs in zip(wrong, ("arise", "diffraction"), strict=True):
        message = rf"is of the architecture '{theirs}', which reads no .* `--model {theirs}`"
        for use in (lambda s=stage: s.reads, lambda s=stage: s.writes, stage.open):
            with pytest.raises(CrysiftError, match=message):
                use()


def test_every_network_has_a_stage() -> None:
    assert {"arise": PredictArise, "diffraction": PredictDiffraction} == PREDICTIONS
    assert {kind.source for kind in PREDICTIONS.values()} == {"features_soap", "features_diffraction"}
