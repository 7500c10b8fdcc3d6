"""What the config file of a daemon may say: bundles, sources, sinks and limits."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from streamrnn import places
from streamrnn.clips import ClipsConfig
from streamrnn.config import Role
from streamrnn.control import ControlConfig
from streamrnn.errors import ConfigError
from streamrnn.history import HistoryConfig
from streamrnn.loopback import address_of
from streamrnn.recognizer import Count, Name, Positive
from streamrnn.registry import PlugConfig
from streamrnn.security import guarded
from streamrnn.statefile import StateConfig


class BundleConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bundle to serve: a file, or a shipped one by name.

    `name` is another name for the wire; `decoder` holds settings that replace the bundle's own, or
    a budget, `max_false_accepts_per_hour`, that chooses its thresholds by what the bundle was calibrated on.
    `backend` auto is native where it is installed and takes the bundle, else onnx.
    """

    path: str
    name: Name | Literal[""] = ""
    backend: Literal["auto", "native", "onnx", "torch"] = "auto"
    decoder: dict[str, Any] = {}


class LimitsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much the engine takes: streams at once, and streams and milliseconds in one step of a bundle.

    New streams are refused once those that are open take `max_load` of a core by what the engine measured of itself at
    the start; the rest is for bringing samples in, results out, and moments when all comes at once. 0 measures nothing.
    What comes while the engine is busy is gathered and heard at once, which costs less: for as long as three of its
    turns take, and `tick_ms` at most. What comes after a pause does not wait; 0 gathers nothing.
    """

    max_streams: Count = 256
    max_load: Annotated[float, Meta(ge=0, le=64)] = 0.5
    streams_a_step: Count = 64
    step_ms: Positive = 1000.0
    tick_ms: Annotated[float, Meta(ge=0, le=100)] = 8.0


class HealthConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where /livez, /readyz and /metrics are answered, such as http://127.0.0.1:9464; "" is nowhere.

    A daemon whose engine has not moved for `stall_s` seconds is no longer alive.
    """

    endpoint: str = ""
    stall_s: Positive = 10.0


class LogConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the daemon says on standard error, and how: `text` for people, `keyvalue` or `json` for programs."""

    format: Literal["text", "keyvalue", "json"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"


class SecurityConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is let in: `keys` is a folder of streamrnn keygen; "" asks for none, on this machine alone."""

    keys: str = ""


class DaemonConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A daemon. It runs until it is `stopped`, or until all its sources have `finished`, as files do.

    `shadows` are bundles that run beside those that serve, each beside the first with the same labels. With more than
    one of `workers` the streams are shared out among so many processes, each on a core of its own.
    """

    bundles: tuple[BundleConfig, ...]
    sources: tuple[Annotated[PlugConfig, Role("source")], ...]
    sinks: tuple[Annotated[PlugConfig, Role("sink")], ...]
    shadows: tuple[BundleConfig, ...] = ()
    engine: LimitsConfig = LimitsConfig()
    health: HealthConfig = HealthConfig()
    log: LogConfig = LogConfig()
    control: ControlConfig = ControlConfig()
    state: StateConfig = StateConfig()
    history: HistoryConfig = HistoryConfig()
    clips: ClipsConfig = ClipsConfig()
    security: SecurityConfig = SecurityConfig()
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    until: Literal["stopped", "finished"] = "stopped"

    def __post_init__(self) -> None:
        for key, listed in (("bundles", self.bundles), ("sources", self.sources), ("sinks", self.sinks)):
            if not listed:
                raise ConfigError(f"{key}: empty; name at least one")
        self._guard()
        if self.workers > 1:
            self._check_workers()
        if self.health.endpoint:
            address_of(self.health.endpoint)
        seen: set[str] = set()
        for i, source in enumerate(self.sources):
            stream = getattr(source, "stream", "")
            if stream in seen and stream:
                raise ConfigError(f"sources[{i}].stream: {stream!r} is another source's; choose another name")
            seen.add(stream)
        places.check_apart(self)

    def _check_workers(self) -> None:
        """Raises ConfigError for what needs the engine to be in this process."""
        for key, there in (("shadows", bool(self.shadows)), ("clips", bool(self.clips.directory))):
            if there:
                raise ConfigError(f"{key}: not with {self.workers} workers; leave out one of the two")
        if sys.platform == "win32":
            raise ConfigError(f"workers: {self.workers} need Linux or macOS; leave it out")

    def _guard(self) -> None:
        """Give the daemon's keys to whatever has an endpoint of its own. Raises ConfigError for one that needs them."""
        for key in self.__struct_fields__:
            there = getattr(self, key)
            if isinstance(there, tuple):
                keyed: Any = tuple(guarded(each, self.security.keys, f"{key}[{i}]") for i, each in enumerate(there))
            else:
                keyed = there if key == "security" else guarded(there, self.security.keys, key)
            msgspec.structs.force_setattr(self, key, keyed)
