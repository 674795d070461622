"""The two-dimensional diffraction fingerprint (Ziletti et al., Nat. Commun. 9, 2775 (2018))."""

from engine.descriptors.diffraction.settings import DiffractionSettings

__all__ = ["DiffractionSettings"]
