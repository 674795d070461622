"""What every study is: something that can be asked for, and reports what it found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from models import DEFAULT_WEIGHTS

if TYPE_CHECKING:
    from engine.execution import Listener
    from engine.spm import SoapMode
    from jobs.settings import ExecutionSettings
    from jobs.studies.checks import Check

PASSES, QUICK_PASSES = 1000, 100


@dataclass(frozen=True, kw_only=True)
class StudyRequest:
    """How to do a study; what one has no use for, it refuses."""

    quick: bool = False
    """Fewer structures or boxes, and fewer passes."""
    weights: str = DEFAULT_WEIGHTS["arise"]
    seed: int = 0
    file: Path | None = None
    """The structure, where a study does not make its own."""
    mode: SoapMode | None = None
    """How boxes are described; None is "exact"."""

    @property
    def passes(self) -> int:
        """Stochastic passes per structure or box."""
        return QUICK_PASSES if self.quick else PASSES

    def variant(self, first: str) -> str:
        """Name files of these settings: `first`, "quick", and the weights where they are not the default.

        Models that are not shipped are told apart by the beginning of their SHA-256, too.
        """
        return "-".join(part for part in (first, "quick" if self.quick else "", self._model) if part)

    @property
    def _model(self) -> str:
        from models.weights_file import WEIGHTS, model_digest, model_folder

        folder = model_folder(self.weights).resolve()
        if folder.parent != WEIGHTS.resolve():
            return f"{folder.name}-{model_digest(self.weights)[:8]}"
        return "" if folder.name == DEFAULT_WEIGHTS["arise"] else folder.name


@dataclass(frozen=True)
class StudyReport:
    """What a study found."""

    study: Study
    request: StudyRequest
    counted: str
    """What was studied, in a sentence."""
    facts: dict[str, Any]
    """The same and the settings, as JSON values."""
    checks: list[Check]

    @property
    def holds(self) -> bool:
        """Whether all limits are reached."""
        return all(check.holds is not False for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "study": self.study.name,
            "title": self.study.title,
            "known": self.study.known,
            "weights": self.request.weights,
            "passes": self.request.passes,
            "seed": self.request.seed,
            **self.facts,
            "checks": [check.as_json() for check in self.checks],
            "holds": self.holds,
        }


class Study(Protocol):
    """Structures, what is done with them, and what is known of them."""

    @property
    def name(self) -> str:
        """What it is asked for by."""

    @property
    def title(self) -> str:
        """What is studied."""

    @property
    def known(self) -> str:
        """What the literature or geometry says, with its source."""

    @property
    def extent(self) -> str:
        """How much is classified: structures, or the edge and the stride of the boxes."""

    @property
    def file(self) -> str | None:
        """What a file must hold where one is needed."""

    def run(
        self, request: StudyRequest, folder: Path, execution: ExecutionSettings, listener: Listener
    ) -> StudyReport:
        """Do it in a folder, where the same call goes on after an interruption.

        Raises CrysiftError where the request does not suit this study.
        """
