"""How far the probabilities and the uncertainty of a model are to be trusted."""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import CrysiftError

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.05, 20.0


@dataclass(frozen=True)
class Confidence:
    """What calibration on held-out structures of known class says about a network.

    Raises CrysiftError for values that no calibration gives.
    """

    temperature: float = 1.0
    """Divides the logits of every pass (Guo et al., ICML 2017, section 4.2); 1 leaves them as they are."""
    information_threshold: float = 0.1
    """Mutual information, in nats, from which on a structure counts as uncertain."""

    def __post_init__(self) -> None:
        if not LOWEST_TEMPERATURE <= self.temperature <= HIGHEST_TEMPERATURE:
            raise CrysiftError(
                f"the temperature {self.temperature:g} is outside [{LOWEST_TEMPERATURE:g}, "
                f"{HIGHEST_TEMPERATURE:g}]"
            )
        if not self.information_threshold > 0.0:
            raise CrysiftError(
                f"the threshold of the mutual information {self.information_threshold:g} is not positive"
            )
