"""Random diffuse light on diffraction patterns: what training adds to the patterns of perfect crystals.

Whatever the disorder of a crystal is, part of the light leaves the Bragg peaks and is spread between them as
speckles, whose brightness falls with the form factors. Light elements need this in training: their form
factors fall so fast that the speckles near the mask outshine the peaks behind them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.descriptors.diffraction.detector import detector
from engine.descriptors.diffraction.settings import GAMMA, MASK_RADII, PIXELS

EXTENT = 14
"""Random scatterers per side of a square: speckles four to five pixels wide, up to twice as wide as the peaks
of a crystal of 128 atoms. Finer ones are taken for peaks: with them the network errs more often."""
STEEPEST = 0.4
"""1/pixel, the fastest fall of the light with the distance from the mask; |f|^γ of hydrogen falls by 0.3."""


def with_diffuse_light(images: Tensor, brightness: float, mask: bool) -> Tensor:
    """Patterns (B, pixels) of any number of channels, each with light of its own; the brightest pixel is 1.

    The light is |FT of random numbers|^γ, falling exponentially from the mask outwards, its brightest speckle
    between 0 and `brightness`; fall and brightness are drawn uniformly for every image. `mask` is that of the
    detector.
    """
    B, channels = len(images), images.shape[1] // PIXELS**2
    scatterers = torch.randn(B * channels, EXTENT, EXTENT)
    amplitude = torch.fft.fftshift(torch.fft.fft2(scatterers, s=(PIXELS, PIXELS)), dim=(1, 2)).abs()
    fall = torch.exp(-STEEPEST * torch.rand(B, 1, 1) * (_radii() - MASK_RADII[0]).clamp_min(0.0))
    lit = torch.from_numpy(detector(mask).lit).flatten()
    light = (amplitude.view(B, channels, -1) ** GAMMA * fall * lit).flatten(1)
    light *= brightness * torch.rand(B, 1) / light.amax(dim=1, keepdim=True)
    sums: Tensor = images + light
    return sums.div_(sums.amax(dim=1, keepdim=True))


def _radii() -> Tensor:
    """Distance of every pixel (pixels,) from the centre of the detector, in pixels."""
    places = torch.arange(PIXELS) - (PIXELS - 1) / 2
    return torch.hypot(*torch.meshgrid(places, places, indexing="ij")).flatten()
