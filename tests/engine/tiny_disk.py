"""A real file system that fills up quickly."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def tiny_disk(mount: Path, size: str = "256k") -> Iterator[Path]:
    """Mount a memory disk of this size; skips the test where mounting is not allowed."""
    mount.mkdir()
    command = ["/bin/mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(mount)]
    try:
        made = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no /bin/mount to make a small disk")
    if made.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted: {made.stderr.strip()}")
    try:
        yield mount
    finally:
        subprocess.run(["/bin/umount", str(mount)], check=True)
