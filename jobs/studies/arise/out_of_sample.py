"""What the network makes of crystals that are none of its classes (Leitherer et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from engine.structure import Structure
from jobs.studies.arise.study import with_columns
from jobs.studies.arise.unlisted_crystals import UNLISTED
from jobs.studies.checks import Check, separation

if TYPE_CHECKING:
    from jobs.studies.arise.classify import Classified

CANDIDATES = 5


def structures(quick: bool) -> list[Structure]:  # noqa: ARG001 -- as all studies are asked
    """The ten crystals, and the 96 periodic prototypes to compare them with."""
    from models.training.replicas import pristine_structures

    known = [each for each in pristine_structures() if any(each.dimension_types)]
    return [*(crystal.structure() for crystal in UNLISTED), *known]


def tabulate(series: Sequence[Structure], classified: Classified) -> pa.Table:
    """Name, kin and the place from 1 of the first kin among the candidates, null where there is none."""
    crystals = {crystal.name: crystal for crystal in UNLISTED}
    of = [crystals.get(structure.source_id) for structure in series]
    places = [
        _place_of_kin(candidates, crystal.kin) if crystal else None
        for crystal, candidates in zip(of, classified.said["top"].to_pylist(), strict=True)
    ]
    kin = pa.array([list(each.kin) if each else None for each in of], pa.list_(pa.string()))
    return with_columns(
        classified.said,
        title=([each.title if each else None for each in of], None),
        is_known=([each is None for each in of], None),
        kin=(kin, None),
        reason=([each.reason if each else None for each in of], None),
        place_of_kin=(pa.array(places, pa.int32()), None),
    )


def checks(rows: pa.Table) -> list[Check]:
    """Kin on top, and more doubt than of the prototypes themselves."""
    from models.prototypes import prototypes

    known = rows["is_known"].to_numpy()
    unlisted = rows.filter(pa.array(~known))
    places = [place or np.inf for place in unlisted["place_of_kin"].to_pylist()]
    count, chance = (
        len(places),
        np.mean([len(kin) for kin in unlisted["kin"].to_pylist()]) / len(prototypes()),
    )
    found = [
        Check(
            f"share of the {count} crystals whose first candidate is kin (by chance {chance:.2f})",
            float(np.mean([place == 1 for place in places])),
            0.5,
        ),
        Check(
            f"the same, kin among the first {CANDIDATES} (by chance at most {CANDIDATES * chance:.2f})",
            float(np.mean([place <= CANDIDATES for place in places])),
            0.7,
        ),
        Check(
            f"share of the {count} crystals that are flagged as out of distribution",
            float(np.mean(unlisted["is_ood"].to_numpy(zero_copy_only=False))),
            0.7,
        ),
    ]
    for name, words in (
        ("mutual_information", "mutual information"),
        ("ood_score", "out-of-distribution score"),
    ):
        values = rows[name].to_numpy()
        finding = f"{words}: separation of the {count} from the {int(known.sum())} periodic prototypes"
        found.append(Check(finding, separation(values[~known], values[known]), 0.9))
    return found


def _place_of_kin(candidates: Sequence[dict[str, Any]], kin: Sequence[str]) -> int | None:
    places = (place for place, each in enumerate(candidates, start=1) if each["prototype"] in kin)
    return next(places, None)
