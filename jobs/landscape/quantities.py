"""What the points of a map are coloured by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.landscape.hierarchy import OUTLIER
from jobs.page.columns import quoted
from jobs.page.rows import column_values, float_values
from jobs.spm.maps.palette import rgb
from jobs.spm.maps.quantities import title_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from jobs.page.columns import Column
    from jobs.page.tables import PageTables

    Doubles = NDArray[np.float64]
    Codes = NDArray[np.int64]

COLOURS = (
    *("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442", "#332288", "#882255"),
    *("#6186ff", "#aa3100", "#0c31ce", "#61ce92", "#b62486", "#4955f3", "#86ceff", "#9ee792", "#ff496d"),
    *("#920c18", "#9e5555"),
)
"""Those of `jobs.spm.maps.palette.CLUSTERS`; each further one is as far as can be from all before it, from
black, white and the greys, for readers with normal and with impaired colour vision."""
NAMED = len(COLOURS)
"""Categories with a colour and a line in the legend."""
BACKGROUND = "#dcdcdc"
"""Of outliers, and of structures without a value."""
OTHERS = "#8d8d8d"
"""Of categories that have no colour of their own."""
TINT = 0.55
"""How far towards white the colour of an uncertain point is moved."""
EDGES = (0.5, 99.5)
"""Percentiles between which a colour scale runs."""


@dataclass(frozen=True, eq=False)
class Categories:
    """A kind for each of N points: ``codes`` count from 0 in the legend, -1 is the background.

    ``pale`` (N,) marks points drawn in a lighter tint, which ``pale_name`` explains.
    """

    title: str
    names: tuple[str, ...]
    colours: tuple[str, ...]
    codes: Codes
    background: str
    pale: NDArray[np.bool_]
    pale_name: str = ""

    def rgb(self) -> Doubles:
        """Return the colours (N, 3) of the points."""
        colours = rgb([*self.colours, BACKGROUND])[self.codes]
        return np.where(self.pale[:, None], colours + TINT * (1.0 - colours), colours)


@dataclass(frozen=True, eq=False)
class Numbers:
    """A number for each of N points, NaN where there is none, and the ends of its colour scale."""

    title: str
    unit: str | None
    values: Doubles
    low: float
    high: float
    logarithmic: bool

    @property
    def extends(self) -> str:
        """Return at which ends of the scale there are further values, as matplotlib names it."""
        below, above = bool((self.values < self.low).any()), bool((self.values > self.high).any())
        return {(True, True): "both", (True, False): "min", (False, True): "max"}.get(
            (below, above), "neither"
        )


Quantity = Categories | Numbers


def quantity(tables: PageTables, column: Column, clusters: Sequence[dict[str, object]]) -> Quantity:
    """Read what a column says of each row of the map; ``clusters`` are the rows of the table of this name."""
    if column.kind in ("number", "integer"):
        values = float_values(tables.connection, column.name).astype(np.float64)
        return numbers(column.title, column.unit, values, column.scale == "log")
    import pyarrow as pa
    import pyarrow.compute as pc

    values = column_values(tables.connection, quoted(column.name))
    if column.name == "cluster":
        return of_clusters(values, [str(cluster["label"]) for cluster in clusters])
    if column.name == "prototype":
        unknown = column_values(tables.connection, quoted("is_ood"))
        return of_prototypes(values, pc.fill_null(unknown, pa.scalar(True)).to_numpy())
    return of_texts(column.title, values)


def numbers(title: str, unit: str | None, values: Doubles, logarithmic: bool = False) -> Numbers:
    """Scale colours over all but the most extreme values."""
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, EDGES) if len(known) else (0.0, 1.0)
    if low == high:
        high = low + 1.0
    return Numbers(title, unit, values, float(low), float(high), logarithmic and low > 0.0)


def of_clusters(values: pa.ChunkedArray, labels: Sequence[str]) -> Categories:
    """Name the largest clusters, which have the lowest numbers."""
    clusters = values.fill_null(OUTLIER).to_numpy().astype(np.int64)
    names, colours = list(labels[:NAMED]), list(COLOURS[: len(labels)])
    if len(labels) > NAMED:
        further = len(labels) - NAMED
        names.append(f"{further} smaller cluster{'s' if further > 1 else ''}")
        colours.append(OTHERS)
    codes = np.minimum(clusters, len(names) - 1)
    mapped = values.is_valid().to_numpy()
    background = f"outliers ({_percent(clusters[mapped] == OUTLIER)})"
    return Categories("Clusters", tuple(names), tuple(colours), codes, background, np.zeros(len(codes), bool))


def of_prototypes(values: pa.ChunkedArray, unknown: NDArray[np.bool_]) -> Categories:
    """Name the prototypes that are frequent among all structures, or among those in distribution.

    The others of these are pale.
    """
    labels, codes = _ranked(values)
    every, known = (
        np.bincount(codes[chosen & (codes >= 0)], minlength=len(labels)) for chosen in (codes >= -1, ~unknown)
    )
    weights = np.maximum(every / max(every.sum(), 1), known / max(known.sum(), 1))
    order = np.argsort(-weights, kind="stable")
    rank = np.append(np.argsort(order), -1)
    found = _named("Most probable prototype", [title_of(labels[k]) for k in order], rank[codes])
    name = f"pale: out of distribution ({_percent(unknown[codes >= 0])})"
    return Categories(found.title, found.names, found.colours, found.codes, found.background, unknown, name)


def of_texts(title: str, values: pa.ChunkedArray) -> Categories:
    """Name the most frequent values."""
    labels, codes = _ranked(values)
    return _named(title, labels, codes)


def _ranked(values: pa.ChunkedArray) -> tuple[list[str], Codes]:
    """Return the different values by falling frequency, and the place (N,) of each point's in them, or -1."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.cast(values, pa.string())
    counted = sorted(
        pc.value_counts(texts.drop_null()).to_pylist(), key=lambda row: (-row["counts"], row["values"])
    )
    labels = [str(row["values"]) for row in counted]
    places = pc.index_in(texts, value_set=pa.array(labels, pa.string()))
    return labels, pc.fill_null(places, -1).to_numpy().astype(np.int64)


def _named(title: str, names: Sequence[str], codes: Codes) -> Categories:
    shown = list(names[:NAMED])
    shades = list(COLOURS[: len(shown)])
    if len(names) > NAMED:
        shown.append(f"{len(names) - NAMED:,} others")
        shades.append(OTHERS)
    absent = codes < 0
    background = f"none ({_percent(absent)})" if absent.any() else ""
    return Categories(
        title,
        tuple(shown),
        tuple(shades),
        np.minimum(codes, len(shown) - 1),
        background,
        np.zeros(len(codes), bool),
    )


def _percent(chosen: NDArray[np.bool_]) -> str:
    return f"{100.0 * chosen.mean():.0f} %" if len(chosen) else "0 %"
