"""Which prototypes a network takes for which others."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from engine.descriptors.soap import SoapSettings
from jobs.bench.accuracy.sets import KINDS
from models.prototypes import prototypes, titles
from models.training.duplicates import unit_vector
from models.training.replicas import pristine_structures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from jobs.bench.accuracy.sets import Facts

CONFUSIONS = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("displacement", pa.float64(), nullable=False, metadata={"unit": "d_NN"}),
        pa.field("vacancies", pa.float64(), nullable=False),
        pa.field("prototype", pa.string(), nullable=False),
        pa.field("taken_for", pa.string(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
        pa.field("structures", pa.int64(), nullable=False),
    ]
)
"""One row per model, kind of defect and pair of classes, the most frequent pair of a kind first.

`structures` of the prototype were asked about.
"""
SHOWN = 10
HEADING = ("prototype", "taken for", "vectors apart", "times", "most with")


def confusions_of(model: str, facts: Facts, found: Sequence[str | None]) -> pa.Table:
    """Count what a model took for something else: `found` (N,) are its classes, in the order of `facts`.

    Structures that failed have no class, and are taken for nothing.
    """
    asked = Counter(zip(facts.kinds, facts.labels, strict=True))
    wrong = Counter(
        (kind, label, taken)
        for kind, label, taken in zip(facts.kinds, facts.labels, found, strict=True)
        if taken is not None and taken != label
    )
    ordered = sorted(wrong.items(), key=lambda item: (item[0][0], -item[1], item[0][1:]))
    rows = [
        {
            "model": model,
            "kind": str(KINDS[kind]),
            "displacement": KINDS[kind].displacement,
            "vacancies": KINDS[kind].vacancies,
            "prototype": label,
            "taken_for": taken,
            "count": count,
            "structures": asked[kind, label],
        }
        for (kind, label, taken), count in ordered
    ]
    return pa.Table.from_pylist(rows, schema=CONFUSIONS)


def most_frequent(confusions: pa.Table, shown: int = SHOWN) -> list[tuple[str, ...]]:
    """Rows for a table: the pairs of classes that a model confuses most, over all kinds of defects.

    A row has both prototypes, how far apart their pristine vectors are, how often the first was taken for the
    second, and the kinds with most of these.
    """
    named = titles()
    by_pair: dict[tuple[str, str], Counter[str]] = {}
    for row in confusions.to_pylist():
        by_pair.setdefault((row["prototype"], row["taken_for"]), Counter())[row["kind"]] += row["count"]
    ordered = sorted(by_pair.items(), key=lambda item: (-item[1].total(), item[0]))
    return [
        (
            named.get(right, right),
            named.get(wrong, wrong),
            _apart(right, wrong),
            f"{kinds.total():,}",
            "; ".join(f"{kind}: {count:,}" for kind, count in kinds.most_common(3)),
        )
        for (right, wrong), kinds in ordered[:shown]
    ]


def _apart(one: str, other: str) -> str:
    """Distance of two prototypes' SOAP vectors, both of length 1; nothing for an added class."""
    vectors = _pristine_vectors()
    if one not in vectors or other not in vectors:
        return ""
    return f"{np.linalg.norm(vectors[one] - vectors[other]):.3f}"


@lru_cache(maxsize=1)
def _pristine_vectors() -> dict[str, NDArray[np.floating]]:
    return {
        prototype.label: unit_vector(pristine_structures([prototype])[0], SoapSettings())
        for prototype in prototypes()
    }
