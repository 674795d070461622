"""The three-dimensional map as one HTML file that works without a network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import CrysiftError
from engine.spm.grid import Grid
from jobs.spm.maps.planes import AXES
from jobs.spm.maps.quantities import Categories, Scalars
from jobs.spm.maps.volume_layout import SLICES, Lattice, layout

if TYPE_CHECKING:
    import plotly.graph_objects as go

TRANSLUCENT = 0.1
"""Opacity of a kind that most boxes are of, so that those inside are seen."""
ABSENT = -1.0
"""Stands for boxes without a value, below the scale's lower end."""
FOG = [[0.0, 0.0], [0.2, 0.02], [0.5, 0.25], [1.0, 0.9]]
"""Opacity over the scale: what is certain is clear."""
PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title></head>
<body style="margin: 0; overflow: hidden">
<div id="volume" style="height: 100vh"></div>
<script>{plotly}</script>
<script>
const figure = {figure};
const [a, b, c] = {middles};
const count = a.length * b.length * c.length;
const points = {{x: new Float32Array(count), y: new Float32Array(count), z: new Float32Array(count)}};
for (let i = 0, n = 0; i < a.length; i++)
  for (let j = 0; j < b.length; j++)
    for (let k = 0; k < c.length; k++, n++) [points.x[n], points.y[n], points.z[n]] = [a[i], b[j], c[k]];
for (const trace of figure.data)
  if (trace.meta) Object.assign(trace, points, {{value: figure.data[trace.meta.values].value}});
Plotly.newPlot("volume", figure.data, figure.layout, {config});
</script>
</body>
</html>
"""
"""Coordinates of boxes are made in the browser, and clouds and slices share their values."""
NO_CAPS = {axis: {"show": False} for axis in AXES}
LIGHT = {"ambient": 0.75, "diffuse": 0.4, "specular": 0.0, "roughness": 1.0, "fresnel": 0.0}
LIGHT_FROM = {"x": 1_000, "y": -3_000, "z": 6_000}


def write_volume(
    path: Path, title: str, grid: Grid, kinds: Categories, fogs: Sequence[Scalars], frame: int = 0
) -> None:
    """Write a page with the regions of every kind, and clouds and slices of numbers, chosen by buttons.

    Raises CrysiftError for a grid that is flat along an axis.
    """
    import plotly.graph_objects as go
    from plotly.offline import get_plotlyjs

    if min(grid.counts) < 2:
        raise CrysiftError(
            f"the grid has {' × '.join(map(str, grid.counts))} boxes: a volume needs at least two along "
            "every axis; the maps show all of this one"
        )
    lattice = Lattice.of(grid)
    views = {kinds.title: _regions(lattice, kinds, frame)}
    count = len(views[kinds.title])
    for quantity in fogs:
        views[quantity.title] = [_fog(lattice, quantity, frame, count)]
        views[f"{SLICES}: {quantity.title}"] = [_slices(lattice, quantity, count)]
        count += 2
    figure = go.Figure(layout=layout(title, lattice, views))
    for number, traces in enumerate(views.values()):
        for trace in traces:
            trace.visible = number == 0
            figure.add_trace(trace)
    config = {"displaylogo": False, "responsive": True, "toImageButtonOptions": {"scale": 3}}
    page = PAGE.format(
        title=escape(title),
        plotly=get_plotlyjs(),
        figure=figure.to_json().replace("</", "<\\/"),
        middles=json.dumps([middles.tolist() for middles in lattice.middles]),
        config=json.dumps(config),
    )
    path.write_text(page, encoding="utf-8")


def _regions(lattice: Lattice, kinds: Categories, frame: int) -> list[go.Mesh3d]:
    """The surface of the boxes of every kind that is seen, the largest kind first."""
    import plotly.graph_objects as go

    codes = lattice.shown(kinds.codes[frame])
    counts = np.bincount(codes[codes >= 0].ravel(), minlength=len(kinds.names))
    regions = []
    for code in np.argsort(-counts, kind="stable"):
        if counts[code]:
            corners, triangles = box_surface(codes == code)
            x, y, z = (edges[corners[:, axis]] for axis, edges in enumerate(lattice.edges))
            i, j, k = triangles.T
            shape: dict[str, Any] = {"x": x, "y": y, "z": z, "i": i, "j": j, "k": k}
            shape |= {"color": kinds.colours[code], "lighting": LIGHT, "lightposition": LIGHT_FROM}
            shape["opacity"] = TRANSLUCENT if 2 * counts[code] > counts.sum() else 1.0
            regions.append(go.Mesh3d(name=kinds.names[code], showlegend=True, hoverinfo="name", **shape))
    return regions


def box_surface(marked: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.integer]]:
    """Return the surface of marked boxes (nx, ny, nz) of a lattice: corners (v, 3), and triangles (t, 3).

    Corners are indices of lattice edges, 0 to n along an axis; the triangles index corners, which run
    anticlockwise as seen from outside.
    """
    padded = np.pad(marked, 1).astype(np.int8)
    quads = []
    for axis in range(3):
        inner = [slice(1, -1)] * 3
        inner[axis] = slice(None)
        change = np.diff(padded, axis=axis)[tuple(inner)]
        second, third = (axis + 1) % 3, (axis + 2) % 3
        for sign, turn in ((-1, [0, 1, 2, 3]), (1, [0, 3, 2, 1])):
            steps = np.zeros((4, 3), np.int64)
            steps[[1, 2], second] = 1
            steps[[2, 3], third] = 1
            quads.append(np.argwhere(change == sign)[:, None] + steps[turn])
    corners, places = np.unique(np.concatenate(quads).reshape(-1, 3), axis=0, return_inverse=True)
    square = places.reshape(-1, 4)
    triangles = np.concatenate([square[:, [0, 1, 2]], square[:, [0, 2, 3]]])
    small = np.uint16 if len(corners) <= 2**16 else np.int32
    return corners.astype(np.int32), triangles.astype(small)


def _scale(quantity: Scalars) -> dict[str, Any]:
    label = f"{quantity.title} ({quantity.unit})" if quantity.unit else quantity.title
    return {
        "name": quantity.title,
        "colorscale": quantity.colour_map.capitalize(),
        "caps": NO_CAPS,
        "isomin": quantity.low,
        "isomax": quantity.high,
        "cmin": quantity.low,
        "cmax": quantity.high,
        "colorbar": {"title": {"text": label, "side": "right"}, "len": 0.7, "thickness": 18},
        "hovertemplate": "%{value:.3f}<extra></extra>",
    }


def _fog(lattice: Lattice, quantity: Scalars, frame: int, place: int) -> go.Volume:
    """Clouds of a quantity; `place` is where they stand among the traces."""
    import plotly.graph_objects as go

    values = lattice.shown(quantity.values[frame]).astype(np.float32)
    scale = _scale(quantity) | {"isomin": quantity.low + 0.02 * (quantity.high - quantity.low)}
    cloud = {"opacity": 0.25, "opacityscale": FOG, "surface": {"count": 14}, "meta": {"values": place}}
    return go.Volume(value=np.nan_to_num(values, nan=ABSENT).ravel(), **scale, **cloud)


def _slices(lattice: Lattice, quantity: Scalars, place: int) -> go.Isosurface:
    """Slices through the middle; their values are those of the clouds that stand at `place`."""
    import plotly.graph_objects as go

    middle = [float(m[len(m) // 2]) for m in lattice.middles]
    cuts = {name: {"show": True, "locations": [at]} for name, at in zip(AXES, middle, strict=True)}
    return go.Isosurface(surface={"show": False}, slices=cuts, meta={"values": place}, **_scale(quantity))
