"""How often a diffraction network is right, crystal by crystal and kind of defect by kind, beside spglib."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from engine.structure import Structure
from models.inference import Inference
from models.training.cubic import CLASSES, SPACE_GROUPS, class_of, element_of
from models.training.cubic_defects import CubicDefect, defective_cubic
from models.training.images import Images, ImageStores
from models.training.symmetry import TOLERANCES
from models.weights_file import Model

Classes = NDArray[np.int64]

SYMMETRY_SAMPLE = "/conventional/1.00"
"""Of the sixteen descriptions of a crystal spglib sees one: it is slow on large cells without symmetry."""


@dataclass(frozen=True)
class Judged:
    """One set of structures."""

    structures: int
    right: int
    """By the mean of the dropout passes."""
    right_without_dropout: int
    least_probability: float
    """Of the right class, among all structures."""
    mistakes: dict[str, int]
    """How often an element's crystals of one class were taken for another, for example ``He bcc → sc``."""

    @property
    def accuracy(self) -> float:
        """Share of the structures whose most probable class is right."""
        return self.right / self.structures


class Judge:
    """A model's verdicts on sets of crystals of known class."""

    def __init__(self, model: Model, passes: int) -> None:
        """Draw the masks of `passes` sampled networks."""
        self._network = model.network
        self._inference = Inference.of(model, passes, seed=0)

    @torch.inference_mode()
    def __call__(self, structures: Sequence[Structure], images: Images) -> Judged:
        """Judge `structures` by their fingerprints (structures, pixels)."""
        classes, vectors = classes_of(structures), torch.from_numpy(images)
        uncertainty, _, inputs = self._inference(vectors)
        plain = self._network.head(inputs).argmax(dim=1).numpy()
        p = uncertainty.probabilities
        found = p.argmax(axis=1)
        mistakes = Counter(
            f"{element_of(structure.structure_id)} {CLASSES[right]} → {CLASSES[wrong]}"
            for structure, right, wrong in zip(structures, classes, found, strict=True)
            if right != wrong
        )
        return Judged(
            structures=len(structures),
            right=int((found == classes).sum()),
            right_without_dropout=int((plain == classes).sum()),
            least_probability=float(p[np.arange(len(p)), classes].min()),
            mistakes=dict(sorted(mistakes.items())),
        )


def classes_of(structures: Iterable[Structure]) -> Classes:
    """Numbers (structures,) of their classes."""
    return np.array([CLASSES.index(class_of(s.structure_id)) for s in structures], dtype=np.int64)


def judge_defective(
    judge: Judge,
    stores: ImageStores,
    hosts: Sequence[Structure],
    kinds: Iterable[CubicDefect],
    seed: int,
) -> Iterator[tuple[CubicDefect, Judged]]:
    """Judge one variant of every host with each kind of defect; one kind is in memory at a time."""
    for kind in kinds:
        structures = list(defective_cubic(hosts, kind, seed))
        yield kind, judge(structures, stores.images(f"test-{kind.name}", structures))


def symmetry_accuracies(
    stores: ImageStores, hosts: Sequence[Structure], kinds: Iterable[CubicDefect], seed: int
) -> dict[str, dict[str, float]]:
    """Share of a sample of the structures, by kind and tolerance, whose space group spglib finds.

    Right is the space group of the crystal that the defects were made in.
    """
    sample = [host for host in hosts if host.source_id.endswith(SYMMETRY_SAMPLE)]
    right = np.array([SPACE_GROUPS[class_of(host.structure_id)] for host in sample])
    table = {}
    for kind in (CubicDefect(), *kinds):
        structures = list(defective_cubic(sample, kind, seed))
        found = stores.space_groups(f"test-{kind.name}", structures)
        shares = (found == right[:, None]).mean(axis=0)
        table[str(kind)] = dict(zip(TOLERANCES, map(float, shares), strict=True))
    return table
