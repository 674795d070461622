"""Bragg peaks by hand-made selection rules, and the maxima of the fingerprints themselves."""

import math

import numpy as np
import pytest

from engine.descriptors.diffraction import DiffractionSettings
from jobs.studies.bragg import BraggPeaks, local_maxima, share_by_chance, share_on_peaks
from jobs.studies.crystals import diffracting, fingerprints, host
from jobs.studies.templates import by_chance, on_peaks, peaks_of

EDGES = {"fcc": math.sqrt(2.0), "diamond": 4.0 / math.sqrt(3.0), "bcc": 2.0 / math.sqrt(3.0), "sc": 1.0}
"""Lattice parameters in units of the distance of nearest neighbours."""
COUNTS = {"fcc": 12, "diamond": 28, "bcc": 8, "sc": 10}


def reflects(label: str, h: int, k: int, l: int) -> bool:  # noqa: E741
    """The selection rules of the textbooks."""
    unmixed = h % 2 == k % 2 == l % 2
    match label:
        case "fcc":
            return unmixed
        case "diamond":
            return unmixed and (h % 2 == 1 or (h + k + l) % 4 == 0)
        case "bcc":
            return (h + k + l) % 2 == 0
        case _:
            return True


def listed(label: str) -> dict[tuple[int, int, int], tuple[float, float]]:
    """Rows and columns of the reflections (h, k, −k), by their indices."""
    places = {}
    for h in range(-12, 13):
        for k in range(-12, 13):
            spacing = math.sqrt(h * h + 2 * k * k) / EDGES[label]
            if not spacing or not reflects(label, h, k, -k):
                continue
            radius = 250.0 * math.tan(2.0 * math.asin(0.05 * spacing / 2.0))
            if 5.0 < radius < 30.0:
                scale = radius / spacing / EDGES[label]
                places[h, k, -k] = (31.5 + scale * math.sqrt(2.0) * k, 31.5 + scale * h)
    return places


@pytest.mark.parametrize("label", EDGES)
def test_reflections_are_those_that_the_selection_rules_allow(label: str) -> None:
    expected, peaks = listed(label), peaks_of(label)
    found = {tuple(map(int, hkl)): place for hkl, place in zip(peaks.indices, peaks.places, strict=True)}
    assert found.keys() == expected.keys()
    assert len(found) == COUNTS[label]
    for hkl, place in expected.items():
        assert found[hkl] == pytest.approx(place, abs=1e-6)


@pytest.mark.parametrize("label", EDGES)
def test_every_reflection_is_a_maximum_of_the_fingerprint(label: str) -> None:
    """Within a pixel; in diamond, where some are fainter than the fringes of others, within a little more."""
    (fingerprint,) = fingerprints([diffracting(host(label, "Cu"))], DiffractionSettings()).astype(np.float64)
    image, peaks = fingerprint.reshape(64, 64), peaks_of(label)
    maxima = local_maxima(image, reach=1)
    distances = np.linalg.norm(maxima[:, None] - peaks.places, axis=2)
    assert distances.min(axis=0).max() < (1.1 if label == "diamond" else 1.0)
    bright = 14 if label == "diamond" else len(peaks.places)
    assert share_on_peaks(maxima[:bright], peaks, 1.0) == 1.0
    if label != "diamond":
        assert on_peaks(image, peaks).shares == (1.0, 1.0, 1.0)


def test_maxima_are_found_once_in_order_and_inside_the_mask() -> None:
    image = np.zeros((64, 64))
    image[20, 20] = 0.5
    image[22, 23] = 0.4  # within reach of the former
    image[40, 31:33] = 0.9  # a plateau
    image[31, 30] = 2.0  # under the mask
    image[2, 2] = 3.0  # beyond it
    image[20, 44] = -1.0
    assert local_maxima(image).tolist() == [[40, 31.5], [20, 20]]
    assert local_maxima(image, reach=2).tolist() == [[40, 31.5], [20, 20], [22, 23]]


def test_shares_count_places_within_the_distance() -> None:
    peaks = BraggPeaks(np.array([[1, 0, 0], [2, 0, 0]]), np.array([[10.0, 31.5], [20.0, 31.5]]))
    places = np.array([[10.0, 32.5], [20.0, 33.0], [15.0, 31.5], [20.0, 31.5]])
    assert [share_on_peaks(places, peaks, within) for within in (0.5, 1.0, 1.5, 5.0)] == [
        0.25,
        0.5,
        0.75,
        1.0,
    ]


def test_chance_is_the_area_near_peaks() -> None:
    lit = near = 0
    for row in range(64):
        for column in range(64):
            if 5.0 < math.hypot(row - 31.5, column - 31.5) < 30.0:
                lit += 1
                near += math.hypot(row - 20.0, column - 31.0) <= 2.0
    peaks = BraggPeaks(np.array([[1, 0, 0]]), np.array([[20.0, 31.0]]))
    assert near == 13  # pixels in a disc of radius 2
    assert share_by_chance(peaks, 2.0) == pytest.approx(near / lit)
    assert by_chance(peaks_of("sc"))[2] == pytest.approx(10 * math.pi * 4 / 2749, rel=0.1)
