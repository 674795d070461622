"""A folder on a local disk or an object store, and the only code that writes into it."""

import errno
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import IO, Any, Self

from fsspec.implementations.local import LocalFileSystem

from engine.errors import CrysiftError
from engine.store.remote import open_filesystem, refuse_credentials_in, trouble_explained

Check = Callable[[IO[bytes]], None]

_TEMPORARY = re.compile(r"^\..+~(?P<host>[^~/]*)~(?P<pid>\d+)-(?P<started>\d+)~[0-9a-f]{8}\.tmp$")
_ABANDONED_AFTER_SECONDS = 86_400.0
_CLOCK_TOLERANCE_SECONDS = 2.0


@dataclass(frozen=True)
class Folder:
    """An absolute local path or an fsspec URL; picklable, so that workers of another directory reach it."""

    url: str

    @classmethod
    def at(cls, url: str | Path) -> Self:
        """Resolve a path or URL; raises CrysiftError for one with a password or of an unknown protocol."""
        refuse_credentials_in(str(url))
        filesystem, path = open_filesystem(str(url))
        if isinstance(filesystem, LocalFileSystem):
            return cls(str(Path(path).absolute()))
        return cls(str(filesystem.unstrip_protocol(path)).rstrip("/"))

    @property
    def name(self) -> str:
        """Last component of the path."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def is_local(self) -> bool:
        """Whether the folder is on a mounted disk, where a rename is atomic."""
        return "://" not in self.url

    @property
    def filesystem(self) -> Any:
        """The fsspec file system, from fsspec's own cache of instances."""
        return open_filesystem(self.url)[0]

    @property
    def parent(self) -> "Folder":
        """The folder that holds this one."""
        return Folder(self.url.rsplit("/", 1)[0])

    def child(self, name: str) -> "Folder":
        """Return the folder ``name`` within this one."""
        return Folder(f"{self.url}/{name}")

    def path(self, name: str) -> str:
        """Path or URL of the file ``name``."""
        return f"{self.url}/{name}"

    def names(self) -> list[str]:
        """Sorted names of everything in the folder, temporaries included; empty where there is no folder."""
        if self.is_local:
            with suppress(FileNotFoundError, NotADirectoryError):
                return sorted(entry.name for entry in Path(self.url).iterdir())
            return []
        filesystem = self.filesystem
        filesystem.invalidate_cache()
        with trouble_explained(self.url), suppress(FileNotFoundError):
            entries = filesystem.ls(self.url, detail=False)
            return sorted({str(entry).rstrip("/").rsplit("/", 1)[-1] for entry in entries} - {""})
        return []

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading, an object fetched whole in one request; raises FileNotFoundError."""
        if self.is_local:
            return Path(self.path(name)).open("rb")
        return BytesIO(self._ranged(name, 0))

    def ending(self, name: str, size: int) -> bytes:
        """Read the last bytes of a file, at most ``size``; raises FileNotFoundError."""
        if not self.is_local:
            return self._ranged(name, -size)
        with self.open(name) as file:
            file.seek(max(0, file.seek(0, SEEK_END) - size))
            return file.read()

    def remove(self, name: str) -> None:
        """Delete a file; that it is gone already is no error."""
        with trouble_explained(self.url), suppress(FileNotFoundError):
            self.filesystem.rm_file(self.path(name))

    def modified(self, name: str) -> float:
        """Time of the file's last change, seconds since the epoch."""
        with trouble_explained(self.url):
            return float(self.filesystem.modified(self.path(name)).timestamp())

    def put(self, name: str, data: bytes, check: Check | None = None, *, exclusive: bool = False) -> None:
        """Write a whole file or nothing: temporary, fsync, ``check``, rename, fsync; or one PUT.

        ``check`` gets the written file before readers can see it; on an object store, after the PUT. With
        ``exclusive``, a file of this name stays as it is and FileExistsError is raised.
        Raises CrysiftError when the disk is full; no half file remains, whatever is raised.
        """
        if self.is_local:
            with full_disk_explained(self, len(data)):
                self._put_local(name, data, check, exclusive=exclusive)
            return
        self._put_object(name, data, exclusive=exclusive)
        if check is not None:
            with self.open(name) as written:
                check(written)

    def _ranged(self, name: str, start: int) -> bytes:
        """Fetch an object from ``start`` on, or its last ``-start`` bytes."""
        try:
            with trouble_explained(self.url):
                return bytes(self.filesystem.cat_file(self.path(name), start=start))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return b""  # S3 refuses a range of an empty object

    def _put_object(self, name: str, data: bytes, *, exclusive: bool) -> None:
        mode = {"mode": "create"} if exclusive else {}
        try:
            with trouble_explained(self.url):
                self.filesystem.pipe_file(self.path(name), data, **mode)
        except FileNotFoundError as error:
            raise CrysiftError(f"{self.url} cannot be written: {error}; make the bucket first") from error
        except FileExistsError:  # or this was the second attempt, and the answer to the first was lost
            with self.open(name) as present:
                if present.read() != data:
                    raise

    def _put_local(self, name: str, data: bytes, check: Check | None, *, exclusive: bool) -> None:
        folder = Path(self.url)
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / _temporary_name(name)
        try:
            with temporary.open("wb") as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
            if check is not None:
                with temporary.open("rb") as written:
                    check(written)
            if not (exclusive and _link(temporary, folder / name)):
                temporary.replace(folder / name)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _fsync_directory(folder)

    def sweep(self) -> list[str]:
        """Delete temporaries of this host's dead processes and those older than a day; return their names."""
        if not self.is_local:
            return []
        dead = [name for name in self.names() if self._is_abandoned(name)]
        for name in dead:
            Path(self.path(name)).unlink(missing_ok=True)
        return dead

    def _is_abandoned(self, name: str) -> bool:
        match = _TEMPORARY.match(name)
        if match is None:
            return False
        try:
            age = time.time() - Path(self.path(name)).stat().st_mtime
        except FileNotFoundError:
            return False
        if age > _ABANDONED_AFTER_SECONDS:
            return True
        return match["host"] == _host() and not _is_running(int(match["pid"]), int(match["started"]))


@contextmanager
def full_disk_explained(folder: Folder, needed: int) -> Iterator[None]:
    """Turn "no space left" and "quota exceeded" into an error that says how much is needed and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        existing = next(path for path in (Path(folder.url), *Path(folder.url).parents) if path.exists())
        free = shutil.disk_usage(existing).free
        raise CrysiftError(
            f"the disk that holds {folder.url} is full: {needed:,} bytes are needed and {free:,} are free; "
            "free space and run the same command again, it goes on where it stopped"
        ) from error


def matches(expected: bytes) -> Check:
    """Return a check that a small file reads back as ``expected``."""

    def check(written: IO[bytes]) -> None:
        if written.read() != expected:
            raise OSError(errno.EIO, "the file read back differs from what was written")

    return check


def _host() -> str:
    return socket.gethostname().replace("~", "-").replace("/", "-")


def _temporary_name(name: str) -> str:
    import psutil

    started = int(psutil.Process().create_time())
    return f".{name}~{_host()}~{os.getpid()}-{started}~{secrets.token_hex(4)}.tmp"


def _is_running(pid: int, started: int) -> bool:
    """Whether the process that started at that second still runs: a process id alone may have been reused."""
    import psutil

    try:
        return bool(abs(psutil.Process(pid).create_time() - started) <= _CLOCK_TOLERANCE_SECONDS)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _link(temporary: Path, target: Path) -> bool:
    """Name a file unless the name is taken (FileExistsError); False on a disk without hard links."""
    try:
        target.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        return False
    temporary.unlink()
    return True


def _fsync_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
