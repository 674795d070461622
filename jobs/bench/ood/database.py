"""Real crystals of a database, told apart by symmetry: of the structure type of a class, or of another one.

Structures are none of a benchmark's making: known types have the free coordinates and axial ratios that
compounds have, and what symmetry calls another type may be an ordered variant of a class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from connectors import open_sources
from connectors.settings import SourceSettings
from engine.columns import contiguous
from engine.descriptors.soap import SoapStage
from engine.errors import CrysiftError
from engine.symmetry.stage import ProtostructureStage
from engine.validation import StructureLimits
from jobs.bench.ood.answers import Judged
from jobs.bench.ood.detections import Judgement
from jobs.bench.ood.scoring import scored
from jobs.pipeline import derive_all, ingest_all
from jobs.summary import answer
from jobs.views import connect
from models.structure_types import classes_by_type
from models.training.evaluate import detection

if TYPE_CHECKING:
    from engine.execution import Listener
    from engine.store import Store
    from jobs.settings import ExecutionSettings
    from models.weights_file import Model

OF_CLASSES, OF_OTHERS = "crystals of the types of classes", "crystals of other types"

_TYPED = """SELECT structure_id, vector, protostructure FROM features_soap JOIN
    (SELECT structure_id, protostructure FROM protostructures WHERE status = 'ok') USING (structure_id)
    WHERE status = 'ok' ORDER BY structure_id"""


def database_judgements(
    source: str, model: Model, passes: int, store: Store, execution: ExecutionSettings, listener: Listener
) -> list[Judgement]:
    """Judge every score of a model by the crystals of a source, which come into a store of their own.

    Raises CrysiftError where symmetry finds none of the classes in it, or nothing else.
    """
    ingest_all(open_sources([source], SourceSettings()), store, StructureLimits(), listener)
    derive_all(store, [SoapStage(), ProtostructureStage()], execution, listener)
    with connect(store) as connection:
        rows = answer(connection, _TYPED)
    known = np.isin(rows["protostructure"].to_numpy(), list(classes_by_type(model.metadata)))
    if not known.any() or known.all():
        raise CrysiftError(
            f"of the {len(known):,} crystals in {source} that have a structure type {known.sum():,} are of "
            "one of the model's classes: a score is judged by some that are and some that are not"
        )
    vectors = contiguous(rows["vector"]).flatten().to_numpy().reshape(len(rows), -1)
    found = scored(model, Judged(np.array(rows["structure_id"].to_pylist()), vectors), passes)
    sizes = int(known.sum()), int((~known).sum())
    return [
        Judgement(name, OF_CLASSES, OF_OTHERS, 0, told.auroc, told.false_alarms, sizes)
        for name, told in (
            (name, detection(values[known], values[~known])) for name, values in found.scores.items()
        )
    ]
