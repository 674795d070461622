"""What is around the volume on its page: axes, buttons and sliders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.spm.grid import Grid
from jobs.spm.maps.planes import AXES, centers_along, limits

BOXES = 64_000
"""Boxes shown at most; of finer grids every second one along each axis, every third, …"""
STEPS = 40
"""Positions of a slider."""
MARGIN = {"l": 0, "r": 250, "t": 90, "b": 100, "autoexpand": False}
"""Fixed: where margins grow by themselves, plotly draws a volume before it has computed it, and fails."""
SLICES = "slices"
"""Begins the names of views that the sliders move."""


@dataclass(frozen=True, eq=False)
class Lattice:
    """The boxes that are shown: every `step`-th; `edges` along each axis, and `middles`, Å."""

    step: int
    edges: tuple[NDArray[np.float32], ...]
    middles: tuple[NDArray[np.float32], ...]

    @classmethod
    def of(cls, grid: Grid) -> Lattice:
        """Choose the boxes of a grid."""
        step = 1
        while np.prod([-(-count // step) for count in grid.counts]) > BOXES:
            step += 1
        middles = [centers_along(grid, axis)[::step] for axis in range(3)]
        ends = [limits(grid, axis) for axis in range(3)]
        half = [0.5 * step * stride for stride in grid.stride]
        edges = [
            np.append(np.maximum(m - h, low), min(m[-1] + h, high))
            for m, h, (low, high) in zip(middles, half, ends, strict=True)
        ]
        return cls(
            step, tuple(e.astype(np.float32) for e in edges), tuple(m.astype(np.float32) for m in middles)
        )

    def shown(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values (nx, ny, nz) of the boxes that are shown."""
        return values[:: self.step, :: self.step, :: self.step]


def layout(title: str, lattice: Lattice, views: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Return plotly's layout for views, each of some traces, of which a button shows one."""
    note = f"<br><sub>every {lattice.step}. box along each axis</sub>" if lattice.step > 1 else ""
    plain = {"showbackground": False, "gridcolor": "#dddddd", "zeroline": False}
    scene: dict[str, Any] = {}
    for name, edges in zip(AXES, lattice.edges, strict=True):
        rim = 0.02 * float(edges[-1] - edges[0])
        ends = [float(edges[0]) - rim, float(edges[-1]) + rim]
        scene[f"{name}axis"] = {**plain, "title": {"text": f"{name} (Å)"}, "range": ends}
    return {
        "title": {"text": title + note, "x": 0.02},
        "font": {"family": "sans-serif", "size": 13},
        "scene": {**scene, "aspectmode": "data", "camera": {"eye": {"x": 1.4, "y": -1.5, "z": 0.85}}},
        "legend": {"itemsizing": "constant", "x": 1.0, "y": 0.9},
        "margin": MARGIN,
        "paper_bgcolor": "white",
        "updatemenus": [_menu(views)],
        "sliders": _sliders(lattice, views),
    }


def _menu(views: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Buttons, one per view."""
    owner = [name for name, traces in views.items() for _ in traces]
    buttons = []
    for name in views:
        hidden = not name.startswith(SLICES)
        sliders = {f"sliders[{k}].visible": not hidden for k in range(3)}
        buttons.append(
            {"label": name, "method": "update", "args": [{"visible": [o == name for o in owner]}, sliders]}
        )
    place = {"x": 0.02, "y": 1.0, "xanchor": "left", "yanchor": "bottom"}
    return {"type": "buttons", "direction": "right", "buttons": buttons, **place}


def _sliders(lattice: Lattice, views: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """One slider per axis, which moves the slices; seen with these only."""
    starts = np.cumsum([0, *(len(traces) for traces in views.values())])
    sliced = [int(a) for (a, _), name in zip(pairwise(starts), views, strict=True) if name.startswith(SLICES)]
    sliders = []
    for number, (axis, middles) in enumerate(zip(AXES, lattice.middles, strict=True)):
        places = np.unique(np.linspace(0, len(middles) - 1, STEPS).round().astype(int))
        steps = [
            {
                "label": f"{middles[place]:.1f}",
                "method": "restyle",
                "args": [{f"slices.{axis}.locations": [[float(middles[place])]] * len(sliced)}, sliced],
            }
            for place in places
        ]
        place = {"len": 0.3, "x": 0.02 + 0.33 * number, "y": 0.0, "yanchor": "top"}
        said = {"prefix": f"{axis} = ", "suffix": " Å", "font": {"size": 13, "color": "#333333"}}
        look = {
            "visible": False,
            "ticklen": 0,
            "minorticklen": 0,
            "font": {"size": 1, "color": "white"},
            "currentvalue": said,
        }
        sliders.append({"steps": steps, "active": len(steps) // 2, **place, **look})
    return sliders
