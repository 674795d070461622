"""The pictures of the studies; equal data give equal files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.descriptors.diffraction.settings import PIXELS
from jobs.picture import GRID_COLOUR, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from jobs.studies.sweeps import Disorder, Sweep
    from jobs.studies.templates import ClassResponse

Floats = NDArray[np.float64]

LINES = (("#2f6db5", "o"), ("#e69f00", "s"), ("#009e73", "^"), ("#cc79a7", "D"))
"""Colour and marker of every class, in the model's order; told apart by colour-blind readers too."""
PUBLISHED_FALL = (0.1, 0.2)
"""Lindemann parameters between which the published network's probability falls."""
PROBABILITY = (-0.03, 1.03)
BRIGHTNESS = {"cmap": "magma", "vmin": 0.0, "vmax": 1.0}
ROOT_TICKS = (0.0, 0.05, 0.2, 0.5, 1.0)
CHANGE = {"cmap": "RdBu_r", "vmin": -0.5, "vmax": 0.5}


def draw_transition(path: Path, sweep: Sweep, labels: Sequence[str]) -> None:
    """Draw the class probabilities over the share of body centres removed, and their standard deviations."""
    percent = 100.0 * sweep.values
    with picture(path, (9, 3.4)) as figure:
        left, right = figure.subplots(1, 2)
        for column, (label, line) in enumerate(zip(labels, LINES, strict=False)):
            _band(left, percent, sweep.mean[:, column], sweep.spread[:, column], label, line)
        left.set(ylabel="probability", ylim=PROBABILITY)
        column = labels.index("sc")
        kind: dict[str, Any] = {"color": LINES[column][0], "marker": LINES[column][1], "markersize": 4}
        right.plot(percent, sweep.spread[:, column], label="over the draws", **kind)
        dropout = sweep.deviations[:, :, column].mean(axis=1)
        right.plot(percent, dropout, "--", mfc="white", label="over the dropout, mean of the draws", **kind)
        right.set(ylabel="standard deviation of the probability of sc")
        right.set_ylim(bottom=0.0)
        for axes in (left, right):
            axes.set(xlabel="body centres removed (%)", xlim=(-2, 102))
            _finish(axes)


def draw_lindemann(path: Path, disorder: Mapping[str, Disorder]) -> None:
    """Draw the probability of the right class and two measures of doubt over the Lindemann parameter."""
    with picture(path, (12, 3.6)) as figure:
        right, *doubts = figure.subplots(1, 3)
        for column, (label, (sweep, at_rest, _)) in enumerate(disorder.items()):
            line = LINES[column]
            _band(right, sweep.values, sweep.mean[:, column], sweep.spread[:, column], label, line)
            right.plot(sweep.values, at_rest.mean[:, column], "--", color=line[0], linewidth=1.2)
            for axes, doubt in zip(doubts, (sweep.mutual_information, sweep.ood_score), strict=True):
                _band(axes, sweep.values, doubt.mean(axis=1), doubt.std(axis=1), label, line)
        right.plot([], [], "--", color="black", linewidth=1.2, label="$d_{NN}$ at rest")
        right.set(ylabel="probability of the right class", ylim=PROBABILITY)
        doubts[0].set(ylabel="mutual information (nats)")
        doubts[1].set(ylabel="out-of-distribution score")
        doubts[1].axhline(1.0, color="black", linewidth=1.0, linestyle=":")
        for axes in doubts:
            axes.set_ylim(bottom=0.0)
        for axes in (right, *doubts):
            axes.axvspan(*PUBLISHED_FALL, color="#f0f0f0", zorder=0)
            axes.set(xlabel="Lindemann parameter", xlim=(-0.008, 0.408))
            _finish(axes)


def draw_fingerprints(path: Path, images: Mapping[str, Mapping[str, Floats]]) -> None:
    """Draw fingerprints (64, 64), a row per class: the first named, the others, and what they differ in."""
    first, *others = next(iter(images.values()))
    titles = [first, *others, *(f"{name}\n− {first}" for name in others)]
    split = 1 + len(others)
    with picture(path, (9.6, 7.6)) as figure:
        grid = figure.subplots(len(images), len(titles), sharex=True, sharey=True)
        for (label, shown), cells in zip(images.items(), grid, strict=True):
            cells[0].set_ylabel(label, fontsize=11)
            for name, axes in zip((first, *others), cells[:split], strict=True):
                _show(axes, _root(shown[name]), BRIGHTNESS)
            for name, axes in zip(others, cells[split:], strict=True):
                _show(axes, shown[name] - shown[first], CHANGE)
        _name_columns(grid, titles)
        _colour_bar(figure, grid[:, :split], BRIGHTNESS, "D (square root scale)", "bottom")
        _colour_bar(figure, grid[:, split:], CHANGE, "difference of D", "bottom")


def draw_filters(path: Path, responses: Sequence[ClassResponse]) -> None:
    """Draw the response maps of the most active filters: a row per layer, a block of columns per class."""
    with picture(path, (14.4, 5.9)) as figure:
        blocks: Any = figure.subfigures(1, len(responses), wspace=0.02)
        for response, block in zip(responses, blocks, strict=True):
            shown = len(response.layers[-1].filters)
            grid = block.subplots(len(response.layers), shown)
            block.suptitle(response.label)
            for depth, (layer, cells) in enumerate(zip(response.layers, grid, strict=True)):
                for number, image, axes in zip(layer.filters, layer.maps[:, 0], cells, strict=True):
                    _show(axes, _root(image.double().numpy()), BRIGHTNESS)
                    axes.set(xticks=[], yticks=[])
                    axes.set_title(f"{number + 1}", fontsize=6, pad=1.5)
                if response is responses[0]:
                    cells[0].set_ylabel(f"layer {depth + 1}")


def draw_templates(path: Path, responses: Sequence[ClassResponse]) -> None:
    """Draw fingerprints and the templates of every layer, with circles around the Bragg peaks."""
    from jobs.studies.templates import template

    titles = ["fingerprint", *(f"layer {n + 1}" for n in range(len(responses[0].layers)))]
    with picture(path, (12, 6.9)) as figure:
        grid = figure.subplots(len(responses), len(titles), sharex=True, sharey=True)
        for response, cells in zip(responses, grid, strict=True):
            cells[0].set_ylabel(response.label, fontsize=11)
            images = [response.pattern, *map(template, response.layers)]
            rows, columns = (response.peaks.places - (PIXELS - 1) / 2).T
            for image, axes in zip(images, cells, strict=True):
                _show(axes, _root(image), BRIGHTNESS)
                axes.scatter(columns, rows, s=36, facecolors="none", edgecolors="#56e0ff", linewidths=0.7)
        _name_columns(grid, titles)
        _colour_bar(figure, grid, BRIGHTNESS, "relative to the brightest pixel (square root scale)", "right")


def _band(axes: Axes, x: Floats, mean: Floats, spread: Floats, label: str, line: tuple[str, str]) -> None:
    colour, marker = line
    axes.plot(x, mean, color=colour, marker=marker, markersize=4, label=label)
    axes.fill_between(x, mean - spread, mean + spread, color=colour, alpha=0.18, linewidth=0)


def _finish(axes: Axes) -> None:
    axes.grid(visible=True, color=GRID_COLOUR)
    axes.set_axisbelow(True)
    axes.legend()


def _show(axes: Axes, image: Floats, scale: Mapping[str, Any]) -> None:
    """Show an image (64, 64) with the beam at the origin."""
    half = PIXELS / 2
    axes.imshow(image, extent=(-half, half, half, -half), interpolation="nearest", **scale)
    axes.set(xticks=[-20, 0, 20], yticks=[-20, 0, 20])


def _name_columns(grid: NDArray[Any], titles: Sequence[str]) -> None:
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title)
    for axes in grid[-1]:
        axes.set_xlabel("pixels")


def _colour_bar(
    figure: Figure, beside: NDArray[Any], scale: Mapping[str, Any], label: str, location: str
) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    colours = ScalarMappable(Normalize(scale["vmin"], scale["vmax"]), scale["cmap"])
    extend = "both" if scale["vmin"] < 0.0 else "neither"
    placed: dict[str, Any] = {"location": location, "shrink": 0.6, "aspect": 30, "pad": 0.02}
    bar = figure.colorbar(colours, ax=beside, label=label, extend=extend, **placed)
    if scale is BRIGHTNESS:
        bar.set_ticks([value**0.5 for value in ROOT_TICKS], labels=[f"{value:g}" for value in ROOT_TICKS])


def _root(image: Floats) -> Floats:
    """Square root of the positive part of an image in units of its maximum."""
    root: Floats = np.sqrt(np.maximum(image, 0.0) / image.max())
    return root
