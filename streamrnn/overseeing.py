"""What a daemon does when it is asked over control: status, reload, keep, reset, drain."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from streamrnn.calls import CallError
from streamrnn.control import Control, NoParams
from streamrnn.hearing import Hearing
from streamrnn.logs import Level, Log
from streamrnn.release import VERSION
from streamrnn.reloading import Reloader
from streamrnn.shadowing import Shadowing
from streamrnn.sourcing import Sourcing
from streamrnn.statefile import StateFile
from streamrnn.streams import Streams


class OfStream(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The params of a method about one stream."""

    stream: str


class Overseer:
    """Answers calls about a daemon that runs; what touches the engine is done on its thread."""

    def __init__(
        self,
        reloader: Reloader,
        state: StateFile,
        sourcing: Sourcing,
        shadowing: Shadowing,
        *,
        save: Callable[[], int],
        stop: Callable[[str], None],
    ) -> None:
        self._reloader, self._state, self._sourcing = reloader, state, sourcing
        self._shadowing, self._save, self._stop = shadowing, save, stop
        self._begun = time.monotonic()
        self._running: tuple[tuple[Hearing, Streams, str], ...] = ()

    def answer_on(self, control: Control) -> None:
        """Let `control` call it."""
        control.add("status", NoParams, lambda _: self.status(), where="engine", role="read")
        control.add("reload", NoParams, lambda _: {"generation": self._reloader.reload()}, where="worker")
        control.add("keep", NoParams, lambda _: self._keep_now(), where="engine")
        control.add("reset", OfStream, self._reset, where="engine")
        control.add("drain", NoParams, lambda _: self._drain(), where="engine")

    def oversee(self, engine: Hearing, streams: Streams, run: str) -> None:
        """What runs, once it does."""
        self._running = ((engine, streams, run),)

    def status(self) -> dict[str, Any]:
        """The daemon, its bundles, streams and sources, as JSON."""
        engine, streams, run = self._there()
        return {
            "version": VERSION,
            "run": run,
            "generation": self._reloader.generation,
            "uptime_s": round(time.monotonic() - self._begun, 1),
            "bundles": [
                {"name": each.name, "sha": each.sha, "inputs": msgspec.to_builtins(each.recognizer.config.inputs)}
                for each in engine.servings
                if not each.beside
            ],
            "shadows": self._shadowing.listed(),
            "streams": [
                {
                    "stream": stream,
                    "rate": engine.rate(stream),
                    **msgspec.to_builtins(_plain(engine.counts(stream))),
                    **streams.told(stream),
                }
                for stream in engine.streams
            ],
            "sources": self._sourcing.listed(),
            "state": {"directory": self._state.place, "trouble": self._state.trouble},
        }

    def _keep_now(self) -> dict[str, Any]:
        if not self._state.place:
            raise CallError("no_state", "the config keeps no state; give it state.directory")
        if not self._state.idle:
            raise CallError("busy", "what was to be kept before is being written; ask again")
        return {"streams": self._save()}

    def _reset(self, params: OfStream) -> dict[str, Any]:
        _, streams, _ = self._there()
        streams.reset(params.stream)
        return {"stream": params.stream}

    def _drain(self) -> dict[str, Any]:
        self._stop("drained by control")
        return {}

    def _there(self) -> tuple[Hearing, Streams, str]:
        for running in self._running:
            return running
        raise CallError("busy", "the daemon is starting; ask again")


class ToLevel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The params of `log_level`."""

    level: Level


def answer_log_level(control: Control, log: Log) -> None:
    """Let `control` say from which level on lines are logged."""

    def turn(params: ToLevel) -> dict[str, str]:
        log.set_level(params.level)
        return {"level": params.level}

    control.add("log_level", ToLevel, turn, where="control")


def _plain(counts: Any) -> dict[str, int]:
    return {name: getattr(counts, name) for name in ("expected", "epoch", "heard", "lost", "duplicates")}
