"""Reliability diagrams: how often networks are right when they are sure to a given degree.

`python -m jobs.studies.reliability PICTURE [MODEL …]` draws them for the shipped ARISE networks, or for the
models named, and prints their calibration errors as JSON.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jobs.picture import picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray
    from torch import Tensor

    from models.training.calibration import Reliability

TEST_SEED = 0
HOST_STEP = 7
"""Every so many of the structures that defects are made in."""
PASSES = 200
COLOURS = {"before": "#e69f00", "after": "#2f6db5"}


class Judged(NamedTuple):
    """A model on defective structures, at temperature 1 and at its own."""

    name: str
    temperature: float
    before: Reliability
    after: Reliability

    @property
    def series(self) -> dict[str, float]:
        """What there is to draw, with its temperature: one where the model's own is 1."""
        return ({} if self.temperature == 1.0 else {"before": 1.0}) | {"after": self.temperature}


def judge(name: str) -> Judged:
    """Apply a model to one draw of every kind of defect of the benchmark."""
    import torch

    from models.confidence import Confidence
    from models.inference import Inference
    from models.training.calibration import reliability
    from models.weights_file import load_model

    torch.set_num_threads(1)
    model = load_model(name)
    vectors, classes = _structures(tuple(model.features.items()), model.labels)
    own = model.confidence.temperature
    at = {
        temperature: reliability(inference(vectors).uncertainty.probabilities, classes)
        for temperature in {1.0, own}
        for inference in [Inference(model.network, PASSES, 0, confidence=Confidence(temperature))]
    }
    return Judged(Path(name).name, own, at[1.0], at[own])


@cache
def _structures(
    features: tuple[tuple[str, Any], ...], labels: tuple[str, ...]
) -> tuple[Tensor, NDArray[np.int64]]:
    """Return SOAP vectors (N, 316) with these settings and classes (N,) of defective structures."""
    import torch

    from engine.descriptors.soap import SoapSettings
    from engine.descriptors.soap.stage import soap_features
    from engine.structure import structures_table
    from models.batches import vectors_of
    from models.training.defects import BENCHMARK_DEFECTS, defective
    from models.training.replicas import defect_hosts, label_of

    settings, hosts = SoapSettings(**dict(features)), defect_hosts()[::HOST_STEP]
    vectors: list[NDArray[Any]] = []
    classes: list[int] = []
    for kind in BENCHMARK_DEFECTS:
        structures = list(defective(hosts, kind, 1, TEST_SEED))
        vectors.append(vectors_of(soap_features(structures_table(structures), settings)))
        classes += [labels.index(label_of(each.structure_id)) for each in structures]
    return torch.from_numpy(np.concatenate(vectors)), np.array(classes, dtype=np.int64)


def draw(path: Path, judged: Sequence[Judged]) -> None:
    """Draw accuracy over confidence for each model, with the numbers of predictions below."""
    with picture(path, (4.2 * len(judged), 4.6)) as figure:
        grid = figure.subplots(2, len(judged), sharex=True, squeeze=False, height_ratios=(3, 1))
        for (accuracies, numbers), each in zip(grid.T, judged, strict=True):
            _accuracies(accuracies, each)
            _numbers(numbers, each)
        grid[0, 0].set(ylabel="share of right answers")
        grid[1, 0].set(ylabel="structures")


def _accuracies(axes: Axes, judged: Judged) -> None:
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, label="calibrated")
    for when, temperature in judged.series.items():
        found: Reliability = getattr(judged, when)
        filled = found.counts > 0
        low, high = wilson(found.accuracy[filled], found.counts[filled])
        axes.errorbar(
            found.confidence[filled],
            found.accuracy[filled],
            yerr=[found.accuracy[filled] - low, high - found.accuracy[filled]],
            color=COLOURS[when],
            marker="o" if when == "before" else "s",
            markersize=4,
            linestyle="none",
            elinewidth=1,
            label=f"temperature {temperature:.2f}: error {100 * found.error:.2f} %",
        )
    axes.set(title=judged.name, xlim=(0, 1), ylim=(-0.02, 1.3))  # with room for the legend
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.legend(fontsize=8, loc="upper left")


def wilson(
    share: NDArray[np.float64], counts: NDArray[np.int64], z: float = 1.96
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the limits of the shares that `share` of `counts` trials leaves possible, by default of 95 %.

    E. B. Wilson, J. Am. Stat. Assoc. 22, 209 (1927).
    """
    middle = (share + z**2 / (2 * counts)) / (1 + z**2 / counts)
    half = z * np.sqrt(share * (1 - share) / counts + z**2 / (4 * counts**2)) / (1 + z**2 / counts)
    return np.minimum(middle - half, share), np.maximum(middle + half, share)


def _numbers(axes: Axes, judged: Judged) -> None:
    edges = np.linspace(0, 1, len(judged.after.counts) + 1)
    for when in judged.series:
        counts = getattr(judged, when).counts
        axes.stairs(np.maximum(counts, 0.5), edges, color=COLOURS[when])
    axes.set(yscale="log", ylim=(0.5, None), xlabel="probability of the most probable class")


def main(arguments: Sequence[str]) -> None:
    """Draw the picture that is named first, of the models named after it."""
    from models.catalogue import shipped_models

    if not arguments:
        raise SystemExit("usage: python -m jobs.studies.reliability PICTURE [MODEL …]")
    judged = [judge(name) for name in arguments[1:] or shipped_models("arise")]
    draw(Path(arguments[0]), judged)
    figures = {
        each.name: {
            "temperature": each.temperature,
            "structures": int(each.after.counts.sum()),
            **{when: getattr(each, when).error for when in ("before", "after")},
        }
        for each in judged
    }
    sys.stdout.write(f"{json.dumps(figures, indent=2)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
