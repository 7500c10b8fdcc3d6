"""Folders that one daemon has to itself, and files in them that are whole or not there, whenever it is killed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from pathlib import Path

from streamrnn.errors import DeviceError

if sys.platform != "win32":
    import fcntl

_DIGEST = hashlib.sha256().digest_size


def claim(directory: Path, what: str) -> int:
    """Make a folder, for its user alone, and take it for this process; the descriptor that holds it until it is closed.

    Raises DeviceError, which begins with `what` it is for, if it cannot be made or another daemon has it.
    """
    lock = -1
    try:
        directory.mkdir(0o700, parents=True, exist_ok=True)
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        if sys.platform != "win32":
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise DeviceError(f"{what} {directory}: in use by another daemon; give each a directory") from None
    except OSError as error:
        if lock >= 0:
            os.close(lock)
        raise DeviceError(f"{what} {directory}: {error.strerror}; choose a directory it may write to") from None
    return lock


def seal(magic: bytes, data: bytes) -> bytes:
    """Contents of a file that tell what they are, by a `magic` line, and whether they are whole, by a sha256."""
    return magic + hashlib.sha256(data).digest() + data


def unseal(magic: bytes, sealed: bytes) -> bytes:
    """What was sealed. Raises ValueError, for people, if it is of another kind or not whole."""
    if not sealed.startswith(magic):
        raise ValueError("of another kind or schema")
    digest, data = sealed[len(magic) : len(magic) + _DIGEST], sealed[len(magic) + _DIGEST :]
    if hashlib.sha256(data).digest() != digest:
        raise ValueError("truncated or altered")
    return data


def write_out(path: Path, data: bytes) -> None:
    """Write a file that only its user may read, and wait until it is on the disk. Raises OSError, and leaves none."""
    try:
        # What stands there was left by one that was killed, or is a link that somebody put there: neither is followed.
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        raise


def sync(directory: Path) -> None:
    """New names in a folder outlive a power cut from now on. Raises OSError."""
    if sys.platform != "win32":
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
