"""One colour per class, the same in every picture; colour-blind readers tell them apart too."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CHOSEN = {
    "fcc_Cu_A_cF4_225_a": "#2f6db5",
    "diam_C_A_cF8_227_a": "#e69f00",
    "bcc_W_A_cI2_229_a": "#009e73",
    "sc_alphaPo_A_cP1_221_a": "#cc79a7",
    "hcp_Mg_A_hP2_194_c": "#7a0f1f",
    "L12_Cu3Au": "#f0e442",
    "L10_CuAu": "#40307a",
    "dhcp_alphaLa_A_hP4_194_ac": "#dbaaff",
    "bctIn_In_A_tI2_139_a": "#7fd9c4",
}
"""The first four are those of the diffraction network's pictures."""
FREQUENT = (
    "CsCl",
    "rhombAlphaSm_Sm_A_hR3_166_ac",
    "C",
    "RockSalt_NaCl",
    "Zincblende_ZnS",
    "HexDiam_C_A_hP4_194_f",
)
"""Get the next colours, which are farther apart than those of the other classes."""
CLUSTERS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442", "#332288", "#882255")
"""Of the first clusters: M. Okabe and K. Ito's colours, and two of P. Tol's."""
NOT_CLASSIFIED = "#e4e4e4"
HATCH = "#a8a8a8"

_LEVELS = 22
_LIGHTNESS = (0.38, 0.92)
_CHROMA = (0.07, 0.24)
"""Greyer colours are left to boxes without a class; purer ones glare."""

# Severity 1.0 in G. M. Machado, M. M. Oliveira, L. A. F. Fernandes, IEEE Trans. Vis. Comput. Graph. 15,
# 1291 (2009), for linear RGB.
_PROTANOPIA = np.array(
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
)
_DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)
# B. Ottosson, "A perceptual color space for image processing" (2020).
_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def colour_of(label: str) -> str:
    """Colour of a class, as #rrggbb; a label that is none of the 108 prototypes gets one by its letters."""
    table = _table()
    if label in table:
        return table[label]
    colours = list(table.values())
    return colours[sum(label.encode()) % len(colours)]


def cluster_colour(number: int) -> str:
    """Colour of a cluster by its number from 0, as #rrggbb."""
    colours = [*CLUSTERS, *list(_table().values())[len(CHOSEN) :]]
    return colours[number % len(colours)]


def rgb(colours: Sequence[str]) -> Floats:
    """Red, green and blue (n, 3) from 0 to 1 of colours written as #rrggbb."""
    values = [[int(colour[k : k + 2], 16) for k in (1, 3, 5)] for colour in colours]
    return np.array(values, np.float64).reshape(-1, 3) / 255.0


def distances(colours: Floats, other: Floats) -> Floats:
    """Perceived distances (n, m) of colours (n, 3) and (m, 3), for whom they are the smallest.

    They are distances in Oklab, as seen with normal colour vision, with protanopia and with deuteranopia.
    """
    seen = zip(_seen(colours), _seen(other), strict=True)
    return np.asarray(np.min([np.linalg.norm(a[:, None] - b[None], axis=2) for a, b in seen], axis=0))


@lru_cache(maxsize=1)
def _table() -> dict[str, str]:
    """Choose a colour after the other, each as far as possible from all before it, from black and white.

    The chosen ones count as twice as near, so that rare classes are not mistaken for frequent ones.
    """
    from models.prototypes import prototypes

    labels = dict.fromkeys([*CHOSEN, *FREQUENT, *(prototype.label for prototype in prototypes())])
    candidates = _candidates()
    taken = rgb([*CHOSEN.values(), NOT_CLASSIFIED, "#ffffff", "#000000"])
    nearest = 0.5 * distances(candidates, taken).min(axis=1)
    colours = dict(CHOSEN)
    for label in labels:
        if label not in colours:
            best = candidates[int(np.argmax(nearest))]
            nearest = np.minimum(nearest, distances(candidates, best[None])[:, 0])
            colours[label] = "#" + "".join(f"{round(255 * value):02x}" for value in best)
    return colours


def _candidates() -> Floats:
    """Colours (n, 3) on a grid that are neither grey nor nearly black or white."""
    levels = np.linspace(0.0, 1.0, _LEVELS)
    colours = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    lightness, a, b = _seen(colours)[0].T
    allowed = _between(lightness, _LIGHTNESS) & _between(np.hypot(a, b), _CHROMA)
    return np.asarray(colours[allowed], np.float64)


def _between(values: Floats, limits: tuple[float, float]) -> NDArray[np.bool_]:
    return (values > limits[0]) & (values < limits[1])


def _seen(colours: Floats) -> list[Floats]:
    """Oklab coordinates (n, 3) of colours, with normal and with both kinds of impaired colour vision."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    impaired = [linear @ matrix.T for matrix in (_PROTANOPIA, _DEUTERANOPIA)]
    return [np.cbrt(np.clip(light, 0.0, 1.0) @ _CONES.T) @ _OKLAB.T for light in (linear, *impaired)]
