"""Classes on demand: from files and labels to an extended model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import CrysiftError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connectors.settings import SourceSettings
    from jobs.additions import Candidates
    from jobs.console import Console
    from models.weights_file import Model


NewClasses = Callable[["Model"], "Candidates"]
"""Finds new classes for a model: their prototypes, and the reasons of rejects."""


@dataclass(frozen=True)
class FromFiles:
    """New classes that stand in files."""

    added: Sequence[str]
    """Files, folders, globs and tables of structures."""
    labels: Sequence[str]
    """One for all that is added, one for each, or none for tables that have labels."""
    sources: SourceSettings

    def __call__(self, base: Model) -> Candidates:  # noqa: ARG002 -- see `NewClasses`
        """Read them."""
        from jobs.additions import read_additions

        return read_additions(self.added, self.labels, self.sources)


@dataclass(frozen=True)
class Extending:
    """Which model is extended, and how."""

    base: str
    """Name or folder of the model to extend."""
    allow_duplicates: bool = False
    """Train classes all the same that are nearly known ones."""
    epochs: int | None = None
    """Passes over the training set; None for the default of an extension."""
    seed: int = 42


def extend_model(
    new: NewClasses, asked: Extending, output: Path, work: Path | None, console: Console
) -> Model:
    """Extend a model by `new` classes, and tell what these are near to and what it cost the old ones.

    Raises CrysiftError for near-duplicates that were not allowed, and where the output is the base itself.
    """
    from rich.markup import escape

    from jobs.progress import ProgressBars
    from models.training.additions import addition_to
    from models.training.duplicates import refuse_duplicates
    from models.training.extend import ExtensionSettings, extend_arise
    from models.weights_file import load_model, model_folder

    if output.resolve() == model_folder(asked.base).resolve():
        raise CrysiftError(f"{output} is the model to extend: name another folder with --output")
    base = load_model(asked.base)
    candidates = new(base)
    for reason in candidates.rejects:
        console.note(f"left out: {reason}")
    addition = addition_to(base, candidates.prototypes)
    for neighbor in addition.neighbors:
        console.say(escape(f"  {neighbor}"))
    if not asked.allow_duplicates:
        refuse_duplicates(addition.neighbors)
    settings = ExtensionSettings()
    epochs = asked.epochs or settings.optimisation.epochs
    settings = replace(settings, optimisation=replace(settings.optimisation, epochs=epochs, seed=asked.seed))
    with ProgressBars(console) as bars:
        model = extend_arise(
            output,
            base,
            addition,
            settings,
            work=work,
            listener=bars,
            on_epoch=bars.count_epochs("arise", epochs),
        )
    for row in judged_rows(model):
        console.say(escape(row))
    return model


def judged_rows(model: Model) -> list[str]:
    """Lines of the last extension's accuracies: the old classes before and after, and every new class."""
    judged: list[dict[str, Any]] = model.card["extensions"][-1]["judged"]
    labels = list(judged[0]["added"])
    headings = "  ".join(f"{label:>6}" for label in labels)
    head = f"  {'percent correct':>16}  {'before':>7} {'after':>7}  {headings}"
    rows = [
        f"  {each['kind']:>16}  {100 * each['before']:7.2f} {100 * each['after']:7.2f}  "
        + "  ".join(f"{100 * each['added'][label]:{max(len(label), 6)}.2f}" for label in labels)
        for each in judged
    ]
    return [head, *rows]


def summary_of(model: Model) -> dict[str, Any]:
    """What `crysift train --add --json` says besides what every training says."""
    told = model.card["extensions"][-1]
    return {name: told[name] for name in ("labels", "neighbors", "judged")}
