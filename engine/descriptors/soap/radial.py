"""Radial basis functions of SOAP, and their quintic B-spline tables.

Both bases are linear maps of per-distance functions, so the kernel needs nothing but a table over r.
Lengths are scaled (divided by d_NN).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline
from scipy.linalg import sqrtm
from scipy.special import erf, gamma, ive

from engine.descriptors.soap.settings import L_MAX, N_MAX, SoapSettings

Array = NDArray[np.float64]
RadialFunctions = Callable[[Array], Array]
"""From distances (P,) to values (P, L_MAX + 1, N_MAX)."""

SPLINE_DEGREE = 5
NODES_PER_SIGMA = 5
"""Quintic splines on nodes σ/5 apart reproduce a Gaussian of width σ to 3e-8 of its height."""

QUIP_CUTOFF_WIDTH = 0.5
_GTO_THRESHOLD = 1e-3
"""Decay of DScribe's outermost orbital at R_C, and of a neighbour's Gaussian at the padded cutoff."""
_SMALLEST = 1e-30
"""Table entries below this are set to zero: denormal numbers cost a factor of ten in the kernel."""


class RadialTable(NamedTuple):
    """B-spline coefficients of the radial functions, and how a distance enters them."""

    coefficients: Array
    """(L_MAX + 1, nodes, N_MAX): g_nl(r) = Σ_k B(r/spacing − k) · coefficients[l, k, n], where the six nodes
    k = floor(r/spacing) … +5 count."""
    center: Array
    """(N_MAX,): what the central atom adds to l = 0 per centre, zero where it is not counted."""
    spacing: float
    reach: float
    """The largest distance that counts."""
    taper: float
    """Neighbours are weighted by a cosine that falls from 1 at reach − taper to 0 at reach; with a taper of 0
    they are cut off sharply."""


def radial_table(settings: SoapSettings) -> RadialTable:
    """Table of the radial functions that `settings` asks for, whatever the scale."""
    return _unscaled_table(replace(settings, scale=1.0))


@lru_cache(maxsize=128)
def _unscaled_table(settings: SoapSettings) -> RadialTable:
    spacing = settings.sigma / NODES_PER_SIGMA
    if settings.basis == "quip":
        functions, reach, taper = quip_functions(settings), settings.cutoff, QUIP_CUTOFF_WIDTH
        center = np.zeros(N_MAX)
    else:
        functions = gto_functions(settings, settings.density_width)
        reach, taper = gto_reach(settings), 0.0
        at_rest = gto_functions(settings, settings.sigma)
        center = at_rest(np.zeros(1))[0, 0] / np.sqrt(4.0 * np.pi)
    coefficients = np.ascontiguousarray(spline_coefficients(functions, spacing, reach).transpose(1, 0, 2))
    return RadialTable(coefficients, center, spacing, reach, taper)


def quip_functions(settings: SoapSettings) -> RadialFunctions:
    """Equispaced Gaussians g_lb(r) = exp(−a(r_b² + r²)) i_l(2a r_b r), orthonormalised.

    r_b = (b − 1)(R_C + σ√(2·10·ln 10))/n_max and a = 1/(2σ²); the transformation is C⁻¹L with
    C_ij = exp(−a(r_i − r_j)²) and L the lower Cholesky factor of the Gaussians' overlap under r²dr on [0, ∞).
    The cutoff function is not included: the kernel applies it per neighbour. Where neighbours are smeared, a
    in g_lb is 1/(2w²) with the width w of the density; the factor (σ/w)³, the same for all, is left out.
    """
    exponent = 0.5 / settings.sigma**2
    of_density = 0.5 / settings.density_width**2
    outermost = settings.cutoff + settings.sigma * np.sqrt(20.0 * np.log(10.0))
    shells = np.arange(N_MAX) * outermost / N_MAX
    distances = shells[:, None] - shells[None, :]
    overlap = _gaussian_overlap(shells, exponent)
    transform = np.linalg.solve(np.exp(-exponent * distances**2), np.linalg.cholesky(overlap))

    def functions(r: Array) -> Array:
        argument = 2.0 * of_density * np.abs(r)[:, None] * shells[None, :]
        envelope = np.exp(-of_density * (np.abs(r)[:, None] - shells[None, :]) ** 2)
        values = np.stack([envelope * _scaled_bessel(order, argument) for order in range(L_MAX + 1)], axis=1)
        return _with_parity(r, values @ transform)

    return functions


def gto_functions(settings: SoapSettings, width: float) -> RadialFunctions:
    """Gaussian-type orbitals r^l Σ β exp(−α r²), projected on a neighbour's Gaussian of `width` analytically.

    Exponents α let orbital n of degree l decay to 1e-3 at equispaced radii from 1 to R_C, and β
    orthonormalises them (Himanen et al., Comput. Phys. Commun. 247, 106949 (2020), section 2.3). The
    projection uses ∫ r^(l+2) exp(−p r²) i_l(2 q r) dr = (√π/4) q^l p^(−l−3/2) exp(q²/p).
    """
    exponent = 0.5 / width**2
    height = (settings.sigma / width) ** 3
    radii = np.linspace(1.0, settings.cutoff, N_MAX)

    def functions(r: Array) -> Array:
        values = np.empty((r.size, L_MAX + 1, N_MAX))
        for order in range(L_MAX + 1):
            alpha = np.log(radii**order / _GTO_THRESHOLD) / radii**2
            norm = 0.5 * gamma(order + 1.5) * (alpha[:, None] + alpha[None, :]) ** (-order - 1.5)
            beta = np.real(sqrtm(np.linalg.inv(norm)))
            total = alpha + exponent
            decay = np.exp(-exponent * alpha / total * r[:, None] ** 2)
            radial = (exponent * r[:, None]) ** order * total ** (-order - 1.5) * decay
            values[:, order] = height * np.pi**1.5 * radial @ beta.T
        return values

    return functions


def gto_reach(settings: SoapSettings) -> float:
    """DScribe's padded cutoff R_C + w√(2 ln 1000), with the width w of the density."""
    return settings.cutoff + settings.density_width * float(np.sqrt(-2.0 * np.log(_GTO_THRESHOLD)))


def _gaussian_overlap(shells: Array, exponent: float) -> Array:
    """∫ exp(−a(r−r_i)²) exp(−a(r−r_j)²) r² dr on [0, ∞) for all pairs of shells."""
    mean = 0.5 * (shells[:, None] + shells[None, :])
    damping = np.exp(-0.5 * exponent * (shells[:, None] - shells[None, :]) ** 2)
    double = 2.0 * exponent
    tail = mean / (2.0 * double) * np.exp(-double * mean**2)
    bulk = np.sqrt(np.pi / double) * (mean**2 + 0.5 / double) * 0.5 * (1.0 + erf(np.sqrt(double) * mean))
    return np.asarray(damping * (bulk + tail))


def _scaled_bessel(order: int, z: Array) -> Array:
    """exp(−z) i_l(z), the modified spherical Bessel function of the first kind."""
    positive = np.where(z > 0.0, z, 1.0)
    values = np.sqrt(0.5 * np.pi / positive) * ive(order + 0.5, positive)
    return np.where(z > 0.0, values, 1.0 if order == 0 else 0.0)


def _with_parity(r: Array, values: Array) -> Array:
    """Continue the functions of degree l to negative r, where they change sign with (−1)^l."""
    signs = np.where(r[:, None] < 0.0, (-1.0) ** np.arange(L_MAX + 1)[None, :], 1.0)
    return values * signs[:, :, None]


def spline_coefficients(functions: RadialFunctions, spacing: float, reach: float) -> Array:
    """Coefficients (nodes, L_MAX + 1, N_MAX) of the uniform B-spline that interpolates `functions`."""
    margin = 24
    last = int(np.ceil(reach / spacing))
    samples = (np.arange(-margin, last + margin + 1) * spacing).astype(np.float64)
    spline = make_interp_spline(samples, functions(samples), k=SPLINE_DEGREE)
    first = margin - SPLINE_DEGREE // 2
    coefficients = np.array(spline.c[first : first + last + SPLINE_DEGREE + 1], dtype=np.float64)
    coefficients[np.abs(coefficients) < _SMALLEST] = 0.0
    return coefficients
