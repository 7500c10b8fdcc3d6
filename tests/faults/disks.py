"""Disks that are full or read-only: small file systems in memory, which root may mount."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def mounted(place: Path, options: str) -> Iterator[Path]:
    """A file system of its own at a folder, over what is there. Skips the test where none may be mounted."""
    place.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", options, "none", str(place)]
    allowed = os.geteuid() == 0 and shutil.which("mount") is not None
    if not allowed or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here: that takes root")
    try:
        yield place
    finally:
        # A daemon may still have it open: it goes as soon as that lets go.
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextlib.contextmanager
def read_only(place: Path) -> Iterator[Path]:
    """A folder into which nobody may write, root neither."""
    place.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        with mounted(place, "ro,size=64k"):
            yield place
        return
    place.chmod(0o500)
    yield place
    place.chmod(0o700)


def fill(place: Path) -> Path:
    """Leave no byte free; the file that has them all."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler
