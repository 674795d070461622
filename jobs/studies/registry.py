"""All studies that `crysift study` knows."""

from __future__ import annotations

from engine.errors import CrysiftError
from jobs.studies.arise.studies import STUDIES as OF_PROTOTYPES
from jobs.studies.atomistic.studies import STUDIES as OF_GRAINS
from jobs.studies.study import Study

STUDIES: tuple[Study, ...] = (*OF_GRAINS, *OF_PROTOTYPES)


def study_named(name: str) -> Study:
    """Find a study; raises CrysiftError for an unknown name."""
    found = {study.name: study for study in STUDIES}
    if name not in found:
        raise CrysiftError(f"there is no study {name!r}: take one of {', '.join(found)}")
    return found[name]
