from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.interpolate import BSpline
from scipy.special import ive

from engine.descriptors.soap.radial import (
    SPLINE_DEGREE,
    gto_functions,
    gto_reach,
    quip_functions,
    radial_table,
)
from engine.descriptors.soap.settings import L_MAX, SoapSettings
from engine.errors import CrysiftError

SETTINGS = [
    SoapSettings(basis=basis, cutoff=cutoff, sigma=sigma)
    for basis in ("quip", "gto")
    for cutoff, sigma in ((3.0, 0.08), (4.0, 0.1), (5.0, 0.12))
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_table_reproduces_the_radial_functions(settings: SoapSettings) -> None:
    table = radial_table(settings)
    functions = (
        quip_functions(settings) if settings.basis == "quip" else gto_functions(settings, settings.sigma)
    )
    r = np.random.default_rng(0).uniform(0.0, table.reach, 500)
    node = (r / table.spacing).astype(int)
    spline = BSpline.basis_element(np.arange(SPLINE_DEGREE + 2), extrapolate=False)
    values = sum(
        spline(r / table.spacing - node + SPLINE_DEGREE - j)[:, None, None]
        * table.coefficients[:, node + j].transpose(1, 0, 2)
        for j in range(SPLINE_DEGREE + 1)
    )
    exact = functions(r)
    assert np.abs(values - exact).max() < 2e-7 * np.abs(exact).max()


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_no_table_holds_denormal_numbers(settings: SoapSettings) -> None:
    magnitudes = np.abs(radial_table(settings).coefficients)
    assert magnitudes[magnitudes > 0].min() >= 1e-30


def test_the_orbitals_are_the_integrals_of_a_neighbours_gaussian() -> None:
    """The closed form against quadrature of its definition, for one orbital of each degree."""
    settings = SoapSettings(basis="gto")
    a = 0.5 / settings.sigma**2
    distance, degrees = 2.3, range(L_MAX + 1)
    radii = np.linspace(1.0, settings.cutoff, 9)
    closed = gto_functions(settings, settings.sigma)(np.array([distance]))[0]
    for order in degrees:
        alpha = np.log(radii**order / 1e-3) / radii**2

        norm = np.array([[_overlap(order, alpha[i] + alpha[j]) for j in range(9)] for i in range(9)])
        values, vectors = np.linalg.eigh(norm)
        beta = vectors @ np.diag(values**-0.5) @ vectors.T
        raw = np.array([_projection(order, alpha[i], a, distance) for i in range(9)])
        np.testing.assert_allclose(closed[order], beta @ raw, rtol=2e-4, atol=1e-6)


def _overlap(order: int, exponent: float) -> float:
    """∫ r^(2l+2) exp(−α r²) dr."""
    return float(quad(lambda r: r ** (2 * order + 2) * np.exp(-exponent * r * r), 0, 30, limit=200)[0])


def _projection(order: int, alpha: float, a: float, distance: float) -> float:
    """4π ∫ r^(l+2) exp(−α r²) exp(−a(r² + d²)) i_l(2 a r d) dr."""

    def integrand(r: float) -> float:
        z = 2 * a * r * distance
        bessel = np.sqrt(np.pi / (2 * z)) * ive(order + 0.5, z)
        return float(r ** (order + 2) * np.exp(-alpha * r * r - a * (r - distance) ** 2) * bessel)

    return float(4 * np.pi * quad(integrand, 1e-9, 8, points=[distance], limit=200)[0])


def test_the_padded_cutoff_is_where_a_neighbours_gaussian_has_fallen_to_a_thousandth() -> None:
    settings = SoapSettings(basis="gto")
    beyond = gto_reach(settings) - settings.cutoff
    assert np.exp(-(beyond**2) / (2 * settings.sigma**2)) == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("field", "value", "part"),
    [
        ("cutoff", 100.0, "cutoff = 100 is outside"),
        ("sigma", 0.0, "sigma = 0 is outside"),
        ("basis", "sto", '"sto" is none of quip, gto'),
        ("backend", "dscribe", 'basis "gto"'),
    ],
)
def test_impossible_settings_are_named(field: str, value: Any, part: str) -> None:
    with pytest.raises(CrysiftError, match=part):
        SoapSettings(**{field: value})
