"""What `crysift map` is asked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.errors import CrysiftError
from models import DEFAULT_WEIGHTS

if TYPE_CHECKING:
    from pathlib import Path

    from engine.landscape.backend import AskedBackend
    from engine.landscape.model import MapSettings

DEFAULT_SAMPLE = 200_000


class Pictures(NamedTuple):
    """Pictures of a map: into which folder, and what they show; () for the usual four."""

    folder: Path
    show: tuple[str, ...] = ()


def _map_settings() -> MapSettings:
    from engine.landscape.cluster import ClusterSettings
    from engine.landscape.embed import EmbedSettings
    from engine.landscape.model import MapSettings

    return MapSettings(ClusterSettings(min_cluster_size=25, min_samples=10), EmbedSettings(neighbors=30))


@dataclass(frozen=True)
class MapRequest:
    """Settings of a map of a whole store."""

    layer: str = "3"
    """"descriptor" for the vectors themselves, or a hidden layer of the network from 1 on."""
    settings: MapSettings = field(default_factory=_map_settings)
    sample: int = DEFAULT_SAMPLE
    """Structures to fit the map to, if there are more; the others are placed in it."""
    backend: AskedBackend = "auto"
    weights: str = DEFAULT_WEIGHTS["arise"]
    protostructures: bool = True
    """Whether structure types are determined, to describe the clusters by."""
    update: bool = False
    """Whether structures that came since are placed in the newest map of these settings, which stays."""

    def __post_init__(self) -> None:
        """Raise CrysiftError for settings out of range."""
        if self.sample < 2:
            raise CrysiftError(f"a map fitted to {self.sample} structures: ask for a sample of at least 2")

    def as_json(self) -> dict[str, Any]:
        """Return what determines the numbers, besides the structures and the backend, under flat names."""
        return {
            "layer": self.layer,
            "sample": self.sample,
            "variance": self.settings.variance,
            **{f"cluster_{name}": value for name, value in asdict(self.settings.clustering).items()},
            **{f"embed_{name}": value for name, value in asdict(self.settings.embedding).items()},
        }
