"""Names of clusters, short enough for legends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

LONGEST = 40
"""Characters of a label."""
UNKNOWN_FROM = 0.5
"""Share of members out of distribution from which the network's prototype says little of a cluster."""
TELLING_FROM = 0.25
"""Share of members from which what they have in common names a cluster."""
FORMULA_FROM = 0.5
"""Share of members from which their anonymous formula stands before a prototype."""


def cluster_label(row: Mapping[str, Any]) -> str:
    """Name a row of the table `CLUSTERS`: its number, and what many of its members are, with their share.

    That is the prototype that the network recognises, behind the anonymous formula; where most members are
    out of distribution, the protostructure if it has any symmetry, or else the prototype that they are merely
    like, or the formula. Where nothing is common, it is the formula of the structure in the middle.
    """
    for what, share in _common(row):
        if share >= TELLING_FROM:
            return _joined(row["cluster"], what, f" {100 * share:.0f} %")
    return _joined(row["cluster"], f"around {row['medoid_formula']}" if row["medoid_formula"] else "", "")


def _common(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """What members of a cluster have in common, the most telling first, with the share that has it."""
    from models.prototypes import titles

    [formula, *_] = row["anonymous_formulas"] or [{"value": "", "share": 0.0}]
    before = f"{formula['value']} · " if formula["share"] >= FORMULA_FROM else ""
    title = titles().get(row["prototype"], row["prototype"])
    if title is not None and row["ood_fraction"] < UNKNOWN_FROM:
        yield before + title, row["prototype_share"]
    if row["protostructure"] is not None and not _has_no_symmetry(row["protostructure"]):
        yield row["protostructure"], row["protostructure_share"]
    if title is not None:
        yield f"{before}like {title}", row["prototype_share"]
    yield formula["value"], formula["share"]


def _has_no_symmetry(protostructure: str) -> bool:
    """Whether a structure type is one of space group 1, which says no more than how many atoms there are."""
    return protostructure.split("_")[2] == "1"


def _joined(cluster: int, what: str, share: str) -> str:
    """Put a label together, and cut short what stands before the share."""
    text = f"{cluster} · {what}" if what else str(cluster)
    room = LONGEST - len(share)
    if len(text) > room:
        text = text[: room - 1].rstrip() + "…"
    return text + share
