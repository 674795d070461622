"""Files of atoms as frames; the reference is ASE's reader, which shares no code with the ones in blocks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read, write

from connectors.atomistic import read_frames
from connectors.atomistic.formats import FORMATS
from connectors.atomistic.names import parse_species
from engine.errors import CrysiftError
from engine.spm import Frame

SHEARED = [[12.0, 0.0, 0.0], [2.5, 11.0, 0.0], [-1.5, 3.0, 9.0]]


@pytest.fixture
def alloy() -> Atoms:
    """50 atoms of two species in a sheared cell, in no order."""
    random = np.random.default_rng(3)
    atoms = Atoms(random.permutation(["Ni"] * 30 + ["Al"] * 20), cell=SHEARED, pbc=True)
    atoms.set_scaled_positions(random.random((50, 3)))
    atoms.set_array("forces", random.normal(size=(50, 3)))
    return atoms


def write_dump(path: Path, frames: list[Atoms], columns: str) -> None:
    """Write a LAMMPS dump as LAMMPS does: bounds of a sheared box enclose it, and positions as asked."""
    lines = []
    for step, atoms in enumerate(frames):
        (lx, _, _), (xy, ly, _), (xz, yz, lz) = np.asarray(atoms.cell)
        low, high = min(0.0, xy, xz, xy + xz), lx + max(0.0, xy, xz, xy + xz)
        lines += ["ITEM: TIMESTEP", str(step), "ITEM: NUMBER OF ATOMS", str(len(atoms))]
        lines += ["ITEM: BOX BOUNDS xy xz yz pp pp pp", f"{low} {high} {xy}"]
        lines += [f"{min(0.0, yz)} {ly + max(0.0, yz)} {xz}", f"0 {lz} {yz}", f"ITEM: ATOMS {columns}"]
        scaled = atoms.get_scaled_positions(wrap=False)
        for k, atom in enumerate(atoms):
            values = {"id": k + 1, "type": 1 if atom.symbol == "Ni" else 2, "element": atom.symbol}
            values |= dict(zip(["x", "y", "z"], atom.position, strict=True)) | {"mass": atom.mass}
            values |= dict(zip(["xs", "ys", "zs"], scaled[k], strict=True))
            lines.append(" ".join(str(values[name]) for name in columns.split()))
    path.write_text("\n".join(lines) + "\n")


def expect(frame: Frame, atoms: Atoms, tolerance: float = 1e-6) -> None:
    assert [frame.labels[code] for code in frame.species] == atoms.get_chemical_symbols()
    np.testing.assert_allclose(frame.positions, atoms.positions, atol=tolerance, rtol=0)
    assert frame.labels == tuple(sorted(set(frame.labels)))


WRITERS: dict[str, Callable[[Path, Atoms], None]] = {
    "a.extxyz": lambda path, atoms: write(path, atoms, format="extxyz"),
    "a.xyz": lambda path, atoms: write(path, atoms, format="xyz", fmt="%.9f"),
    "a.dump": lambda path, atoms: write_dump(path, [atoms], "id element x y z"),
    "dump.scaled": lambda path, atoms: write_dump(path, [atoms], "id xs ys zs element mass"),
    "dump.masses": lambda path, atoms: write_dump(path, [atoms], "mass x y z type"),
    "data.alloy": lambda path, atoms: write(path, atoms, format="lammps-data", masses=True),
    "POSCAR_alloy": lambda path, atoms: write(path, atoms, format="vasp"),
    "a.cif": lambda path, atoms: write(path, atoms, format="cif"),
    "geometry.in": lambda path, atoms: write(path, atoms, format="aims"),
    "a.parquet": lambda path, atoms: pq.write_table(as_table(atoms), path),
    "a.csv": lambda path, atoms: write_csv(path, as_table(atoms)),
}


def as_table(atoms: Atoms) -> pa.Table:
    x, y, z = atoms.positions.T
    return pa.table({"Species": atoms.get_chemical_symbols(), "z": z, "y": y, "X": x, "charge": x})


def write_csv(path: Path, table: pa.Table) -> None:
    rows = [",".join(map(str, row.values())) for row in table.to_pylist()]
    path.write_text("\n".join([",".join(table.column_names), *rows]) + "\n")


def read_one(path: Path, name: str, **options: Any) -> Atoms:
    [atoms] = read(path, format=name, index=":", **options)
    return atoms


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_atoms_in_the_order_of_the_file(
    name: str, alloy: Atoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.atomistic.lines.LINES_AT_ONCE", 7)
    monkeypatch.setattr("connectors.atomistic.tables.ROWS_AT_ONCE", 7)
    path = tmp_path / name
    WRITERS[name](path, alloy)
    if name == "data.alloy":  # ASE turns the cell as LAMMPS wants it; what counts is the file
        alloy = read_one(path, "lammps-data", sort_by_id=False, read_image_flags=False)
    if name == "a.cif":
        alloy.wrap()
    [frame] = read_frames(path)
    expect(frame, alloy, 1e-3 if name in {"a.cif", "data.alloy"} else 1e-6)


def test_the_published_nanoparticle_is_read_as_ase_reads_it(shared_data: Path) -> None:
    path = shared_data / "atomistic" / "fept_aet_2017.xyz"
    [frame] = read_frames(path)
    expect(frame, read_one(path, "xyz"), 1e-12)


@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("name", ["run.extxyz", "run.dump", "run.traj", "run.parquet"])
def test_frames_of_a_file_are_a_time_series(name: str, every: int, alloy: Atoms, tmp_path: Path) -> None:
    frames = [alloy[: 40 + k] for k in range(4)]
    path = tmp_path / name
    if name == "run.dump":
        write_dump(path, frames, "id element x y z")
    elif name == "run.parquet":
        tables = [as_table(f).append_column("frame", [[10 * k] * len(f)]) for k, f in enumerate(frames)]
        pq.write_table(pa.concat_tables(tables), path, row_group_size=17)
    else:
        write(path, frames)
    read_back = list(read_frames(path, "traj" if name == "run.traj" else None, every=every))
    assert [len(frame) for frame in read_back] == [len(frame) for frame in frames[::every]]
    for frame, atoms in zip(read_back, frames[::every], strict=True):
        expect(frame, atoms)


def test_types_of_lammps_get_their_elements_from_the_user(alloy: Atoms, tmp_path: Path) -> None:
    write_dump(tmp_path / "a.dump", [alloy], "id type x y z")
    [frame] = read_frames(tmp_path / "a.dump", species="1=Ni, 2=Al")
    expect(frame, alloy)
    for given in (None, "1=Ni"):
        with pytest.raises(
            CrysiftError, match=r"of type [12]: name their elements, as in --species 1=Ni,2=Al"
        ):
            list(read_frames(tmp_path / "a.dump", species=given))
    write(tmp_path / "a.data", alloy, format="lammps-data", specorder=["Ni", "Al"])
    with pytest.raises(CrysiftError, match=r"has atoms of type [12]: name their elements"):
        list(read_frames(tmp_path / "a.data"))
    [named] = read_frames(tmp_path / "a.data", species="1=Cu,2=Zn")
    assert [named.labels[code] for code in named.species] == [
        {"Ni": "Cu", "Al": "Zn"}[symbol] for symbol in alloy.get_chemical_symbols()
    ]


@pytest.mark.parametrize(
    ("style", "line"),
    [
        ("atomic", "{id} {type} {x} {y} {z}"),
        ("", "{id} {type} {x} {y} {z} 0 0 0"),
        ("charge", "{id} {type} -0.5 {x} {y} {z} 1 0 -1"),
        ("molecular", "{id} 1 {type} {x} {y} {z}"),
        ("full", "{id} 1 {type} 0.5 {x} {y} {z} # a remark"),
        ("", "{id} 1 {type} 0.5 {x} {y} {z}"),
    ],
)
@pytest.mark.parametrize("labels", [False, True])
def test_every_style_of_a_lammps_data_file_is_read(
    style: str, line: str, labels: bool, alloy: Atoms, tmp_path: Path
) -> None:
    numbers = {"Ni": "2", "Al": "1"}
    rows = [
        line.format(
            id=99 - k,
            type=a.symbol if labels else numbers[a.symbol],
            **dict(zip("xyz", a.position, strict=True)),
        )
        for k, a in enumerate(alloy)
    ]
    names = "Atom Type Labels\n\n1 Al\n2 Ni\n" if labels else "Masses\n\n1 26.98 # Al\n2 58.69 # Ni\n"
    head = f"a remark with Atoms in it\n\n{len(alloy)} atoms\n2 atom types\n\n0 9 xlo xhi\n\n{names}\n"
    body = "\n".join([f"Atoms  # {style}" if style else "Atoms", "", *rows, "", "Velocities", "", "1 0 0 0"])
    (tmp_path / "a.data").write_text(head + body + "\n")
    [frame] = read_frames(tmp_path / "a.data")
    expect(frame, alloy)


def test_a_mass_that_is_no_elements_is_refused(alloy: Atoms, tmp_path: Path) -> None:
    alloy.set_masses([100.0] * len(alloy))
    write_dump(tmp_path / "a.dump", [alloy], "mass x y z type")
    with pytest.raises(CrysiftError, match="atoms of mass 100 u, which is no element's"):
        list(read_frames(tmp_path / "a.dump"))


def test_positions_in_an_image_are_scaled_to_angstroms(tmp_path: Path) -> None:
    (tmp_path / "peaks.txt").write_text("# x y\n10 20\n30.5, 40\n")
    (tmp_path / "peaks.csv").write_text("y,x,intensity\n20,10,3\n40,30.5,7\n")
    for name in ("peaks.txt", "peaks.csv"):
        [frame] = read_frames(tmp_path / name, pixel_size=0.2, species="C")
        np.testing.assert_allclose(frame.positions, [[2.0, 4.0, 0.0], [6.1, 8.0, 0.0]])
        assert frame.labels == ("C",)
        with pytest.raises(CrysiftError, match="in pixels: pass --pixel-size"):
            list(read_frames(tmp_path / name, species="C"))
        with pytest.raises(CrysiftError, match="no column species: pass --species"):
            list(read_frames(tmp_path / name, pixel_size=0.2))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.xyz", "", "has no atoms"),
        ("a.xyz", "0\nnothing\n", "frame 0 of .* has no atoms"),
        ("a.xyz", "3\nthree\nFe 0 0 0\nFe 0 0 1\n", "announces 3 atoms and ends after 2: it is cut short"),
        ("a.xyz", f"{10**15}\nmany\nFe 0 0 0\n", "ends after 1: it is cut short"),
        ("a.xyz", "1\none\nFe 0 0 zero\n", "cannot be read.*zero"),
        ("a.xyz", "Fe 0 0 0\n", "should begin with a number of atoms and begins with 'Fe 0 0 0'"),
        ("a.xyz", "1\nProperties=pos:R:3:id:I:1\n0 0 0 1\n", "species:S:1 and pos:R:3 must be among"),
        ("a.xyz", "1\none\n28 0 0 0\n", "has atoms of type 28: name their elements"),
        ("a.dump", "no dump\n", "has 'no dump' where a dump has a line that begins with 'ITEM:'"),
        ("a.dump", "ITEM: NUMBER OF ATOMS\n1\nITEM: ATOMS id type q\n1 1 0\n", "has no columns x y z"),
        (
            "a.dump",
            "ITEM: NUMBER OF ATOMS\n1\nITEM: ATOMS x y z\n1 1 0\n",
            "neither a column element nor type",
        ),
        ("a.data", "remark\n1 atoms\n", "has no section Atoms"),
        ("a.data", "remark\n1 atoms\nAtoms\n\n1 1 0 0 0 0\n", "with 6 columns.*name the style.*# charge"),
        ("a.data", "remark\n2 atoms\nMasses\n\n1 12.01\n\nAtoms\n\n1 1 0 0 0\n", "ends after 1"),
        ("POSCAR", "nothing\nof\nuse\n", "not readable as vasp"),
        ("a.csv", "a,b\n1,2\n", "has no column 'x' but a, b"),
        ("a.txt", "1 2 3\n", "3 columns of numbers and not two"),
        ("a.txt", "x y\n1 2\n", "should hold two columns of numbers"),
        ("a.parquet", "no parquet", "cannot be read"),
        ("a.foo", "1\n", "does not tell its format.*extxyz .*lammps-dump-text .*--format|--format.*extxyz"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(
    name: str, content: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    image = name.endswith((".txt", ".csv"))
    with pytest.raises(CrysiftError, match=words) as refused:
        list(read_frames(tmp_path / name, pixel_size=1.0 if image else None, species="C" if image else None))
    assert str(tmp_path / name) in str(refused.value)


def test_shared_sites_of_a_cif_are_refused(tmp_path: Path) -> None:
    salt = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    write(tmp_path / "salt.cif", salt)
    text = (tmp_path / "salt.cif").read_text()
    assert "1.0000" in text
    (tmp_path / "salt.cif").write_text(text.replace("1.0000", "0.5000"))
    with pytest.raises(CrysiftError, match="every atom needs one species"):
        list(read_frames(tmp_path / "salt.cif"))


def test_what_does_not_fit_into_memory_is_said_before_anything_is_read(
    alloy: Atoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.xyz").write_text("10000000\nnot read at all\n" + "Fe 1.0 2.0 3.0\n" * 10_000)
    monkeypatch.setattr("engine.execution.capacity.available_memory", lambda: 1000 * 50)
    with pytest.raises(CrysiftError, match=r"as extxyz needs about .* GiB of memory and .* free: read fewer"):
        read_frames(tmp_path / "a.xyz")
    write(tmp_path / "POSCAR", alloy * (5, 5, 5), format="vasp")
    with pytest.raises(CrysiftError, match=r"as vasp needs .*save it as extxyz, LAMMPS dump or Parquet"):
        read_frames(tmp_path / "POSCAR")


def test_names_of_formats_and_of_species_are_checked(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("1\none\nX 0 0 0\n")
    with pytest.raises(CrysiftError, match="format 'sif' is not known: name one of extxyz"):
        read_frames(tmp_path / "a.xyz", "sif")
    with pytest.raises(CrysiftError, match="a pixel size is for tables of image positions"):
        read_frames(tmp_path / "a.xyz", pixel_size=0.1)
    for text, words in (("1=Xx", "not the symbol"), ("=Ni", "not understood"), ("1=Ni,1=Al", "twice")):
        with pytest.raises(CrysiftError, match=words):
            parse_species(text)
    assert len({name for kind in FORMATS for name in kind.names}) == sum(len(kind.names) for kind in FORMATS)
