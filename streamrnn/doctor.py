"""What a daemon needs of its machine, looked at piece by piece: each finding is one line with its repair."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from streamrnn import bundle, places
from streamrnn.cores import available
from streamrnn.daemon_config import DaemonConfig
from streamrnn.errors import UserError
from streamrnn.limits import MOST_CONNECTIONS
from streamrnn.security import keys as certificates
from streamrnn.sources.microphone import MicrophoneConfig
from streamrnn.sources.portaudio import devices

Grade = Literal["ok", "warn", "fail"]
_UNSYNCHRONISED = 5  # TIME_ERROR of adjtimex(2)
_WATCHED_S = 0.2  # in which the two clocks are compared
_JUMP_S = 0.05
_FREE_WARN, _FREE_FAIL = 1 << 30, 64 << 20  # bytes of a disk
_WITHOUT = "write sources of kind zeromq, stdin or wav in its place: they need none"
_FILES_BESIDE = 64  # descriptors that a daemon needs beside its connections


@dataclass(frozen=True, slots=True)
class Finding:
    """`ok|warn|fail what: how it is, and what to do if it is not well`."""

    grade: Grade
    what: str
    text: str

    def __str__(self) -> str:
        return f"{self.grade:<4} {self.what}: {self.text}"


def examine(config: DaemonConfig, no_microphone: Grade = "fail") -> Iterator[Finding]:
    """Findings one by one, as they are made; nothing is changed, and a daemon that runs is not disturbed.

    `no_microphone` grades one that the config asks for and that is not there.
    """
    yield from _runtime()
    yield from _clocks()
    yield from _files(config)
    for each in config.bundles:
        yield _asked(f"bundle {each.path}", partial(_bundle, each.path, each.backend))
    yield from _keys(config)
    yield from _ports(config)
    yield from _disks(config)
    yield from _microphones(config, no_microphone)


def verdict(findings: list[Finding]) -> int:
    """The exit code: 0 all is well, 1 there are warnings, 2 the daemon would not run."""
    grades = {finding.grade for finding in findings}
    return 2 if "fail" in grades else 1 if "warn" in grades else 0


def _asked(what: str, ask: Callable[[], str]) -> Finding:
    """A finding that is well unless asking raises a UserError, whose line it then is."""
    try:
        return Finding("ok", what, ask())
    except UserError as error:
        told = " ".join(str(error).split())
        return Finding("fail", what, told.removeprefix(f"{what}: "))


def _bundle(path: str, backend: str) -> str:
    there = bundle.read(bundle.locate(path))
    backend = bundle.choose_backend(there, backend)
    begun = time.monotonic()
    bundle.prove(there, bundle.open_step(there, backend))
    return f"readable, golden answer proved on {backend} in {time.monotonic() - begun:.2f} s"


def _runtime() -> Iterator[Finding]:
    cores = len(available()) or os.cpu_count() or 1
    text = f"{version('onnxruntime')}, one thread for the engine, {cores} cores"
    if cores < 2:
        yield Finding("warn", "onnxruntime", f"{text}; give the daemon two, one is for its sources and sinks")
    else:
        yield Finding("ok", "onnxruntime", text)


def _clocks() -> Iterator[Finding]:
    wall, steady = time.time(), time.monotonic()
    time.sleep(_WATCHED_S)
    jump = (time.time() - wall) - (time.monotonic() - steady)
    if abs(jump) > _JUMP_S:
        yield Finding("warn", "clock", f"the wall clock jumped by {jump:.2f} s just now; let one program set it")
    elif wall < bundle_time():
        yield Finding("warn", "clock", f"says {time.strftime('%Y-%m-%d')}, before this program was made; set it")
    else:
        yield Finding("ok", "clock", "steady; results count samples, so it only dates them")
    state = _synchronisation()
    if state is None:
        yield Finding("ok", "time service", "the system does not tell")
    elif state == _UNSYNCHRONISED:
        yield Finding("warn", "time service", "the clock is not synchronised; run: timedatectl set-ntp true")
    else:
        yield Finding("ok", "time service", "the clock is synchronised")


def bundle_time() -> float:
    """When this program was installed, in seconds since 1970: a clock that says less is wrong."""
    return Path(__file__).stat().st_mtime - 86_400


def _synchronisation() -> int | None:
    """What adjtimex(2) says of the clock; None where there is no such call."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))  # all zero: it only asks
        return state if state >= 0 else None
    return None


def _files(config: DaemonConfig) -> Iterator[Finding]:
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = MOST_CONNECTIONS * len(list(places.endpoints(config))) + _FILES_BESIDE
    if allowed != resource.RLIM_INFINITY and allowed < needed:
        repair = f"run: ulimit -n {needed}, or LimitNOFILE={needed} in its unit"
        yield Finding("warn", "open files", f"{allowed} allowed, {needed} with all connections taken; {repair}")
    else:
        yield Finding("ok", "open files", f"{allowed} allowed, {needed} with all connections taken")


def _keys(config: DaemonConfig) -> Iterator[Finding]:
    folders = {str(each.keys): None for _, each, _ in places.endpoints(config) if hasattr(each, "keys")}
    for folder in folders:
        if folder:
            yield _asked(f"keys {folder}", partial(_keys_in, Path(folder)))
        else:
            yield Finding("ok", "keys", "none are asked for: every user of this machine may connect, no other machine")


def _keys_in(folder: Path) -> str:
    certificates.load_server(folder)
    clients = certificates.read_allowed(folder)
    left = sorted(path.name for path in folder.glob(f"*{certificates.SECRET_SUFFIX}"))
    others = [name for name in left if name != f"{certificates.SERVER}{certificates.SECRET_SUFFIX}"]
    told = f"private, {len(clients)} let in"
    return f"{told}; move {', '.join(others)} to where it is used" if others else told


def _ports(config: DaemonConfig) -> Iterator[Finding]:
    for where, _, endpoint in places.endpoints(config):
        scheme, _, place = endpoint.partition("://")
        host, _, port = place.partition("/")[0].rpartition(":")
        if scheme == "ipc":
            folder = Path(place).parent
            writable = os.access(folder, os.W_OK)
            repair = f"{folder}: not writable; run: mkdir -p {folder}, and give it to the user of the daemon"
            yield Finding("ok" if writable else "fail", where, f"{endpoint} can be bound" if writable else repair)
        elif not port.isdecimal() or not int(port):
            yield Finding("ok", where, f"{endpoint}: any free port")
        else:
            yield _port(where, host.strip("[]"), int(port))


def _port(where: str, host: str, port: int) -> Finding:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("" if host == "*" else host, port))
        except PermissionError:
            return Finding("fail", where, f"port {port} is for root alone; choose one above 1023")
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return Finding("warn", where, f"port {port} is held, by this daemon if it runs; else choose another")
            return Finding("fail", where, f"{host}:{port} cannot be bound ({error.strerror}); is the address ours?")
    return Finding("ok", where, f"port {port} is free")


def _disks(config: DaemonConfig) -> Iterator[Finding]:
    written = [*places.folders(config), *((where, path.parent) for where, path in places.files(config))]
    for where, folder in sorted(written):
        # A folder that is not there yet is made by the daemon, in the nearest one that is.
        there = next((each for each in (folder, *folder.parents) if each.is_dir()), Path("/"))
        free = shutil.disk_usage(there).free
        told = f"{folder}: {free / 1e9:.1f} GB free"
        if not os.access(there, os.W_OK):
            yield Finding("fail", where, f"{folder}: not writable; run: chown $(id -u) {there}, or choose another")
        elif free < _FREE_WARN:
            grade: Grade = "fail" if free < _FREE_FAIL else "warn"
            yield Finding(grade, where, f"{told}; make room, or choose another disk")
        else:
            yield Finding("ok", where, told)


def _microphones(config: DaemonConfig, missing: Grade) -> Iterator[Finding]:
    wanted = [each.device for each in config.sources if isinstance(each, MicrophoneConfig)]
    try:
        names = [str(device["name"]) for device in devices()]
    except UserError as error:
        yield Finding(missing if wanted else "warn", "microphone", str(error).removeprefix("microphone: "))
        return
    if wanted and not names:
        yield Finding(missing, "microphone", f"none on this machine; plug one in, or {_WITHOUT}")
        return
    listed = ", ".join(names) or "none on this machine"
    for name in wanted:
        if not any(name.lower() in each.lower() for each in names):
            yield Finding(
                missing, "microphone", f"{name or 'any'!r} is not there ({listed}); plug it in, or mend device:"
            )
            return
    yield Finding("ok", "microphone", listed if names or wanted else f"{listed}, and the config asks for none")
