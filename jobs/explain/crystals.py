"""Pictures of crystals: one into given axes, many on a sheet.

`python -m jobs.explain.crystals STORE PICTURE ID [ID ...]` draws a sheet of structures of a store.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.structure import Structure
from jobs.picture import picture

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ase import Atoms
    from matplotlib.axes import Axes

MOST_ATOMS = 2_000
"""Larger structures show nothing in a small picture."""
FEW_ATOMS = 12
"""Smaller layers and chains are repeated."""
RADIUS = 0.45
"""Of the drawn atoms, as a share of their covalent radii."""
TURNED = "15z,-78x"
"""How the structure is turned towards the reader, in degrees, as ASE takes it."""
AT_THE_FACE = 1e-3
"""Atoms that are so near to a face of the cell, in lattice vectors, are drawn at the opposite one, too."""
COLUMNS = 6
"""Of a sheet."""
INCHES = 1.9
"""Width of a picture on a sheet."""


def draw_crystal(axes: Axes, structure: Structure) -> None:
    """Draw the atoms, coloured by element, with the cell."""
    from ase.data import covalent_radii
    from ase.visualize.plot import plot_atoms

    axes.set_axis_off()
    if len(structure.positions) > MOST_ATOMS:
        axes.text(0.5, 0.5, f"{len(structure.positions):,} atoms: too many to draw", ha="center")
        return
    atoms = _drawn(structure.to_ase())
    plot_atoms(atoms, axes, radii=RADIUS * covalent_radii[atoms.numbers], rotation=TURNED)
    axes.set_axis_off()
    _name_species(axes, atoms)


def draw_sheet(structures: Mapping[str, Structure], file: Path) -> None:
    """Draw structures side by side, each under its name."""
    rows = -(-len(structures) // COLUMNS)
    with picture(file, (COLUMNS * INCHES, rows * INCHES * 1.2)) as figure:
        cells: Any = figure.subplots(rows, COLUMNS, squeeze=False)
        for axes in cells.flat:
            axes.set_axis_off()
        for axes, (name, structure) in zip(cells.flat, structures.items(), strict=False):
            draw_crystal(axes, structure)
            axes.legend().remove()
            axes.set_title(name, fontsize=8)


def _drawn(atoms: Atoms) -> Atoms:
    """Return a crystal's conventional cell with atoms on all its faces, some cells of a layer or chain."""
    if atoms.pbc.all():
        return _with_all_faces(_conventional(atoms))
    if not atoms.pbc.any() or len(atoms) >= FEW_ATOMS:
        return atoms
    times = int(np.ceil((FEW_ATOMS / len(atoms)) ** (1.0 / atoms.pbc.sum())))
    repeated: Atoms = atoms.repeat(np.where(atoms.pbc, times, 1).tolist())
    return repeated


def _conventional(atoms: Atoms) -> Atoms:
    """Return the conventional cell that spglib finds, or the cell as it is."""
    from ase import Atoms

    from engine.symmetry.crystal import FROM_LENGTHS, SYMMETRY_TOLERANCE, SymmetryError, crystal_symmetry

    cell = np.asarray(atoms.cell)
    try:
        data = crystal_symmetry(atoms.positions, atoms.numbers, cell, SYMMETRY_TOLERANCE, FROM_LENGTHS)
    except SymmetryError:
        return atoms
    return Atoms(data.std_types, scaled_positions=data.std_positions, cell=data.std_lattice, pbc=True)


def _with_all_faces(atoms: Atoms) -> Atoms:
    """Return the cell with the images of atoms on its faces, edges and corners."""
    whole: Atoms = atoms.copy()
    whole.wrap(eps=AT_THE_FACE)
    for axis in range(3):
        images = whole[np.abs(whole.get_scaled_positions(wrap=False)[:, axis]) < AT_THE_FACE]
        images.positions += whole.cell[axis]
        whole += images
    return whole


def _name_species(axes: Axes, atoms: Atoms) -> None:
    from ase.data import chemical_symbols
    from ase.data.colors import jmol_colors

    for number in np.unique(atoms.numbers):
        style: dict[str, Any] = {"marker": "o", "linestyle": "", "markersize": 8, "markeredgecolor": "black"}
        axes.plot([], [], color=jmol_colors[number], label=chemical_symbols[number], **style)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=6, frameon=False)


def main(store: str, file: str, *ids: str) -> None:
    """Draw a sheet of structures of a store, each under its formula and its id."""
    from engine.store import Store
    from jobs.explain.lookup import look_up

    found = [look_up(Store.open(store), each) for each in ids]
    names = (f"{each.formula}\n{each.structure.structure_id.partition(':')[2]}" for each in found)
    draw_sheet({name: each.structure for name, each in zip(names, found, strict=True)}, Path(file))


if __name__ == "__main__":
    main(*sys.argv[1:])
