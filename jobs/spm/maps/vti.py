"""The grid for ParaView: VTK image data (.vti), one cell per box."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from engine.spm.field import Field
from engine.spm.grid import Grid
from jobs.spm.maps.planes import limits
from jobs.spm.maps.quantities import title_of

PROBABILITIES = 12
"""Classes whose probabilities are written."""
_TYPES = {"float32": "Float32", "float64": "Float64", "int32": "Int32", "int16": "Int16", "int8": "Int8"}
_HEADER = np.dtype("<u8")
Arrays = Mapping[str, NDArray[Any]]


def write_vti(path: Path, field: Field, frame: int = 0, extra: Arrays | None = None) -> None:
    """Write the boxes of a frame, each as a cell of one stride; `extra` are further arrays (F, nx, ny, nz).

    Cell data: `prototype` (its number, -1: not classified), `probability`, `mutual_information` and
    `predictive_entropy` in nat, `ood_score`, `n_atoms`, `level`, and `p NAME` of the most frequent classes;
    NaN in boxes that are not classified. The field data `prototypes` are the names to the numbers.
    """
    arrays: dict[str, NDArray[Any]] = {
        "prototype": field.prototype,
        "probability": field.probability,
        "mutual_information": field.mutual_information,
        "predictive_entropy": field.predictive_entropy,
        "ood_score": field.ood_score,
        "n_atoms": field.n_atoms,
        "level": field.level,
        **(extra or {}),
    }
    for label in field.labels[:PROBABILITIES]:
        arrays[f"p {title_of(label)}"] = field.probabilities[label]
    names = [title_of(label) for label in field.labels]
    _write(path, field.grid, {name: values[frame] for name, values in arrays.items()}, names)


def write_series(folder: Path, field: Field, extra: Arrays | None = None) -> Iterator[Path]:
    """Write `boxes.vti`, or one file per frame and `boxes.pvd`, which lists them; yields what is written."""
    if field.frames == 1:
        write_vti(folder / "boxes.vti", field, 0, extra)
        yield folder / "boxes.vti"
        return
    steps = []
    for frame in range(field.frames):
        name = f"boxes-{frame:05d}.vti"
        write_vti(folder / name, field, frame, extra)
        steps.append(f'<DataSet timestep="{frame}" file="{name}"/>')
        yield folder / name
    listed = "\n".join(steps)
    (folder / "boxes.pvd").write_text(
        f'<?xml version="1.0"?>\n<VTKFile type="Collection" version="0.1">\n<Collection>\n{listed}\n'
        "</Collection>\n</VTKFile>\n",
        encoding="utf-8",
    )
    yield folder / "boxes.pvd"


def _write(path: Path, grid: Grid, arrays: Arrays, names: list[str]) -> None:
    """Write values (nx, ny, nz) as raw bytes behind the XML, as VTK's file format 1.0 has it."""
    ends = [limits(grid, axis) for axis in range(3)]
    spacing = [(high - low) / n for (low, high), n in zip(ends, grid.counts, strict=True)]
    extent = " ".join(f"0 {n}" for n in grid.counts)
    declared, blobs, offset = [], [], 0
    for name, values in arrays.items():
        data = (
            np.ascontiguousarray(values.transpose(2, 1, 0)).astype(values.dtype.newbyteorder("<")).tobytes()
        )
        kind = _TYPES[values.dtype.name]
        declared.append(
            f'<DataArray type="{kind}" Name={quoteattr(name)} format="appended" offset="{offset}"/>'
        )
        blobs += [np.array([len(data)], _HEADER).tobytes(), data]
        offset += _HEADER.itemsize + len(data)
    listed = " ".join(str(byte) for name in names for byte in (*name.encode(), 0))
    head = f"""<?xml version="1.0"?>
<VTKFile type="ImageData" version="1.0" byte_order="LittleEndian" header_type="UInt64">
<ImageData WholeExtent="{extent}" Origin="{_numbers(low for low, _ in ends)}" Spacing="{_numbers(spacing)}">
<FieldData>
<Array type="String" Name="prototypes" NumberOfTuples="{len(names)}" format="ascii">{listed}</Array>
</FieldData>
<Piece Extent="{extent}">
<CellData Scalars="prototype">
{chr(10).join(declared)}
</CellData>
</Piece>
</ImageData>
<AppendedData encoding="raw">
_"""
    with path.open("wb") as file:
        file.write(head.encode())
        file.writelines(blobs)
        file.write(b"\n</AppendedData>\n</VTKFile>\n")


def _numbers(values: Any) -> str:
    return " ".join(repr(float(value)) for value in values)
