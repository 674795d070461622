"""What is derived of the structures: vectors, structure types, and geometric invariants, kept in stores."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine.columns import contiguous, fixed_size_values
from engine.descriptors.soap import SoapStage
from engine.errors import CrysiftError
from engine.schema import STATUS_OK
from engine.symmetry.stage import ProtostructureStage
from jobs.bench.ood.invariants import AmdStage, distances_of, nearest_known
from jobs.bench.ood.sets import facts_of
from jobs.pipeline import derive_all
from models.batches import vectors_of
from models.prototypes import class_prototypes
from models.structure_types import structure_type
from models.training.replicas import pristine_structures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.execution import Listener
    from engine.store import Store
    from jobs.bench.ood.sets import Facts
    from jobs.settings import ExecutionSettings

Floats = NDArray[np.float64]
Rows = NDArray[np.bool_]

WITHOUT_AMD = (
    "the distance of average minimum distances is left out, since the package is not installed: "
    "pip install 'crysift[peers]'"
)
NOT_LISTED, NEAREST_AMD = "protostructure not listed", "nearest AMD"
BASELINES = (NOT_LISTED, NEAREST_AMD)
"""Names of the scores that no network has a part in."""


@dataclass(frozen=True, eq=False)
class Judged:
    """Structures (N,) that scores are judged by.

    `vectors` (N, 316) are what a network reads, `types` (N,) the labels of structure types, empty where a
    structure has none, `invariants` (N, 100) average minimum distances; both may not be asked for.
    """

    ids: NDArray[np.str_]
    vectors: NDArray[np.floating]
    types: NDArray[np.str_] | None = None
    invariants: Floats | None = None

    @cached_property
    def _facts(self) -> list[Facts]:
        return [facts_of(str(each)) for each in self.ids]

    @cached_property
    def groups(self) -> NDArray[np.str_]:
        """Names of the groups (N,)."""
        return np.array([facts.group.name for facts in self._facts])

    @cached_property
    def strata(self) -> NDArray[np.str_]:
        """Names of the strata (N,)."""
        return np.array([facts.group.stratum for facts in self._facts])

    @cached_property
    def seeds(self) -> NDArray[np.int64]:
        """Seeds (N,)."""
        return np.array([facts.seed for facts in self._facts])

    @cached_property
    def origins(self) -> NDArray[np.str_]:
        """What structures (N,) were made of."""
        return np.array([facts.origin for facts in self._facts])

    def chosen(self, rows: Rows) -> Judged:
        """Only the structures that `rows` (N,) marks."""
        return Judged(
            self.ids[rows],
            self.vectors[rows],
            None if self.types is None else self.types[rows],
            None if self.invariants is None else self.invariants[rows],
        )

    def baselines(self, labels: Sequence[str]) -> dict[str, Floats]:
        """Scores (N,) that need no network, where the classes `labels` are known."""
        found: dict[str, Floats] = {}
        if self.types is not None:
            found[NOT_LISTED] = (~np.isin(self.types, list(known_types(tuple(labels))))).astype(float)
        if self.invariants is not None:
            found[NEAREST_AMD] = nearest_known(self.invariants, _known_invariants(tuple(labels)))
        return found


def derive_test(store: Store, execution: ExecutionSettings, listener: Listener) -> Judged:
    """Bring all that is known of the test structures up to date in their store."""
    found = derive_calibration(store, execution, listener)
    [table] = derive_all(store, [ProtostructureStage()], execution, listener).values()
    rows = table.scan(["structure_id", "protostructure"]).to_table()
    of = dict(zip(rows["structure_id"].to_pylist(), rows["protostructure"].to_pylist(), strict=True))
    return replace(found, types=np.array([of[str(each)] or "" for each in found.ids]))


def derive_calibration(store: Store, execution: ExecutionSettings, listener: Listener) -> Judged:
    """Bring vectors and invariants of the calibration structures up to date in their store."""
    [features] = derive_all(store, [SoapStage()], execution, listener).values()
    rows = features.scan(["structure_id", "status", "error_message", "vector"]).to_table()
    failed = rows.filter(pc.field("status") != STATUS_OK)
    if len(failed):
        first = failed.slice(0, 1).to_pylist()[0]
        raise CrysiftError(
            f"{len(failed)} of {len(rows)} structures have no vector: the benchmark judges all of them; the "
            f"first is {first['structure_id']} ({first['error_message']})"
        )
    ids = rows["structure_id"].to_pylist()
    vectors = np.array(vectors_of(rows))
    return Judged(np.array(ids), vectors, invariants=_invariants(store, ids, execution, listener))


def missing() -> tuple[str, ...]:
    """What is left out, and how to have it."""
    return () if _has_amd() else (WITHOUT_AMD,)


@lru_cache(maxsize=8)
def known_types(labels: tuple[str, ...]) -> frozenset[str]:
    """Labels of the structure types of classes; what does not repeat along three vectors has none."""
    types = (structure_type(prototype) for prototype in class_prototypes(labels))
    return frozenset(each.label for each in types if each is not None)


@lru_cache(maxsize=8)
def _known_invariants(labels: tuple[str, ...]) -> Floats:
    return distances_of(pristine_structures(class_prototypes(labels)))


def _invariants(
    store: Store, ids: Sequence[str], execution: ExecutionSettings, listener: Listener
) -> Floats | None:
    if not _has_amd():
        return None
    [table] = derive_all(store, [AmdStage()], execution, listener).values()
    rows = table.scan(["structure_id", "amd"]).to_table()
    place = {each: row for row, each in enumerate(rows["structure_id"].to_pylist())}
    values = fixed_size_values(contiguous(rows["amd"])).reshape(len(rows), -1)
    return np.asarray(values[[place[each] for each in ids]])


def _has_amd() -> bool:
    return importlib.util.find_spec("amd") is not None
