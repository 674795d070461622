"""Boxes by shared sums: the neighbours of an atom are summed once, and a box adds up its atoms.

A box's descriptor differs from that of the same box cut out (`engine.spm.exact`) in one thing: which pairs of
atoms count. There it is those with both ends in the box; here every neighbour of its atoms, weighted by the
share of such pairs in a homogeneous structure. The length scales are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations_with_replacement, repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.descriptors.features import Failure
from engine.descriptors.neighbors import Floats, Ints, images_within
from engine.descriptors.soap import SOAP_WIDTH, SoapResult, SoapSettings, checked
from engine.descriptors.soap.kernel import power_spectrum
from engine.descriptors.soap.settings import L_MAX, N_LM, N_MAX
from engine.errors import CrysiftError
from engine.spm.atoms import Region
from engine.spm.cuboids import NOT_PERIODIC, cuboids
from engine.spm.exact import SPARSE, BoxVectors
from engine.spm.grid import Grid
from engine.spm.lengths import box_lengths
from engine.spm.neighbor_sums import Basis, Window, neighbor_sums, width
from engine.spm.settings import Shape
from engine.spm.span import MAX_RATIO, Span, span
from engine.spm.window_sums import Spheres, add_to_boxes, add_to_spheres, boxes_of_atoms

_ROWS_AT_ONCE = 4096
"""Atoms whose sums are held at a time."""
_DIVISIONS = 3
_NEAR = 4.0
"""Å: atoms in one cube of this edge are near in memory, too."""
_BOXES_AT_ONCE = 1024


class Block(NamedTuple):
    """A dense block of boxes: the first (3,) of the grid, how many along each axis, and the grid."""

    grid: Grid
    first: Ints
    shape: Ints


class Sublattices(NamedTuple):
    """The atoms of a region by species: species s in rows bounds[s] … bounds[s + 1] − 1."""

    positions: Floats
    bounds: Ints

    def of(self, species: int) -> slice:
        """The rows of a species."""
        return slice(int(self.bounds[species]), int(self.bounds[species + 1]))


def halo(grid: Grid) -> Floats:
    """How far beyond a box, (3,) Å, atoms count: neighbours a box's length away weigh nothing."""
    return np.where(grid.strided, grid.size, 0.0)


def shared_vectors(
    region: Region, grid: Grid, indices: NDArray[np.integer], settings: SoapSettings, min_atoms: int
) -> BoxVectors:
    """Describe boxes (n, 3) of a region that reaches `halo` beyond them.

    Raises CrysiftError for settings that no span is made for.
    """
    check_settings(settings)
    block = _block(grid, indices)
    atoms = _by_species(region)
    found = box_lengths(atoms.positions, atoms.bounds, cuboids(grid, indices))
    n_atoms = found.counts.sum(axis=1)
    enough = n_atoms >= min_atoms
    spectra = np.zeros((len(indices), SOAP_WIDTH))
    lengths = np.where(enough[:, None, None], found.lengths, np.inf) * settings.scale
    for pair in combinations_with_replacement(range(len(atoms.bounds) - 1), 2):
        for rows, scales in _similar(lengths, pair):
            basis = span(float(scales[0]), float(scales[-1]), settings)
            places = tuple((indices[rows] - block.first).T[::-1])
            wanted = np.zeros(block.shape[::-1], np.bool_)
            wanted[places] = True
            sums = _box_sums(atoms, block, pair, basis, wanted)
            for at in range(0, len(rows), _BOXES_AT_ONCE):
                some = slice(at, at + _BOXES_AT_ONCE)
                here, transforms = sums[tuple(axis[some] for axis in places)], basis.transform(scales[some])
                _add_spectra(here, transforms, basis.ranks, pair[0] == pair[1], rows[some], spectra)
    spectra /= np.maximum((found.counts > 0).sum(axis=1), 1)[:, None] ** 2
    return BoxVectors(
        _checked(spectra, enough, found.lengths.min((1, 2), initial=np.inf)), n_atoms.astype(np.int32)
    )


def compile_sums(shape: Shape, settings: SoapSettings) -> None:
    """Compile all that `shared_vectors` runs, or load it from the cache, by describing a pair of atoms."""
    pair = Region(np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]), np.arange(2), np.arange(2))
    grid = Grid((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0), (3.0, 3.0, 3.0), (1, 1, 1), (True, True, True), shape)
    shared_vectors(pair, grid, np.zeros((1, 3), np.int32), settings, 1)


def check_settings(settings: SoapSettings) -> None:
    """Raise CrysiftError for settings whose radial functions have no span here."""
    if settings.basis != "quip" or settings.backend != "kernel":
        raise CrysiftError(
            f'shared sums need the basis "quip" and the backend "kernel", not {settings.basis!r} and '
            f"{settings.backend!r}: take these, or the exact mode"
        )


def _block(grid: Grid, indices: NDArray[np.integer]) -> Block:
    first = indices.min(axis=0).astype(np.int64)
    return Block(grid, first, indices.max(axis=0) - first + 1)


def _by_species(region: Region) -> Sublattices:
    near = np.floor(region.positions / _NEAR).astype(np.int64)
    order = np.lexsort((near[:, 0], near[:, 1], near[:, 2], region.species))
    _, counts = np.unique(region.species, return_counts=True)
    bounds = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Sublattices(np.ascontiguousarray(region.positions[order]), bounds)


def _similar(lengths: Floats, pair: tuple[int, int]) -> Iterator[tuple[Ints, Floats]]:
    """Yield rows of boxes whose scales differ by at most `MAX_RATIO`, and these scales, rising, Å.

    `lengths` (n, S, S) are infinite where there is none. Two species have a scale in each direction, so that
    a row can come twice.
    """
    directions = [pair] if pair[0] == pair[1] else [pair, pair[::-1]]
    scales = np.concatenate([lengths[:, alpha, beta] for alpha, beta in directions])
    order = np.argsort(scales, kind="stable")[: np.isfinite(scales).sum()]
    while len(order):
        count = int(np.searchsorted(scales[order], scales[order[0]] * MAX_RATIO, side="right"))
        yield order[:count] % len(lengths), scales[order[:count]]
        order = order[count:]


def _box_sums(
    atoms: Sublattices, block: Block, pair: tuple[int, int], basis: Span, wanted: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Sums over the basis, (nz, ny, nx, width), of all boxes of a block; those not wanted may lack atoms.

    Of two species the one with fewer atoms has the centres: seen from the other one a pair's harmonics of odd
    degree change their sign, which a power spectrum does not see.
    """
    few, many = sorted((atoms.of(species) for species in pair), key=lambda rows: rows.stop - rows.start)
    centers, same = atoms.positions[few], pair[0] == pair[1]
    first, last = boxes_of_atoms(centers, block.grid, block.first, block.shape)
    order = np.lexsort((last[:, 1], first[:, 1], last[:, 2], first[:, 2]))
    order = order[_any_wanted(first, last, wanted)[order]]
    numbers = width(basis.ranks, same)
    nx, ny, nz = block.shape
    out = np.zeros((nz, ny, nx, numbers), np.float32)
    if not len(order):
        return out
    radius = basis.table.reach * basis.longest
    images = images_within(centers, atoms.positions[many], NOT_PERIODIC, radius, _DIVISIONS)
    summed = Basis(basis.table, basis.longest, basis.ranks, basis.projection)
    inverse = np.where(block.grid.strided, 1.0 / np.array(block.grid.size), 0.0)
    window = Window(inverse, block.grid.shape == "sphere")
    plane = np.empty((ny + 1, nx, numbers), np.float32)
    for start in range(0, len(order), _ROWS_AT_ONCE):
        rows = order[start : start + _ROWS_AT_ONCE]
        sums = np.empty((len(rows), numbers), np.float32)
        names = rows if same else np.full(len(rows), -1)
        neighbor_sums(centers[rows], names, images, summed, window, same, sums)
        if window.sphere:
            add_to_spheres(sums, centers[rows], first[rows], last[rows], _spheres(block), out)
        else:
            add_to_boxes(sums, first[rows], last[rows], plane, out)
    return out


def _spheres(block: Block) -> Spheres:
    grid = block.grid
    size, strided = np.array(grid.size), np.array(grid.strided)
    middle = grid.centers(block.first[None])[0]
    return Spheres(middle, np.array(grid.stride), strided, 0.5 * float(size[strided][0]))


def _any_wanted(first: Ints, last: Ints, wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the ranges of boxes, first to last (n, 3), in which any of `wanted` (nz, ny, nx) is."""
    running = np.pad(wanted.astype(np.int64), ((1, 0),) * 3).cumsum(0).cumsum(1).cumsum(2)
    corners = (first, last + 1)
    total = np.zeros(len(first), np.int64)
    for x in range(2):
        for y in range(2):
            for z in range(2):
                at = running[corners[z][:, 2], corners[y][:, 1], corners[x][:, 0]]
                total += at if (x + y + z) % 2 else -at
    return np.asarray((last >= first).all(axis=1) & (total > 0))


@compiled("numpy")
def _add_spectra(
    sums: NDArray[np.float32],
    transforms: NDArray[np.float32],
    ranks: Ints,
    even_only: bool,
    rows: Ints,
    out: Floats,
) -> None:
    """Add to the `rows` (n,) of `out` the normalised power spectra of boxes.

    `sums` (n, width) are over a basis of `ranks`, and `transforms` make coefficients of them, each at its own
    scale.
    """
    c, spectrum = np.zeros((N_LM, N_MAX)), np.empty(out.shape[1])
    for i in range(rows.size):
        column, flat = 0, 0
        for order in range(L_MAX + 1):
            count, rank = 2 * order + 1, ranks[order]
            if not (even_only and order % 2):
                of_order = sums[i, column : column + count * rank].reshape(count, rank)
                transform = transforms[i, flat : flat + rank * N_MAX].reshape(rank, N_MAX)
                c[order * order : (order + 1) * (order + 1)] = of_order @ transform
                column += count * rank
            flat += rank * N_MAX
        power_spectrum(c, spectrum)
        out[rows[i]] += spectrum


def _checked(spectra: Floats, enough: NDArray[np.bool_], shortest: Floats) -> list[SoapResult | Failure]:
    """The results of n boxes, from their vectors (n, 316) and shortest lengths (n,)."""
    found = list(map(SoapResult, spectra, shortest.tolist(), repeat(None)))
    results: list[SoapResult | Failure] = list(found)
    for i in np.flatnonzero(~enough):
        results[i] = SPARSE
    unusable = ~np.logical_and(np.isfinite(spectra).all(axis=1), spectra.any(axis=1))
    for i in np.flatnonzero(np.logical_and(enough, unusable)):
        results[i] = checked(found[i])
    return results
