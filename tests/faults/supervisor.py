"""A supervisor: it starts a daemon again when it is gone, after the pause that our systemd units make."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import Self

from daemons import Daemon
from setting import Setting

_UNIT = Path(__file__).parents[2] / "services" / "streamrnn.service"
_SECONDS = {"ms": 1e-3, "s": 1.0, "": 1.0}


def restart_s(unit: Path = _UNIT) -> float:
    """How many seconds a unit waits before it starts a daemon again."""
    number, scale = re.findall(r"^RestartSec=([\d.]+)(\w*)$", unit.read_text(), re.MULTILINE)[0]
    return float(number) * _SECONDS[scale]


class Supervisor:
    """The daemon of a setting, always the latest one; `ready` is when that one was."""

    def __init__(self, setting: Setting) -> None:
        self.daemon: Daemon = setting.start()
        self.ready = time.monotonic()
        self._setting = setting
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while True:
            self.daemon.process.wait()
            if self._stopped.wait(restart_s()):
                return
            self.daemon = self._setting.start()
            self.ready = time.monotonic()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self.daemon.process.kill()
        self._thread.join()
