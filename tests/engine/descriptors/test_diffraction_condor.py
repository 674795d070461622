"""Diffraction patterns against those of Condor, the program behind the published fingerprint.

condor_patterns.json holds what Condor (M. F. Hantke, T. Ekeberg, F. R. N. C. Maia, J. Appl. Cryst. 49, 1356
(2016); github.com/FXIhub/condor, not the "condor" of PyPI) has for bcc iron, silicon and CsCl with defects;
where Condor with spsim can be imported, it is run, too. Its sources need no change: build libspimage (FXIhub)
with cmake (-DPYTHON_WRAPPERS=OFF -DUSE_CUDA=OFF; needs FFTW, HDF5, TIFF, PNG, GSL), then the C files and the
SWIG wrapper of spsim (FilipeMaia) with _LIBRARY and GSL_FOUND defined and, for NumPy 2, PyArray_INT,
PyArray_FLOAT and PyArray_CFLOAT as NPY_INT, NPY_FLOAT and NPY_CFLOAT. Where there is no NFFT, any module
condor.utils.nfft with a function `nfft` will do: atoms do not need it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from engine.descriptors.diffraction.crystal import Crystal
from engine.descriptors.diffraction.detector import Detector, detector
from engine.descriptors.diffraction.pattern import Camera, patterns
from engine.descriptors.diffraction.settings import PIXELS, DiffractionSettings
from engine.descriptors.neighbors import Floats

Amplitudes = NDArray[np.complex128]

RECORD: dict[str, Any] = json.loads(Path(__file__).with_name("condor_patterns.json").read_text())
PLACES = np.array(RECORD["pixels"])
CROMER_MANN = {int(number): np.array(row) for number, row in RECORD["cromer_mann"].items()}
ELECTRON_RADIUS = 2.81794e-15
"""m, with the digits of spsim."""
SINGLE_PRECISION = {torch.float64: 5e-6, torch.float32: 1e-5}
"""Of the largest amplitude, by the type of our phases: spsim computes in single precision."""
TABLES = 1e-3
"""Of the largest amplitude: spsim has the form factors of Cromer and Mann, we of Waasmaier and Kirfel."""
PLUS_X = (0, 45.0)


class Case(NamedTuple):
    """A crystal and Condor's amplitudes of it in the recorded pixels, by turn (axis, angle)."""

    name: str
    crystal: Crystal
    amplitudes: Amplitudes
    moduli: dict[tuple[int, float], Floats]


def load(entry: dict[str, Any]) -> Case:
    """Positions around their mean weighted by atomic numbers, where spsim puts the origin."""
    recorded = entry["amplitude"]
    amplitudes = np.array(recorded["real"]) + 1j * np.array(recorded["imaginary"])
    moduli = {tuple(other["turn"]): np.array(other["values"]) for other in entry.get("moduli", [])}
    crystal = centered(np.array(entry["positions"]), np.array(entry["numbers"]))
    return Case(entry["name"], crystal, amplitudes, {PLUS_X: np.abs(amplitudes), **moduli})


def centered(positions: Floats, numbers: NDArray[np.int64]) -> Crystal:
    return Crystal(positions - numbers @ positions / numbers.sum(), numbers, 1.0, 1)


CASES = [load(entry) for entry in RECORD["crystals"]]
with_each = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def ours(
    crystal: Crystal,
    form_factors: NDArray[np.float32],
    turn: tuple[int, float] = PLUS_X,
    dtype: torch.dtype = torch.float64,
) -> Amplitudes:
    """Our amplitudes in the recorded pixels."""
    camera = Camera(detector(mask=False)._replace(form_factors=form_factors), torch.device("cpu"), dtype)
    return np.asarray(camera.amplitude([crystal], *turn).numpy()[0, PLACES], np.complex128)


def cromer_mann() -> NDArray[np.float32]:
    """Our table with spsim's rows, Σ a_i exp(−b_i (sin θ/λ)²) + c, for the recorded elements."""
    seen = detector(mask=False)
    squares = np.sum(seen.q**2, axis=1) / (4.0 * math.pi) ** 2
    table = seen.form_factors.copy()
    for number, row in CROMER_MANN.items():
        table[number] = np.exp(-np.outer(squares, row[4:8])) @ row[:4] + row[8]
    return table


def deviation(found: Amplitudes | Floats, expected: Amplitudes | Floats) -> float:
    """The largest difference, over the largest expected modulus."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@with_each
@pytest.mark.parametrize("dtype", SINGLE_PRECISION, ids=str)
def test_amplitudes_are_condors_where_the_form_factors_are(case: Case, dtype: torch.dtype) -> None:
    found = ours(case.crystal, cromer_mann(), dtype=dtype)
    assert deviation(found, case.amplitudes) < SINGLE_PRECISION[dtype]


@with_each
def test_amplitudes_are_condors_but_for_the_table_of_form_factors(case: Case) -> None:
    found = ours(case.crystal, detector(mask=False).form_factors)
    assert 1e-5 < deviation(found, case.amplitudes) < TABLES


@pytest.mark.parametrize("number", sorted(CROMER_MANN))
def test_form_factors_are_condors_to_two_thousandths_of_the_electrons(number: int) -> None:
    difference = cromer_mann()[number] - detector(mask=False).form_factors[number]
    assert np.abs(difference).max() < 2e-3 * number


def test_recorded_turns_of_the_least_symmetric_crystal_are_all_different_and_condors() -> None:
    crystal, moduli = CASES[-1].crystal, CASES[-1].moduli
    assert len(moduli) == 6
    for turn, expected in moduli.items():
        assert deviation(np.abs(ours(crystal, cromer_mann(), turn)), expected) < 5e-6
        opposite = np.abs(ours(crystal, cromer_mann(), (turn[0], -turn[1])))
        assert deviation(opposite, expected) > 1e-2


def brightness(moduli: Floats, mask: bool) -> Floats:
    """cos³2θ·|Ψ|^(3/2) of Condor's amplitudes (P,); the mask leaves radii from 5 to 30 pixels."""
    radii = np.hypot(PLACES // 64 - 31.5, PLACES % 64 - 31.5)
    cosines = 1.0 / np.sqrt(1.0 + (radii * 4e-4 / 0.1) ** 2)
    seen = (radii > 5.0) & (radii < 30.0) if mask else np.ones(len(radii), np.bool_)
    return np.asarray(np.where(seen, cosines**3 * moduli**1.5, 0.0))


def difference_of_images(found: Floats, expected: Floats) -> float:
    """The largest difference where the brightest recorded pixel of each image is 1; both (P,)."""
    assert np.array_equal(found == 0.0, expected == 0.0)
    brightest = expected.argmax()
    return float(np.abs(found / found[brightest] - expected / expected[brightest]).max())


@pytest.fixture(params=["our form factors", "Condor's form factors"])
def tolerance(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    """How near our images must come to Condor's, with our form factors or with its own in their place."""
    if request.param == "our form factors":
        return 4e-3
    table = cromer_mann()

    def with_condors(mask: bool) -> Detector:
        seen = detector(mask)
        return seen._replace(form_factors=table[:, seen.lit.ravel()])

    monkeypatch.setattr("engine.descriptors.diffraction.pattern.detector", with_condors)
    return 2e-5


@with_each
@pytest.mark.parametrize("mask", [False, True])
def test_single_channel_is_condors_amplitude_to_the_power_of_three_halves(
    case: Case, mask: bool, tolerance: float
) -> None:
    image = patterns([case.crystal], DiffractionSettings(mask=mask))
    assert image.shape == (1, 1, PIXELS, PIXELS)
    expected = brightness(case.moduli[PLUS_X], mask)
    assert difference_of_images(image.numpy().reshape(-1)[PLACES], expected) < tolerance


@pytest.mark.parametrize("mask", [False, True])
def test_rgb_channels_are_condors_patterns_of_both_turns(mask: bool, tolerance: float) -> None:
    case = CASES[-1]
    images = patterns([case.crystal], DiffractionSettings(channels="rgb", mask=mask)).numpy().reshape(3, -1)
    expected = [
        brightness(case.moduli[axis, 45.0], mask) + brightness(case.moduli[axis, -45.0], mask)
        for axis in range(3)
    ]
    assert difference_of_images(images[:, PLACES].ravel(), np.concatenate(expected)) < tolerance


def test_solid_angles_are_condors_to_three_percent() -> None:
    """spsim projects pixels as if they were half as far from the axis: its solid angles fall more slowly."""
    on_the_axis = (RECORD["setup"]["pixel_size_m"] / RECORD["setup"]["distance_m"]) ** 2
    ratio = detector(mask=False).solid_angle[PLACES] * on_the_axis / np.array(RECORD["solid_angles"])
    assert 0.969 < ratio.min() < ratio.max() < 1.0001


@pytest.fixture
def condor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Condor with spsim, run where its files do not disturb."""
    reason = "Condor is not installed; see the head of this file (the condor of PyPI is another project)"
    module = pytest.importorskip("condor", reason=reason)
    if not hasattr(module, "ParticleAtoms"):
        pytest.skip(reason)
    pytest.importorskip("spsim", reason="Condor is installed without spsim; see the head of this file")
    monkeypatch.chdir(tmp_path)
    return module


def theirs(condor: Any, crystal: Crystal, turn: tuple[int, float] = PLUS_X) -> Amplitudes:
    """Condor's amplitudes in the recorded pixels; Condor itself turns the crystal."""
    setup = RECORD["setup"]
    axis, half = turn[0], math.radians(turn[1]) / 2.0
    particle = condor.ParticleAtoms(
        atomic_numbers=crystal.numbers,
        atomic_positions=crystal.positions * 1e-10,
        rotation_values=np.concatenate([[math.cos(half)], math.sin(half) * np.eye(3)[axis]]),
        rotation_formalism="quaternion",
        rotation_mode="extrinsic",
    )
    source = condor.Source(wavelength=setup["wavelength_m"], pulse_energy=1e-6, focus_diameter=1e-6)
    screen = condor.Detector(
        distance=setup["distance_m"], pixel_size=setup["pixel_size_m"], nx=setup["pixels"], ny=setup["pixels"]
    )
    result = condor.Experiment(source, {"particle_atoms": particle}, screen).propagate()
    field = result["entry_1"]["data_1"]["data_fourier"].ravel()[PLACES]
    incident = result["particles"]["particle_00"]["intensity"]
    per_electron = ELECTRON_RADIUS * np.sqrt(incident * np.array(RECORD["solid_angles"]))
    return np.asarray(field / per_electron, np.complex128)


@with_each
def test_recorded_amplitudes_are_condors(condor: Any, case: Case) -> None:
    assert deviation(theirs(condor, case.crystal), case.amplitudes) < 3e-6
    for turn, expected in case.moduli.items():
        assert deviation(np.abs(theirs(condor, case.crystal, turn)), expected) < 3e-6


@pytest.mark.parametrize("turn", [(axis, angle) for axis in range(3) for angle in (45.0, -30.0)])
def test_amplitudes_of_random_atoms_are_condors(condor: Any, turn: tuple[int, float]) -> None:
    generator = np.random.default_rng(turn[0])
    crystal = centered(generator.uniform(-3.0, 3.0, (90, 3)), generator.choice([14, 17, 26, 55], 90))
    assert deviation(ours(crystal, cromer_mann(), turn), theirs(condor, crystal, turn)) < 5e-6
