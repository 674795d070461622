"""crysift itself as one archive, for clusters on which it is not installed or in another version.

The archive has the layout of site-packages, as a wheel has. It travels as the job's working directory and
not as a wheel: Ray installs a wheel with `pip` on every node, together with all that it depends on, and takes
wheels of one name for the same. Of an archive it knows the content, unpacks it, and puts it first on the path
of the command and of its workers; being their working directory too, no other folder can hide our packages.
"""

import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import crysift
from engine.errors import CrysiftError

_UNCHANGING_DATE = (1980, 1, 1, 0, 0, 0)


def write_archive(archive: Path) -> None:
    """Pack the packages of this process with the distribution's name and version: always the same bytes."""
    with zipfile.ZipFile(archive, "w") as packed:
        for name, content in sorted(_contents()):
            packed.writestr(zipfile.ZipInfo(name, _UNCHANGING_DATE), content, zipfile.ZIP_DEFLATED)


def wheel_as_archive(wheel: Path, archive: Path) -> None:
    """Copy a wheel of crysift; raises CrysiftError for anything else."""
    needed = {"crysift.py", *(f"{package}/__init__.py" for package in crysift.PACKAGES)}
    try:
        with zipfile.ZipFile(wheel) as packed:
            missing = needed - set(packed.namelist())
    except (OSError, zipfile.BadZipFile) as error:
        raise CrysiftError(
            f"{wheel} cannot be read as a wheel ({error}): `pip wheel --no-deps .` makes one"
        ) from error
    if missing:
        raise CrysiftError(f"{wheel} is no wheel of crysift: it has no {', '.join(sorted(missing))}")
    archive.write_bytes(wheel.read_bytes())


def _contents() -> Iterator[tuple[str, bytes]]:
    release = version("crysift")
    metadata = f"Metadata-Version: 2.1\nName: crysift\nVersion: {release}\n"
    yield f"crysift-{release}.dist-info/METADATA", metadata.encode()
    yield "crysift.py", (crysift.HOME / "crysift.py").read_bytes()
    for package in crysift.PACKAGES:
        for path in (crysift.HOME / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(crysift.HOME).as_posix(), path.read_bytes()
