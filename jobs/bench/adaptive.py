"""Adaptive passes against a fixed number: passes, time, and how often a decision falls out differently."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from engine.errors import CrysiftError
from jobs.bench.inference import soap_vectors
from jobs.bench.report import BenchmarkReport, Figure
from models.adaptive import AdaptivePasses
from models.inference import Inference
from models.stage import PredictArise
from models.weights_file import Model, load_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from jobs.bench import BenchmarkSettings
    from models.dropout import Uncertainty

COUNT, QUICK_COUNT = 2000, 300
"""Structures that are measured on."""
ROWS = 50
"""Structures that one way is applied to before it is the other's turn, so that load falls on both alike."""
GOAL = 8.0
"""So many times fewer passes are asked for."""


class _Decided(NamedTuple):
    """What N structures are decided to be, how clearly, and what it took."""

    classes: NDArray[np.int64]
    lead: NDArray[np.float64]
    """Difference of the probabilities of the two most probable classes."""
    information: NDArray[np.float64]
    passes: NDArray[np.int32]
    seconds: float


def run(settings: BenchmarkSettings) -> BenchmarkReport:
    """Measure with the default network, on the vectors of a store or on structures of a source."""
    count = QUICK_COUNT if settings.quick else COUNT
    model, asked = load_model(PredictArise.weights), AdaptivePasses()
    if settings.store is None:
        vectors, of = soap_vectors(settings, count), settings.source
    else:
        vectors = stored_vectors(settings.store, count, settings.seed)
        of = f"the store {settings.store.rstrip('/').rpartition('/')[2]}"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        adaptive, fixed, again = _measured(model, asked, vectors)
    finally:
        torch.set_num_threads(threads)
    threshold = asked.threshold_of(model.confidence)
    figures = (
        Figure("adaptive: passes per structure", float(adaptive.passes.mean()), ""),
        Figure("fixed / adaptive: passes", asked.most / adaptive.passes.mean(), "times", at_least=GOAL),
        Figure("fixed / adaptive: time", fixed.seconds / adaptive.seconds, "times"),
        *_differences("adaptive", adaptive, fixed, threshold),
        *_differences("fixed, other masks", again, fixed, threshold),
    )
    remark = (
        f"{len(vectors):,} structures from {of}, {asked.most:,} passes against {asked.first} to "
        f"{asked.most:,}, "
        f"threshold {threshold:.3g} nats, model {PredictArise.weights}, one thread"
    )
    return BenchmarkReport("adaptive", figures, (remark,))


def stored_vectors(store: str, count: int, seed: int) -> torch.Tensor:
    """Draw SOAP vectors (count, 316) from the newest ones in a store.

    Raises CrysiftError where these are other ones than the default network reads, and where there are none.
    """
    from engine.store import Store
    from models.batches import usable_rows, vectors_of

    table = Store.open(store, create=False).latest(PredictArise.source)
    PredictArise().check_source(table.fingerprint)
    rows = table.scan(["status", "vector"]).to_table()
    usable = usable_rows(rows)
    if not usable.any():
        raise CrysiftError(f"there are no SOAP vectors in {store}: name a store that was screened")
    places = np.random.default_rng(seed).permutation(np.flatnonzero(usable))[:count]
    return torch.tensor(vectors_of(rows.take(np.sort(places)).combine_chunks()))


def _measured(model: Model, asked: AdaptivePasses, vectors: torch.Tensor) -> list[_Decided]:
    """Decide by adaptive passes, by all of them, and by all of them with other masks, block by block."""
    ways = [
        Inference.of(model, asked, seed=0),
        Inference.of(model, asked.most, seed=0),
        Inference.of(model, asked.most, seed=1),
    ]
    said: list[list[Uncertainty]] = [[] for _ in ways]
    seconds = [0.0] * len(ways)
    for block in vectors.split(ROWS):
        for place, way in enumerate(ways):
            start = time.perf_counter()
            said[place].append(way(block).uncertainty)
            seconds[place] += time.perf_counter() - start
    return [_decided(parts, taken) for parts, taken in zip(said, seconds, strict=True)]


def _decided(said: list[Uncertainty], seconds: float) -> _Decided:
    p = np.concatenate([part.probabilities for part in said])
    highest = np.sort(p, axis=1)
    return _Decided(
        classes=p.argmax(axis=1),
        lead=highest[:, -1] - highest[:, -2],
        information=np.concatenate([part.mutual_information for part in said]),
        passes=np.concatenate([part.passes for part in said]),
        seconds=seconds,
    )


def _differences(name: str, judged: _Decided, fixed: _Decided, threshold: float) -> list[Figure]:
    """How often decisions are not those of the fixed run, and how clear the clearest of these are there."""
    other_class = judged.classes != fixed.classes
    other_side = (judged.information > threshold) != (fixed.information > threshold)
    distance = np.abs(fixed.information - threshold) / threshold
    return [
        Figure(f"{name}: of another class", 100 * float(other_class.mean()), "%"),
        Figure(f"{name}: largest lead among these", float(fixed.lead[other_class].max(initial=0)), ""),
        Figure(f"{name}: on the other side of the threshold", 100 * float(other_side.mean()), "%"),
        Figure(
            f"{name}: median distance to the threshold among these",
            float(np.median(distance[other_side])) if other_side.any() else 0.0,
            "thresholds",
        ),
    ]
