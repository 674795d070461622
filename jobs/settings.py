"""Everything a screening can be asked to do differently."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from engine.errors import check_between

if TYPE_CHECKING:
    from connectors.settings import SourceSettings
    from engine.descriptors.diffraction import DiffractionSettings
    from engine.descriptors.soap import SoapSettings
    from engine.execution import Cluster, Executor
    from engine.stage import Stage
    from engine.validation import StructureLimits
    from models.stage import PredictStage


def _local() -> Cluster:
    from engine.execution.cluster import LOCAL

    return LOCAL


def _limits() -> StructureLimits:
    from engine.validation import StructureLimits

    return StructureLimits()


def _sources() -> SourceSettings:
    from connectors.settings import SourceSettings

    return SourceSettings()


def _soap() -> SoapSettings:
    from engine.descriptors.soap import SoapSettings

    return SoapSettings()


def _diffraction() -> DiffractionSettings:
    from engine.descriptors.diffraction import DiffractionSettings

    return DiffractionSettings()


@dataclass(frozen=True)
class ExecutionSettings:
    """How to run; nothing here changes a number in a table."""

    executor: Literal["auto", "inline", "cluster"] = "auto"
    """inline: in this process; cluster: Dask for features, Ray for predictions; auto: by the input's size."""
    workers: int | None = None
    """Worker processes; None takes what cores and memory allow."""
    add_table: bool = False
    """Keep results of other settings beside those in the store instead of refusing."""
    cluster: Cluster = field(default_factory=_local)
    """Clusters that run already; by default none, and stages start their own on this machine."""

    def executor_of(self, stage: Stage) -> Executor | Literal["auto"]:
        """Return what runs a stage: the cluster is the stage's own choice, a named one is always used."""
        named = self.executor == "auto" and not self.cluster.is_local
        return stage.engine if self.executor == "cluster" or named else self.executor


@dataclass(frozen=True)
class ScreenSettings:
    """Settings of a whole screening, with those of its steps."""

    limits: StructureLimits = field(default_factory=_limits)
    models: tuple[PredictStage | str, ...] = ("arise",)
    """Networks to apply, in any order: "arise", "diffraction", or their stages with other settings."""
    soap: SoapSettings = field(default_factory=_soap)
    """Descriptor that "arise" reads."""
    diffraction: DiffractionSettings = field(default_factory=_diffraction)
    """Descriptor that "diffraction" reads."""
    fdr: float = 0.1
    """False discovery rate of the selection: the share of known structures among those that are selected."""
    execution: ExecutionSettings = field(default_factory=ExecutionSettings)
    sources: SourceSettings = field(default_factory=_sources)

    def __post_init__(self) -> None:
        """Raise CrysiftError for networks that are unknown or named twice, or a rate outside [0, 1]."""
        self.predictions()
        check_between("screening setting fdr", self.fdr, 0.0, 1.0)

    def predictions(self) -> dict[str, PredictStage]:
        """Return the stages of the networks by name, always in the same order."""
        from jobs.stages import stages_of

        return stages_of(self.models)

    def stages(self) -> list[Stage]:
        """Return what is derived: each network's descriptor and its predictions, last the structure types."""
        from engine.symmetry.stage import ProtostructureStage
        from jobs.stages import descriptor_stage

        of_networks = [
            stage
            for network in self.predictions().values()
            for stage in (
                descriptor_stage(network.source, self.soap, self.diffraction, network.device),
                network,
            )
        ]
        return [*of_networks, ProtostructureStage()]

    def as_json(self) -> dict[str, Any]:
        """Return what determines the numbers, and how to run, as JSON values for the record of the run."""
        return {
            "limits": asdict(self.limits),
            **{stage.name: {**stage.settings(), "model": stage.model_hash()} for stage in self.stages()},
            "fdr": self.fdr,
            "execution": asdict(self.execution),
        }
