"""What a start does not do, what a stop does not wait for, and what a burst does not keep."""

from __future__ import annotations

import itertools
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from daemons import INGEST, RESULTS, Daemon, write_config

from streamrnn.stopping import GONE_S, STOP_S

# Each takes longer to import than all of ours together, or looks through all that is installed.
_UNNEEDED = ("torch", "scipy", "asyncio", "http.server", "importlib.metadata", "prometheus_client", "soundfile", "tqdm")


@pytest.fixture
def config(tmp_path: Path, tiny_bundle: Path) -> Path:
    return write_config(tmp_path / "daemon.yaml", tiny_bundle, [INGEST], [RESULTS])


def test_a_start_imports_what_it_serves_with_and_nothing_else(config: Path) -> None:
    with Daemon(config, env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}) as daemon:
        imported = {line.rpartition("|")[2].strip() for line in daemon.said if line.startswith("import time:")}
    assert "onnxruntime" in imported
    assert not imported & set(_UNNEEDED)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has other arenas, or none")
def test_all_threads_share_one_arena(config: Path) -> None:
    size = 64 << 20  # of the heap of an arena that is not the first, at a multiple of which it lies
    with Daemon(config) as daemon:
        maps = Path(f"/proc/{daemon.process.pid}/maps").read_text().splitlines()
        assert len(list(Path(f"/proc/{daemon.process.pid}/task").iterdir())) > 5
    spans = [tuple(int(end, 16) for end in line.split()[0].split("-")) for line in maps]
    assert spans
    # What is not used of such a heap is kept for it; another mapping may lie at a multiple by chance.
    pairs = itertools.pairwise(spans)
    assert not [hex(begin) for (begin, _), (_, end) in pairs if begin % size == 0 and end == begin + size]


_BURST = """
import numpy as np
from streamrnn import allocator
allocator.share_one_arena()
def resident():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmRSS"))
    return int(line.split()[1]) // 1024
burst = [np.ones(800, np.float32) for _ in range(12_000)]
above = np.ones(100, np.float32)
del burst
print(resident())
allocator.give_back()
print(resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library gives back by itself, or never")
def test_what_a_burst_took_is_given_back_though_something_lies_above_it() -> None:
    done = subprocess.run([sys.executable, "-c", _BURST], capture_output=True, text=True, timeout=60, check=True)
    before, after = map(int, done.stdout.split())
    assert after < before - 25


_STUCK = """
import hashlib, sys
from streamrnn.stopping import heed_signals
with heed_signals(lambda name: print(name, flush=True)):
    print("on", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # no handler of Python runs before it returns
"""


def test_a_main_thread_that_never_comes_back_is_asked_and_then_left_behind() -> None:
    with subprocess.Popen([sys.executable, "-c", _STUCK], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == b"SIGTERM\n"
        assert process.wait(10) == 1
        assert GONE_S - 0.1 < time.monotonic() - begun < STOP_S


def test_signals_are_those_of_before_once_it_is_left() -> None:
    from streamrnn.stopping import heed_signals

    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    heard: list[str] = []
    with heed_signals(heard.append, lambda: heard.append("reload")):
        for _ in range(3):
            signal.raise_signal(signal.SIGHUP)
        until = time.monotonic() + 60.0
        while not heard and time.monotonic() < until:
            time.sleep(0.01)
    assert set(heard) == {"reload"}
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)] == before
    assert signal.set_wakeup_fd(-1) == -1
