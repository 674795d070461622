"""Reading one file of a named format; runs in worker processes, where a crash or a hang costs one file."""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.entries import Failure
from engine.structure import Structure

if TYPE_CHECKING:
    from ase import Atoms

FORMAT_OF_EXTENSION = {".cif": "cif", ".extxyz": "extxyz", ".vasp": "vasp"}
FORMAT_OF_PREFIX = {"POSCAR": "vasp", "CONTCAR": "vasp"}
FORMAT_OF_NAME = {"geometry.in": "aims"}
"""File names that leave no doubt about the format; every other file needs its format named."""
NAMED = (
    "Without --format only these names tell a format: "
    f"{', '.join(f'*{end}' for end in FORMAT_OF_EXTENSION)}, "
    f"{', '.join(f'{start}*' for start in FORMAT_OF_PREFIX)}, {', '.join(FORMAT_OF_NAME)}"
)
TRAJECTORY = "traj"
FRAMED = ("extxyz", "xyz", TRAJECTORY)
"""Formats of many frames per file whose frames are found without parsing them; any other file is one page."""
BYTES_PER_SITE = 40
"""For predicting the cost of a file before it is read."""
LONGEST_COUNT = 20
"""Bytes in a line that announces a number of atoms."""


def format_of(path: Path) -> str | None:
    """Return the format that a file's name leaves no doubt about, in ASE's words, or None."""
    for prefix, name in FORMAT_OF_PREFIX.items():
        if path.name.startswith(prefix):
            return name
    return FORMAT_OF_NAME.get(path.name) or FORMAT_OF_EXTENSION.get(path.suffix.lower())


def readable(path: Path) -> str:
    """Return a path as text that every table takes; bytes of a name that are no UTF-8 become escapes."""
    return path.as_posix().encode(errors="surrogateescape").decode(errors="backslashreplace")


@dataclass(frozen=True)
class Frame:
    """A portion of a file: bytes ``start`` to ``stop`` hold its frame ``index``; ``sites`` as announced.

    In a trajectory it is the file itself that tells where a frame is, and the sites are an estimate.
    """

    index: int
    start: int
    stop: int
    sites: int


@dataclass(frozen=True)
class FileTask:
    """What a worker reads: a file, or some of its frames; without ``frames`` all that the file holds.

    ``format`` is None where nothing tells it.
    """

    path: Path
    source_id: str
    format: str | None
    frames: tuple[Frame, ...] | None = None
    numbered: bool = False

    @property
    def place(self) -> str:
        """The path, to be told to the user."""
        return readable(self.path)

    def frame_id(self, index: int) -> str:
        """Return the ``source_id`` of one frame."""
        return f"{self.source_id}#{index}"

    def named(self, structure: Structure, frame: int | None) -> Structure:
        """Return the structure with the ``source_id`` and the ``url`` of the file, or of a frame of it."""
        url = Path(os.path.normpath(self.path.absolute())).as_uri()
        if frame is None:
            return replace(structure, source_id=self.source_id, provenance={"url": url})
        return replace(structure, source_id=self.frame_id(frame), provenance={"url": f"{url}#{frame}"})

    @property
    def row_ids(self) -> list[str]:
        """The ``source_id`` of every row that is known to come of the task before it is read."""
        frames = (self.frames or ()) if self.numbered else ()
        return [self.frame_id(frame.index) for frame in frames] or [self.source_id]


def parse(task: FileTask, source: str) -> list[Structure | Failure]:
    """Read the structures of a file; a frame that cannot be read is a failure beside the others."""
    warnings.simplefilter("ignore")
    if task.format is None:
        return [Failure(task.source_id, "UnknownFormat", f"the format of {task.place} is not told. {NAMED}")]
    try:
        if task.frames is not None:
            with _frame_reader(task) as read:
                return [_parse_frame(task, frame, source, read) for frame in task.frames]
        if task.path.stat().st_size == 0:
            return [_empty(task)]
        return _parse_whole(task, source)
    except Exception as error:  # noqa: BLE001 -- whatever a parser raises, the file is the one to blame
        return [failure(task, row, error) for row in task.row_ids]


def failure(task: FileTask, source_id: str, error: BaseException) -> Failure:
    """Explain that a file, or a frame of it, could not be read."""
    text = _reason(error)
    message = f"{task.place} is not readable as {task.format}: {text}; correct the file or name its format"
    return Failure(source_id, type(error).__name__, message)


def _reason(error: BaseException) -> str:
    """What an error of a parser says, in one line of text that every table takes."""
    text = " ".join(str(error).split())[:500].encode(errors="backslashreplace").decode()
    if isinstance(error, KeyError):  # whose text is the key alone; mostly an element ASE does not know
        text = f"it names {text}, which is unknown (deuterium, where it is that: write H)"
    return text or "no message"


def index_frames(path: Path) -> Iterator[Frame]:
    """Yield the frames of an XYZ file from their announced atom counts, without parsing them.

    From a line that should be a count and is not, the rest of the file counts as one frame.
    """
    with path.open("rb") as stream:
        index, start = 0, 0
        while line := stream.readline():
            if not line.strip():
                start = stream.tell()
                continue
            sites = int(line) if line.strip().isdigit() and len(line) < LONGEST_COUNT else -1
            for _ in range(sites + 1):
                if not stream.readline():  # a count beyond the end of the file must not keep us counting
                    break
            if sites < 0:
                stream.seek(0, 2)
            yield Frame(index, start, stream.tell(), max(sites, 0))
            index, start = index + 1, stream.tell()


def index_images(path: Path) -> list[Frame]:
    """Return the frames of a trajectory of ASE; none where it is none, which its parser then explains."""
    from ase.io import ulm

    try:
        size = path.stat().st_size
        with ulm.open(path) as file:
            count = len(file)
    except Exception:  # noqa: BLE001 -- a damaged file raises anything
        return []
    if count * 8 > size:  # each frame has at least its place in the index
        return []
    return [Frame(index, 0, size, size // count // BYTES_PER_SITE) for index in range(count)]


@contextmanager
def _frame_reader(task: FileTask) -> "Iterator[Callable[[Frame], Atoms]]":
    """What reads a frame of the task's file."""
    if task.format == TRAJECTORY:
        from ase.io.trajectory import TrajectoryReader

        with TrajectoryReader(task.path) as images:
            yield lambda frame: images[frame.index]
    else:
        yield lambda frame: _read_ase(StringIO(_frame_text(task.path, frame)), task.format)[0]


def _parse_frame(
    task: FileTask, frame: Frame, source: str, read: "Callable[[Frame], Atoms]"
) -> Structure | Failure:
    index = frame.index if task.numbered else None
    try:
        return task.named(Structure.from_ase(read(frame), source, ""), index)
    except Exception as error:  # noqa: BLE001 -- whatever a parser raises, the frame is the one to blame
        return failure(task, task.source_id if index is None else task.frame_id(index), error)


def _frame_text(path: Path, frame: Frame) -> str:
    """Return the lines of a frame; raises EOFError where they are too few: ASE would count all the same."""
    with path.open("rb") as stream:
        stream.seek(frame.start)
        text = stream.read(frame.stop - frame.start).decode()
    if frame.sites > text.count("\n"):
        raise EOFError(f"frame {frame.index} announces {frame.sites} atoms and ends before")
    return text


def _parse_whole(task: FileTask, source: str) -> list[Structure | Failure]:
    if task.format == "cif":
        structures = _read_cif(task.path, source)
    else:
        structures = [Structure.from_ase(atoms, source, "") for atoms in _read_ase(task.path, task.format)]
    if not structures:
        return [_empty(task)]
    if len(structures) == 1:
        return [task.named(structures[0], None)]
    return [task.named(structure, index) for index, structure in enumerate(structures)]


def _empty(task: FileTask) -> Failure:
    return Failure(task.source_id, "EmptyFile", f"{task.place} holds no structure; remove it")


def _read_cif(path: Path, source: str) -> list[Structure]:
    """Read CIF through pymatgen, which merges shared sites into partial occupancies and checks them."""
    from pymatgen.io.cif import CifParser

    structures = CifParser(path).parse_structures(primitive=False, on_error="raise")
    return [Structure.from_pymatgen(structure, source, "") for structure in structures]


def _read_ase(file: Path | StringIO, name: str | None) -> "list[Atoms]":
    from ase.io import read

    frames: Any = read(file, index=":", format=name)
    return list(frames)
