"""The stages of a screening, but one structure kills every process that computes it."""

import os
import signal
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from engine.descriptors.soap.stage import SoapStage
from engine.stage import BatchFunction
from models.stage import PredictArise


@dataclass(frozen=True)
class PoisonedSoapStage(SoapStage):
    """SOAP that cannot stand the structure ``poison``."""

    poison: str = ""

    def open(self) -> BatchFunction:
        """Open the stage."""
        return partial(_die_of, self.poison, super().open())


@dataclass(frozen=True)
class PoisonedPredictStage(PredictArise):
    """Predictions that cannot stand the structure ``poison``."""

    poison: str = ""

    def open(self) -> BatchFunction:
        """Open the stage."""
        return partial(_die_of, self.poison, super().open())


def _die_of(poison: str, function: BatchFunction, batch: pa.Table) -> pa.Table:
    if pc.any(pc.equal(batch["structure_id"], poison)).as_py():
        os.kill(os.getpid(), signal.SIGKILL)
    return function(batch)
