"""Accuracies from what methods said of every structure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jobs.bench.accuracy.published import PUBLISHED
from jobs.bench.accuracy.sets import KINDS, Facts
from models.training.defects import Defect

Counted = Literal["structures", "atoms"]

SCORES = pa.schema(
    [
        pa.field("method", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("classes", pa.int16()),
        pa.field("starred", pa.bool_(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("displacement", pa.float64(), nullable=False, metadata={"unit": "d_NN"}),
        pa.field("vacancies", pa.float64(), nullable=False),
        pa.field("counted", pa.string(), nullable=False),
        pa.field("structures", pa.int64()),
        pa.field("correct", pa.float64()),
        pa.field("percent", pa.float64(), nullable=False),
    ]
)
"""One row per method, set of classes and kind of defect; `starred` over all classes, also those that the
method cannot treat. `correct` are structures; where atoms are counted, the sum over structures of the shares
of their atoms that are right. Published rows have no counts."""


@dataclass(frozen=True)
class Score:
    """How often one method is right for one kind of defect."""

    method: str
    kind: Defect
    percent: float
    classes: int | None = None
    """Prototypes that the method can treat."""
    starred: bool = False
    """Over all prototypes; what the method cannot treat counts as wrong."""
    counted: Counted = "structures"
    structures: int | None = None
    correct: float | None = None
    origin: Literal["measured", "published"] = "measured"

    @property
    def row(self) -> str:
        """Name of the row in a table."""
        return f"{self.method}*" if self.starred else self.method


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What a method said of N structures."""

    method: str
    right: NDArray[np.float64]
    """(N,): 1 or 0, or the share of a structure's atoms that are right."""
    treated: NDArray[np.bool_]
    """(N,): whether the method can treat the structure; where not, `right` is 0."""
    counted: Counted = "structures"


def verdicts(method: str, facts: Facts, found: Sequence[str | None]) -> Verdicts:
    """Say which classes (N,) that a method found are the right ones; it can treat every structure."""
    right = np.array([taken == label for taken, label in zip(found, facts.labels, strict=True)], np.float64)
    return Verdicts(method, right, np.ones(len(right), np.bool_))


def scores_of(facts: Facts, verdicts: Verdicts) -> list[Score]:
    """Accuracies of a method on what it can treat, and starred on everything, unless it can treat all.

    Kinds of which there is no structure that counts are left out.
    """
    every = np.ones_like(verdicts.treated)
    rows = _sums(facts, verdicts, verdicts.treated, starred=False)
    return rows if verdicts.treated.all() else rows + _sums(facts, verdicts, every, starred=True)


def _sums(facts: Facts, verdicts: Verdicts, chosen: NDArray[np.bool_], *, starred: bool) -> list[Score]:
    classes = len(set(np.array(facts.labels)[verdicts.treated]))
    kinds = np.array(facts.kinds)[chosen]
    structures = np.bincount(kinds, minlength=len(KINDS))
    correct = np.bincount(kinds, verdicts.right[chosen], len(KINDS))
    return [
        Score(
            method=verdicts.method,
            kind=kind,
            percent=100.0 * float(right) / int(number),
            classes=classes,
            starred=starred,
            counted=verdicts.counted,
            structures=int(number),
            correct=float(right),
        )
        for kind, number, right in zip(KINDS, structures, correct, strict=True)
        if number
    ]


def published_scores(method: str) -> list[Score]:
    """A row of the published table."""
    return [
        Score(method, kind, float(percent), origin="published") for kind, percent in PUBLISHED[method].items()
    ]


def scores_table(scores: Sequence[Score]) -> pa.Table:
    """Accuracies in long format, as `SCORES` says."""
    rows = [
        {
            "method": score.method,
            "origin": score.origin,
            "classes": score.classes,
            "starred": score.starred,
            "kind": str(score.kind),
            "displacement": score.kind.displacement,
            "vacancies": score.kind.vacancies,
            "counted": score.counted,
            "structures": score.structures,
            "correct": score.correct,
            "percent": score.percent,
        }
        for score in scores
    ]
    return pa.Table.from_pylist(rows, schema=SCORES)
