"""Real daemons in processes of their own, on ports that the system chooses."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

ANY_PORT = "tcp://127.0.0.1:*"
INGEST = {"kind": "zeromq", "endpoint": ANY_PORT}
RESULTS = {"kind": "zeromq", "endpoint": ANY_PORT}
CONTROL = {"endpoint": ANY_PORT}


def command(*words: object) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "streamrnn", *(str(word) for word in words)]


def write_config(path: Path, bundle: Path, sources: Sequence[Any], sinks: Sequence[Any], **more: Any) -> Path:
    document = {
        "bundles": [{"path": str(bundle)}],
        "sources": list(sources),
        "sinks": list(sinks),
        "control": CONTROL,
        **more,
    }
    path.write_text(yaml.safe_dump(document))
    return path


class Daemon:
    """`streamrnn serve` once it says that it is ready; killed if it is still there in the end."""

    def __init__(self, config: Path, **popen: Any) -> None:
        self.process = subprocess.Popen(command("serve", config), stderr=subprocess.PIPE, text=True, **popen)
        self.said: list[str] = []
        assert self.process.stderr
        for line in self.process.stderr:
            self.said.append(line.rstrip())
            if "ready" in line:
                break
        self.ingest = self._endpoint("samples from")
        self.results = self._endpoint("results to")
        self.control = self._endpoint("calls to")

    def _endpoint(self, what: str) -> str:
        found = [line.split()[-1] for line in self.said if what in line and "tcp://" in line]
        return found[0] if found else ""

    def memory_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Ask it to stop; the seconds it took."""
        begun = time.monotonic()
        self.process.send_signal(number)
        self.wait()
        return time.monotonic() - begun

    def wait(self) -> int:
        assert self.process.stderr
        code = self.process.wait(20)
        self.said += self.process.stderr.read().splitlines()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()
