"""Daemons that are measured, each in a process of its own: where they take samples, and what they cost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec

from streamrnn.capacity.load import Held, Plan
from streamrnn.cores import pin

ANY_PORT = "tcp://127.0.0.1:*"
_TICKS = os.sysconf("SC_CLK_TCK")


class Cost(NamedTuple):
    """What a process has used by now: seconds of CPU, and memory in bytes."""

    cpu_s: float
    rss: int


class Measured:
    """A daemon from its start until it is killed; it says where it is and that it is ready."""

    def __init__(self, command: Sequence[str], core: int | None) -> None:
        """On one core, the others are the load's; raises RuntimeError if it does not get ready."""
        begun = time.monotonic()
        one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **one})
        if core is not None:
            pin(self.process.pid, core)
        assert self.process.stderr
        said: list[str] = []
        for line in self.process.stderr:
            said.append(line.rstrip())
            if "ready" in line:
                break
        else:
            raise RuntimeError("\n".join(said))
        self.ready_s = time.monotonic() - begun
        places = {what: line.split()[-1] for what in ("samples from", "results to") for line in said if what in line}
        self.ingest, self.results = places["samples from"], places["results to"]

    def cost(self) -> Cost:
        """What it has used by now."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return Cost((int(fields[11]) + int(fields[12])) / _TICKS, int(fields[21]) * os.sysconf("SC_PAGE_SIZE"))

    def close(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stderr
        self.process.stderr.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve_command(folder: Path, bundle: Path, decoder: Mapping[str, float], engine: Mapping[str, Any]) -> list[str]:
    """streamrnn as a user starts it, with the settings of the beat."""
    config = {
        "bundles": [{"path": str(bundle), "decoder": dict(decoder)}],
        "sources": [{"kind": "zeromq", "endpoint": ANY_PORT, "max_streams": 100_000}],
        "sinks": [{"kind": "zeromq", "endpoint": ANY_PORT}],
        "control": {"endpoint": ANY_PORT},
        "engine": {"max_streams": 100_000, **engine},
        "history": {"messages": 0},
    }
    path = folder / f"daemon{len(list(folder.glob('daemon*.yaml')))}.yaml"
    path.write_bytes(msgspec.yaml.encode(config))
    return [sys.executable, "-m", "streamrnn", "serve", str(path)]


def module_command(name: str, *arguments: object) -> list[str]:
    """A daemon that is a module."""
    return [sys.executable, "-m", name, *map(str, arguments)]


class Stages:
    """A load that runs, read stage by stage."""

    def __init__(self, plan: Plan, core: int | None) -> None:
        command = [sys.executable, "-m", "streamrnn.capacity.load", msgspec.json.encode(plan).decode()]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        if core is not None:
            pin(self.process.pid, core)

    def __iter__(self) -> Any:
        assert self.process.stdout
        for line in self.process.stdout:
            yield msgspec.json.decode(line, type=Held)
        self.process.stdout.close()
        self.process.wait()
