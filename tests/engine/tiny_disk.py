"""A real file system that fills up quickly."""

import subprocess
import time
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
        _unmount(mount)


def _unmount(mount: Path) -> None:
    """Unmount; a process that just ended may keep the disk busy for a moment."""
    for _ in range(50):
        if subprocess.run(["/bin/umount", str(mount)], check=False, capture_output=True).returncode == 0:
            return
        time.sleep(0.2)
    subprocess.run(["/bin/umount", str(mount)], check=True)
