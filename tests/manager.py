"""A service manager as a daemon sees it, and a sink of somebody else's that hangs: a real plug, a real deadlock."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_PLUG = '''
"""A sink that opens a pipe nobody reads, on the engine's thread."""
from streamrnn.registry import PlugConfig, register
from streamrnn.sinks import Sink

@register("sink", "hanging:HangingSink")
class HangingConfig(PlugConfig, frozen=True, kw_only=True, tag="hanging"):
    """Hang at the first detection."""
    path: str

class HangingSink(Sink):
    def __init__(self, config):
        self.place = self._path = config.path
    def publish(self, message, parts):
        if message.kind == "detection":
            open(self._path, "wb")
    def close(self, seconds):
        return ""
'''


def hanging_sink(folder: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Install the plug where only a daemon with this environment finds it; and its config."""
    place = folder / "installed"
    info = place / "hanging-1.0.dist-info"
    info.mkdir(parents=True)
    (place / "hanging.py").write_text(_PLUG)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hanging\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[streamrnn]\nhanging = hanging\n")
    os.mkfifo(folder / "pipe")
    path = os.pathsep.join([str(place), *filter(None, [os.environ.get("PYTHONPATH", "")])])
    return {**os.environ, "PYTHONPATH": path}, {"kind": "hanging", "path": str(folder / "pipe")}


class Manager:
    """The socket that systemd would listen on."""

    def __init__(self, path: Path, watchdog_s: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self.told = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": str(round(watchdog_s * 1e6))}
        self.environment = {**os.environ, **self.told}

    def heard(self, seconds: float) -> str:
        """The next message. Raises TimeoutError."""
        self._socket.settimeout(seconds)
        return self._socket.recv(4096).decode()

    def until_silent(self, seconds: float) -> None:
        """Hear all there is. Raises TimeoutError once nothing has come for so long."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            self.heard(seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
