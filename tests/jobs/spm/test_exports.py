"""Files for other programs, opened again by these or by independent readers."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from numpy.typing import NDArray

from engine.errors import CrysiftError
from engine.spm import AtomsTable, Frame
from engine.spm.field import Field
from engine.store import Store
from jobs.spm.maps import quantities
from jobs.spm.maps.extxyz import write_extxyz
from jobs.spm.maps.volume import box_surface, write_volume
from jobs.spm.maps.vti import write_series
from tests.jobs.spm.fields import BCC, FCC, field_of, grid_of

Numbers = NDArray[Any]
ATOMS = (300, 170)


@pytest.fixture(scope="module")
def field() -> Field:
    return field_of(grid_of(7, 4, 3), frames=2)


@pytest.fixture(scope="module")
def atoms(field: Field, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two frames of atoms in and around the grid, in an order that is not that of the bricks."""
    random = np.random.default_rng(3)
    frames = [
        Frame(random.uniform(-5.0, 25.0, (n, 3)), random.integers(0, 2, n).astype(np.uint8), ("Al", "Ni"))
        for n in ATOMS
    ]
    folder = tmp_path_factory.mktemp("atoms")
    store = Store.open(folder / "store", create=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.spm.atoms.ATOMS_PER_BRICK", 30)
        table = AtomsTable.write(store, "alloy", frames)
    assert len(table.table.part_names()) > 10
    cluster = np.where(field.classified, 4, -2).astype(np.int32)
    write_extxyz(folder / "atoms.extxyz", store, table, field, {"cluster": cluster})
    np.savez(folder / "source.npz", *(frame.positions for frame in frames))
    return folder


def nearest(field: Field, frame: int, positions: Numbers) -> tuple[Any, ...]:
    """The frame and the indices of the boxes with the nearest middles, by comparing all distances."""
    indices = field.grid.indices()
    middles = field.grid.centers(indices)
    best = np.linalg.norm(positions[:, None] - middles[None], axis=2).argmin(axis=1)
    return (frame, *indices[best].T)


def test_ovito_reads_every_atom_with_the_results_of_its_nearest_box(field: Field, atoms: Path) -> None:
    ovito = pytest.importorskip("ovito.io", reason="OVITO's Python module is not installed")
    source = np.load(atoms / "source.npz")
    pipeline = ovito.import_file(str(atoms / "atoms.extxyz"))
    assert pipeline.source.num_frames == 2
    for frame, count in enumerate(ATOMS):
        data = pipeline.compute(frame)
        positions = source[f"arr_{frame}"]
        assert data.particles.count == count
        np.testing.assert_allclose(data.particles.positions, positions)
        np.testing.assert_array_equal(data.particles.identifiers, np.arange(1, count + 1))
        place = nearest(field, frame, positions)
        expected: dict[str, Numbers] = {
            "class": field.prototype,
            "probability": field.probability,
            "mutual_information": field.mutual_information,
            "ood_score": field.ood_score,
            f"p_{BCC}": field.probabilities[BCC],
        }
        for name, values in expected.items():
            np.testing.assert_allclose(data.particles[name][...], values[place], rtol=1e-6)
        names = np.array([FCC, BCC, "none"])[field.prototype[place]]
        assert list(data.particles["prototype"][...]) == names.tolist()
        assert np.isnan(data.particles["probability"][...]).sum() == np.sum(names == "none") > 0


def test_ase_reads_the_same_file(field: Field, atoms: Path) -> None:
    first, second = ase.io.read(atoms / "atoms.extxyz", index=":")
    assert (len(first), len(second)) == ATOMS
    assert set(first.get_chemical_symbols()) == {"Al", "Ni"}
    place = nearest(field, 0, first.positions)
    np.testing.assert_array_equal(first.arrays["cluster"], np.where(field.classified[place], 4, -2))
    assert second.info["frame"] == 1


def test_vtk_reads_every_box_at_its_place(field: Field, tmp_path: Path) -> None:
    pyvista = pytest.importorskip("pyvista", reason="pyvista is not installed")
    files = [path.name for path in write_series(tmp_path, field, {"cluster": field.prototype + np.int16(7)})]
    assert files == ["boxes-00000.vti", "boxes-00001.vti", "boxes.pvd"]
    series = pyvista.get_reader(str(tmp_path / "boxes.pvd"))
    assert series.time_values == [0.0, 1.0]
    indices = field.grid.indices()
    for frame in (0, 1):
        series.set_active_time_point(frame)
        grid = series.read()[0]
        cells = grid.find_containing_cell(field.grid.centers(indices))
        assert sorted(cells) == list(range(field.grid.n_boxes))
        middles = grid.cell_centers().points[cells]
        np.testing.assert_allclose(middles, field.grid.centers(indices), atol=1e-5)
        place: tuple[Any, ...] = (frame, *indices.T)
        expected: dict[str, Numbers] = {
            "prototype": field.prototype,
            "probability": field.probability,
            "mutual_information": field.mutual_information,
            "n_atoms": field.n_atoms,
            "p bcc (W)": field.probabilities[BCC],
            "cluster": field.prototype + 7,
        }
        for name, values in expected.items():
            np.testing.assert_array_equal(grid.cell_data[name][cells], values[place])
        assert list(grid.field_data["prototypes"]) == ["fcc (Cu)", "bcc (W)"]


def test_flat_grids_are_one_cell_thick(tmp_path: Path) -> None:
    pyvista = pytest.importorskip("pyvista", reason="pyvista is not installed")
    [path] = write_series(tmp_path, field_of(grid_of(5, 4, 1)))
    grid = pyvista.read(str(path))
    assert grid.n_cells == 20
    np.testing.assert_allclose(grid.bounds, (-3.0, 7.0, 2.5, 14.5, 10.0, 16.0))


def test_the_surface_of_boxes_is_all_their_outer_faces() -> None:
    marked = np.random.default_rng(5).random((6, 5, 4)) < 0.4
    corners, triangles = box_surface(marked)
    assert len(np.unique(corners, axis=0)) == len(corners)
    padded = np.pad(marked, 1)
    faces = sum(int(np.abs(np.diff(padded.astype(int), axis=axis)).sum()) for axis in range(3))
    assert len(triangles) == 2 * faces
    a, b, c = (corners[triangles[:, k]].astype(float) for k in range(3))
    np.testing.assert_allclose(np.linalg.norm(np.cross(b - a, c - a), axis=1), 1.0)
    enclosed = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6  # Gauss: positive if normals point outwards
    assert enclosed == pytest.approx(marked.sum())


def figure_of(page: str) -> dict[str, Any]:
    """The figure that a page gives to plotly."""
    figure, _ = json.JSONDecoder().raw_decode(page[page.rindex("const figure = ") + len("const figure = ") :])
    return dict(figure)


def numbers(array: dict[str, str]) -> Numbers:
    return np.frombuffer(base64.b64decode(array["bdata"]), array["dtype"])


def test_the_page_holds_the_regions_and_all_it_needs(field: Field, tmp_path: Path) -> None:
    shown = quantities.mutual_information(field)
    write_volume(tmp_path / "volume.html", "an <alloy>", field.grid, quantities.classes(field), [shown])
    page = (tmp_path / "volume.html").read_text(encoding="utf-8")
    assert not re.search(r"<(script|link)[^>]+(src|href)=", page)
    assert "<title>an &lt;alloy&gt;</title>" in page
    assert len(page) < 6e6
    fcc, bcc, fog, slices = traces = figure_of(page)["data"]
    assert (fcc["name"], bcc["name"]) == ("fcc (Cu)", "bcc (W)")
    assert (fcc["type"], fog["type"], slices["type"]) == ("mesh3d", "volume", "isosurface")
    for trace, (low, high) in ((fcc, (-3.0, 5.0)), (bcc, (5.0, 11.0))):
        assert (numbers(trace["x"]).min(), numbers(trace["x"]).max()) == (low, high)
    values = numbers(fog["value"])
    known = ~np.isnan(shown.values[0].ravel())
    np.testing.assert_allclose(values[known], shown.values[0].ravel()[known])
    assert (values[~known] < 0).all()
    assert traces[slices["meta"]["values"]] is traces[fog["meta"]["values"]] is fog
    written = page[page.index("const [a, b, c] = ") + len("const [a, b, c] = ") :]
    middles, _ = json.JSONDecoder().raw_decode(written)
    for axis in range(3):
        expected = np.unique(field.grid.centers(field.grid.indices())[:, axis])
        np.testing.assert_allclose(middles[axis], expected)


def test_large_grids_are_thinned_and_flat_ones_refused(tmp_path: Path) -> None:
    large = field_of(grid_of(90, 40, 30))
    page = tmp_path / "volume.html"
    write_volume(page, "large", large.grid, quantities.classes(large), [])
    assert "every 2. box along each axis" in page.read_text(encoding="utf-8")
    flat = field_of(grid_of(9, 4, 1))
    with pytest.raises(CrysiftError, match="9 × 4 × 1 boxes: a volume needs at least two"):
        write_volume(page, "flat", flat.grid, quantities.classes(flat), [])
