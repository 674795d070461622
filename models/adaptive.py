"""As many passes of Monte-Carlo dropout as the decisions about a structure ask for.

Two decisions hang on the passes: which class is the most probable, and whether the mutual information exceeds
a threshold. After each *look*, at a growing number of passes, a structure that leaves neither in doubt is
done. What is asked is how both would turn out after all passes, T = 1,000 say. The passes are independent
and equally distributed, so those seen so far are a simple random sample of all, and the mean of a quantity
over all passes lies within

    x̄ ± q s √(1/t − 1/T)

of its mean x̄ over t passes, s being their standard deviation and q a quantile of Student's t distribution
(Cochran, Sampling Techniques, 3rd ed., Wiley 1977, section 2.8; the term 1/T is the finite-population
correction). For the class, x is the difference of the probabilities of the two most probable classes. For
the mutual information it is the Kullback-Leibler divergence of a pass from the mean of the passes, whose mean
is the mutual information itself and which is also its influence function (the delta method). A plug-in
entropy of t passes is too low on average, by a share of about 1/t of the mutual information, which is
corrected for.

Looking repeatedly is paid for by Bonferroni's inequality: each look has its share of the risk that is
allowed for a decision. A decision can be wrong on one side only, so q leaves that share on one side. The
interval is asymptotic. Where all passes so far agree, s is close to zero although a rare pass might not; so
s² is enlarged as if one further pass were off by `SURPRISE`.

A decision may be so close that hundreds of passes do not settle it, and would fall out differently with other
masks. It is not pursued when the interval has become narrower than a tolerance.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import count, takewhile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import check_between
from models.confidence import Confidence
from models.dropout import Sums, Uncertainty
from models.network import Perceptron
from models.sampled_networks import MAX_PASSES, SampledNetworks

Floats = NDArray[np.float64]

SURPRISE = 0.5
"""How far off, as a probability or in nats, one further pass is taken to be."""
GPU_ROWS = 1024
"""Structures on a GPU among which those that go on are folded anew after each look."""


@dataclass(frozen=True)
class AdaptivePasses:
    """When to stop."""

    first: int = 32
    """Passes that every structure gets."""
    most: int = 1000
    """Passes after which there are no more, and whose decisions are the ones foreseen."""
    risk: float = 0.1
    """Chance, at most, that a decision is foreseen wrongly."""
    tie: float = 0.05
    """Difference of two probabilities that need not be told from none."""
    margin: float = 0.25
    """Distance to the threshold that need not be told from none, as a share of the threshold."""
    threshold: float | None = None
    """Of the mutual information, in nats; None stands for that of the model."""

    def __post_init__(self) -> None:
        """Raise CrysiftError for settings out of range."""
        check_between("adaptive passes: first", self.first, 2, MAX_PASSES)
        check_between("adaptive passes: most", self.most, self.first, MAX_PASSES)
        check_between("adaptive passes: risk", self.risk, 1e-9, 0.5)
        check_between("adaptive passes: tie", self.tie, 0.0, 1.0)
        check_between("adaptive passes: margin", self.margin, 0.0, 1.0)
        if self.threshold is not None:
            check_between("adaptive passes: threshold", self.threshold, 1e-9, 100.0)

    def settings(self, of_model: Confidence) -> dict[str, float]:
        """Return all that determines the numbers as JSON values."""
        return {**asdict(self), "threshold": self.threshold_of(of_model)}

    def threshold_of(self, of_model: Confidence) -> float:
        """Return the threshold of the mutual information, in nats: the own one, or that of the model.

        A single pass of T that contradicts all others makes a mutual information of (1 + ln T) / T, so that
        of a model counts as that much at least.
        """
        least = (1.0 + math.log(self.most)) / self.most
        return max(of_model.information_threshold, least) if self.threshold is None else self.threshold

    @property
    def looks(self) -> list[int]:
        """Numbers of passes after which to look: `first`, twice, four times as many, …, and `most`."""
        growing = takewhile(lambda passes: passes < self.most, (self.first * 2**k for k in count()))
        return [*growing, self.most]


Passes = int | AdaptivePasses
"""How many sampled networks a structure gets: a number, or as many as its decisions ask for."""


class AdaptiveDropout:
    """The sampled networks of Monte-Carlo dropout, of which a structure gets only as many as it needs.

    The first t passes are those of `MonteCarloDropout` with the same seed. What a structure gets depends on
    the seed and its vector alone.
    """

    def __init__(
        self,
        network: Perceptron,
        passes: AdaptivePasses,
        seed: int,
        confidence: Confidence,
        device: str = "cpu",
        fold: int | None = None,
    ) -> None:
        """Draw the masks of all passes; `fold` structures go into one product."""
        sizes = np.diff([0, *passes.looks]).tolist()
        self._networks = SampledNetworks(network, sizes, seed, device, fold, confidence.temperature)
        on_gpu = self._networks.device.type != "cpu"
        self.rows = GPU_ROWS if on_gpu else self._networks.fold
        self._decisions = Decisions(passes, passes.threshold_of(confidence))

    @torch.inference_mode()
    def __call__(self, vectors: Tensor) -> Uncertainty:
        """Apply as many sampled networks to `vectors` (B, inputs) as their decisions ask for."""
        sums = Sums(len(vectors), self._networks.classes, self._networks.device)
        for rows in torch.arange(len(vectors)).split(self.rows):
            self._add_until_settled(vectors, rows, sums)
        return sums.uncertainty()

    def _add_until_settled(self, vectors: Tensor, rows: Tensor, sums: Sums) -> None:
        """Look by look, fold those of the `rows` anew that go on, with all their passes so far."""
        networks, first = self._networks, None
        seen = torch.empty((len(rows), 0, networks.classes), device=networks.device)
        for look in range(len(networks.sizes)):
            if not len(rows):
                break
            going_on = []
            folds = list(zip(rows.split(networks.fold), seen.split(networks.fold), strict=True))
            for fold, earlier in folds:
                if first is None or len(folds) > 1 or first.rows != len(fold):
                    first = networks.first_layer(vectors[fold])
                log_p = torch.cat([earlier, networks.log_probabilities(first, look)], dim=1)
                settled = self._decisions.settled(log_p, look)
                if settled.any():
                    sums.add(fold[settled], log_p[settled])
                going_on.append((fold[~settled], log_p[~settled]))
            if len(folds) > 1:  # it belongs to the last of them
                first = None
            rows, seen = map(torch.cat, zip(*going_on, strict=True))


class Decisions:
    """The two decisions about a structure, and whether they are settled."""

    def __init__(self, passes: AdaptivePasses, threshold: float) -> None:
        """Compute the quantiles of all looks."""
        from scipy.special import stdtrit

        looks = np.array(passes.looks)
        tail = passes.risk / max(len(looks) - 1, 1)
        self._quantiles = (stdtrit(looks - 1, 1.0 - tail) * np.sqrt(1.0 / looks - 1.0 / passes.most)).tolist()
        self._bias = ((1.0 - 1.0 / passes.most) / (1.0 - 1.0 / looks)).tolist()
        self._last = len(looks) - 1
        self._tie, self._threshold = passes.tie, threshold
        self._margin = passes.margin * threshold

    def settled(self, log_p: Tensor, look: int) -> Tensor:
        """Tell for B structures whether more passes are needless, (B,) bool on the CPU.

        `log_p` (B, t, classes) are the logarithms of the probabilities in each pass so far.
        """
        if look == self._last:
            return torch.ones(len(log_p), dtype=torch.bool)
        p = log_p.exp()
        mean = p.mean(dim=1, keepdim=True)
        best = mean.topk(2, dim=2).indices.expand(-1, p.shape[1], -1)
        lead = p.gather(2, best).diff(dim=2)[:, :, 0]
        # 0 · log 0 is 0: a class that no pass gives any probability adds nothing
        ratio = log_p - mean.clamp_min(torch.finfo(mean.dtype).tiny).log()
        divergence = p.mul_(ratio).sum(dim=2)
        moments = torch.stack(torch.var_mean(torch.stack([lead, divergence]), dim=2))
        variances, means = moments.double().cpu().numpy()
        return torch.from_numpy(self._judged(variances, means, p.shape[1], look))

    def _judged(self, variances: Floats, means: Floats, passes: int, look: int) -> NDArray[np.bool_]:
        """Judge by variances (2, B) and means (2, B) of lead and divergence."""
        lead, information = np.abs(means[0]), means[1]
        of_lead, of_information = np.sqrt(variances + SURPRISE**2 / passes) * self._quantiles[look]
        corrected = information * self._bias[look]
        above = information > self._threshold
        clear = np.abs(corrected - self._threshold) > of_information
        clear &= (corrected > self._threshold) == above
        settled: NDArray[np.bool_] = ((lead > of_lead) | (of_lead < self._tie)) & (
            clear | (of_information < self._margin)
        )
        return settled
