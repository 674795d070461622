"""The stages that a command asks for: descriptors, and networks with their weights."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from engine.errors import CrysiftError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from engine.descriptors.diffraction import DiffractionSettings
    from engine.descriptors.soap import SoapSettings
    from engine.stage import Device, Stage
    from models.adaptive import Passes
    from models.stage import PredictStage


def descriptor_stage(
    table: str, soap: SoapSettings, diffraction: DiffractionSettings, device: Device
) -> Stage:
    """Return the stage that writes a table of descriptors, `features_soap` or `features_diffraction`."""
    if table == "features_soap":
        from engine.descriptors.soap.stage import SoapStage

        return SoapStage(soap, device)
    from engine.descriptors.diffraction.stage import DiffractionStage

    return DiffractionStage(diffraction, device)


def stages_of(models: Iterable[PredictStage | str]) -> dict[str, PredictStage]:
    """Return the stages of networks by name, always in the same order; a bare name gets default settings.

    Raises CrysiftError for an unknown name, a network named twice, and none at all.
    """
    from models.stage import PREDICTIONS

    found: dict[str, PredictStage] = {}
    for model in models:
        stage = _network(model, {}) if isinstance(model, str) else model
        if stage.architecture in found:
            raise CrysiftError(f"the network {stage.architecture!r} is named twice: name it once")
        found[stage.architecture] = stage
    if not found:
        raise CrysiftError(f"no network is named: choose from {', '.join(PREDICTIONS)}")
    return {name: found[name] for name in PREDICTIONS if name in found}


def networks(names: Sequence[str], weights: Sequence[str], **settings: Any) -> tuple[PredictStage, ...]:
    """Return the stages of networks by name, each with those ``weights`` that are of its architecture.

    ``settings`` are those of every stage. Raises CrysiftError for an unknown name, for weights of none of
    these networks, and for two of one network.
    """
    from models.weights_file import model_metadata

    stages = stages_of(_network(name, settings) for name in names)
    chosen: dict[str, str] = {}
    for each in weights:
        of = model_metadata(each)["architecture"]
        if of not in stages:
            raise CrysiftError(
                f"the weights {each} are of the network {of!r}, and {', '.join(names)} is asked for: "
                f"ask for {of!r}, or leave these weights out"
            )
        if of in chosen:
            raise CrysiftError(f"the weights {chosen[of]} and {each} are both of {of!r}: name one of them")
        chosen[of] = each
    return tuple(replace(stage, weights=chosen.get(name, stage.weights)) for name, stage in stages.items())


def passes_asked(passes: int | str, threshold: float | None = None) -> Passes:
    """Return a number of passes, or what decides how many a structure gets, from the words of a command.

    Raises CrysiftError where a threshold goes with a fixed number of passes.
    """
    from jobs.options import ADAPTIVE
    from models.adaptive import AdaptivePasses

    if passes == ADAPTIVE:
        return AdaptivePasses(threshold=threshold)
    if threshold is not None:
        raise CrysiftError(f"--threshold decides nothing with --passes {passes}: ask for --passes {ADAPTIVE}")
    return int(passes)


def _network(name: str, settings: dict[str, Any]) -> PredictStage:
    from models.stage import PREDICTIONS

    if name not in PREDICTIONS:
        raise CrysiftError(f"there is no network {name!r}: choose from {', '.join(PREDICTIONS)}")
    return PREDICTIONS[name](**settings)
