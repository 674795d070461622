"""What determines the numbers of a SOAP vector."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from engine.errors import CrysiftError, check_between

N_MAX = 9
L_MAX = 6
N_LM = (L_MAX + 1) ** 2
SOAP_WIDTH = N_MAX * (N_MAX + 1) // 2 * (L_MAX + 1) + 1
"""316: the power spectrum's 315 numbers and the constant 0 that closes the vector of the ARISE paper."""

Basis = Literal["quip", "gto"]
Backend = Literal["kernel", "torch", "dscribe"]


@dataclass(frozen=True)
class SoapSettings:
    """Settings of the ARISE SOAP vector (Leitherer et al., Nat. Commun. 12, 6234 (2021), Methods).

    Lengths are scaled: multiples of d_NN(α, β) times `scale`.
    """

    cutoff: float = 4.0
    """R_C, scaled."""
    sigma: float = 0.1
    """Width of the Gaussian that stands for a neighbour, scaled."""
    scale: float = 1.0
    """The extrinsic factor x by which every d_NN is multiplied."""
    basis: Basis = "quip"
    """Radial basis: the paper's equispaced Gaussians ("quip") or DScribe's Gaussian-type orbitals ("gto")."""
    backend: Backend = "kernel"
    """Our compiled kernel; its sums as matrix products by PyTorch, on a GPU where there is one; or DScribe
    (which only has the "gto" basis). They agree to 1e-5 of a vector's length."""

    def __post_init__(self) -> None:
        check_between("SOAP setting cutoff", self.cutoff, 1.5, 12.0)
        check_between("SOAP setting sigma", self.sigma, 0.02, 1.0)
        check_between("SOAP setting scale", self.scale, 0.1, 10.0)
        _check_one_of("basis", self.basis, ("quip", "gto"))
        _check_one_of("backend", self.backend, ("kernel", "torch", "dscribe"))
        if self.backend == "dscribe" and self.basis != "gto":
            raise CrysiftError(
                f'the DScribe backend has no radial basis "{self.basis}": '
                'take basis "gto" with it, or backend "kernel" or "torch", which have both'
            )

    @property
    def density_width(self) -> float:
        """Width of the Gaussian that a neighbour contributes to the density, scaled."""
        return self.sigma


@dataclass(frozen=True)
class SmearedSoapSettings(SoapSettings):
    """SOAP of atoms in motion: every neighbour is smeared over its displacements from the central atom.

    Where displacements are independent and Gaussian, the mean density of a moving crystal is that of the
    crystal at rest convolved with a Gaussian (Debye–Waller): a wider Gaussian for every neighbour, in the
    radial basis of `sigma`. Coefficients that are averaged over the atoms before they are squared tend to it.
    """

    smearing: float = 0.0
    """Standard deviation, scaled, of a neighbour's displacement from the central atom, along each axis."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_between("SOAP setting smearing", self.smearing, 0.0, 1.0)
        if self.smearing and self.backend == "dscribe":
            raise CrysiftError(
                'the DScribe backend cannot smear neighbours: take backend "kernel" or "torch"'
            )

    @property
    def density_width(self) -> float:
        """Width of a Gaussian after convolution with another."""
        return math.hypot(self.sigma, self.smearing)


def _check_one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise CrysiftError(f'SOAP setting {name} = "{value}" is none of {", ".join(allowed)}')
