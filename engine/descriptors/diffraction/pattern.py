"""Diffraction patterns of finite crystals by PyTorch: one code for the CPU and the GPU.

The amplitude in a pixel is a sum over all atoms, Ψ(q) = Σ_a f_a(q) Σ_j exp(−i q·x_j): a sine and a cosine per
atom and pixel, which is what the time goes into. The sums over the atoms of a species are matrix products.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from engine.descriptors.diffraction.crystal import Crystal
from engine.descriptors.diffraction.detector import Detector, detector
from engine.descriptors.diffraction.settings import GAMMA, PIXELS, DiffractionSettings

CPU_PHASES = 1 << 19
"""Phases (atoms times pixels) at a time on a CPU, so that they stay in its caches."""
GPU_PHASES = 1 << 28


@torch.inference_mode()
def patterns(
    crystals: Sequence[Crystal],
    settings: DiffractionSettings,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Fingerprints (B, channels, 64, 64) of crystals; the brightest pixel of each is 1.

    D = A·Ω(θ)·|Ψ(q)|^γ with γ = 3/2 (Ziletti et al., Nat. Commun. 9, 2775 (2018), Methods). Lengths are in
    units of a crystal's mean nearest-neighbour distance, which stands for 1 Å. Computed in `dtype`.
    """
    seen = detector(settings.mask)
    camera = Camera(seen, torch.device(device), dtype)
    light = torch.zeros((len(crystals), len(settings.turns), len(seen.q)), dtype=dtype, device=camera.device)
    for rows in camera.exposures([len(crystal.numbers) for crystal in crystals]):
        together = [crystals[row] for row in rows]
        for channel, turns in enumerate(settings.turns):
            light[rows, channel] = sum(camera.intensity(together, *turn) for turn in turns)
    light /= light.amax(dim=(1, 2), keepdim=True)
    images = torch.zeros((*light.shape[:2], PIXELS**2), dtype=dtype, device=camera.device)
    images[..., torch.from_numpy(np.flatnonzero(seen.lit)).to(camera.device)] = light
    return images.view(*light.shape[:2], PIXELS, PIXELS)


class Camera:
    """A detector of P pixels, on a device."""

    def __init__(self, seen: Detector, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self._dtype = device, dtype
        self._seen, self._q = seen, seen.q
        self._limit = CPU_PHASES if device.type == "cpu" else GPU_PHASES

    def exposures(self, sizes: Sequence[int]) -> Iterator[list[int]]:
        """Rows of crystals of so many atoms that are computed together: on a CPU each alone.

        A crystal's pattern then does not depend, to the last bit, on what else is in its batch.
        """
        if self.device.type == "cpu":
            yield from ([row] for row in range(len(sizes)))
            return
        rows: list[int] = []
        for row in sorted(range(len(sizes)), key=lambda row: sizes[row]):
            if rows and (len(rows) + 1) * sizes[row] * len(self._q) > self._limit:
                yield rows
                rows = []
            rows.append(row)
        if rows:
            yield rows

    def intensity(self, crystals: Sequence[Crystal], axis: int, angle: float) -> Tensor:
        """Ω·|Ψ|^γ (B, P) of crystals turned by `angle` degrees about one of their Cartesian axes."""
        solid_angle = torch.from_numpy(self._seen.solid_angle).to(self.device, self._dtype)
        return solid_angle * self.amplitude(crystals, axis, angle).abs() ** GAMMA

    def amplitude(self, crystals: Sequence[Crystal], axis: int, angle: float) -> Tensor:
        """Ψ(q) (B, P), in electrons, of crystals turned by `angle` degrees about a Cartesian axis."""
        positions, species, factors = self._padded(crystals)
        q = torch.from_numpy((self._q @ rotation(axis, angle)).T).to(self.device, self._dtype)
        real = torch.zeros_like(factors)
        imaginary = torch.zeros_like(factors)
        at_once = max(1, self._limit // (len(crystals) * len(self._q)))
        for x, of_species in zip(positions.split(at_once, 1), species.split(at_once, 2), strict=True):
            phases = x @ q
            real += of_species @ torch.cos(phases)
            imaginary -= of_species @ phases.sin_()
        return torch.complex((factors * real).sum(dim=1), (factors * imaginary).sum(dim=1))

    def _padded(self, crystals: Sequence[Crystal]) -> tuple[Tensor, Tensor, Tensor]:
        """Positions (B, N, 3), the species (B, S, N) of each atom as 0 and 1, form factors (B, S, P)."""
        found = [np.unique(crystal.numbers, return_inverse=True) for crystal in crystals]
        atoms = max(len(crystal.numbers) for crystal in crystals)
        kinds = max(len(numbers) for numbers, _ in found)
        positions = np.zeros((len(crystals), atoms, 3))
        species = np.zeros((len(crystals), kinds, atoms))
        numbers_of = np.zeros((len(crystals), kinds), np.int64)
        for row, (crystal, (numbers, kind)) in enumerate(zip(crystals, found, strict=True)):
            positions[row, : len(kind)] = crystal.positions
            species[row, kind, np.arange(len(kind))] = 1.0
            numbers_of[row, : len(numbers)] = numbers
        arrays = positions, species, self._seen.form_factors[numbers_of]
        x, members, factors = (torch.from_numpy(array).to(self.device, self._dtype) for array in arrays)
        return x, members, factors


def rotation(axis: int, angle: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """The matrix (3, 3) that turns columns by `angle` degrees about a Cartesian axis."""
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix
