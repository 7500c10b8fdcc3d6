"""Sources that come, go and are muted while the daemon runs: what is asked over control of them, and what is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec

from streamrnn import sources
from streamrnn.config import Role, convert
from streamrnn.control import Control, NoParams
from streamrnn.daemon_config import DaemonConfig
from streamrnn.errors import UserError, did_you_mean
from streamrnn.handover import Handover
from streamrnn.intake import Inlet, Intake
from streamrnn.registry import PlugConfig
from streamrnn.sources import SourceConfig
from streamrnn.streams import Streams
from streamrnn.wire import NOBODY, Status

REMOVED = "its source was removed"
_SOURCE = Annotated[PlugConfig, Role("source")]


class OfSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The params of a method about one source: its name, or where its samples come from."""

    source: str


class NewSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The params of `add`: a source as it stands in a config."""

    source: dict[str, Any]


class Sourcing:
    """Answers calls about sources; all but the opening of a new one is done on the engine's thread."""

    def __init__(
        self,
        config: DaemonConfig,
        intake: Intake,
        handover: Handover,
        *,
        served: Callable[[], Sequence[str]],
        tell: Callable[[str, Status], None],
        entered: Callable[[Inlet], None],
    ) -> None:
        """`served` names the bundles that a source may name, `tell` publishes the status of a stream or of NOBODY, and
        `entered` is told of a source that is to run."""
        self._config, self._intake, self._handover = config, intake, handover
        self._served, self._tell, self._entered = served, tell, entered
        self._streams: tuple[Streams, ...] = ()
        self._one_at_a_time = threading.Lock()

    def answer_on(self, control: Control) -> None:
        """Let `control` call it."""
        control.add("sources", NoParams, lambda _: self.listed(), where="engine", role="read")
        control.add("pause", OfSource, lambda params: self._pause(params.source), where="engine")
        control.add("resume", OfSource, lambda params: self._resume(params.source), where="engine")
        control.add("remove", OfSource, lambda params: self._remove(params.source), where="engine")
        control.add("add", NewSource, lambda params: self._add(params.source), where="worker")

    def oversee(self, streams: Streams) -> None:
        """The streams, once the daemon runs."""
        self._streams = (streams,)

    def listed(self) -> list[dict[str, Any]]:
        """Every source, as JSON."""
        return [
            {
                "name": each.name,
                "place": each.source.place,
                "streams": sorted(each.streams),
                "closed": each.closed,
                "paused": each.paused,
                "dropped": each.dropped,
                "condition": each.source.condition,
                "drift_ppm": round(each.source.drift_ppm, 1),
            }
            for each in self._intake.inlets
        ]

    def check(self, names: Sequence[str]) -> None:
        """Raises ConfigError if a source names a bundle that is not among these names."""
        for inlet in self._intake.inlets:
            sources.checked(inlet.config, names, f"source {inlet.name}")

    def _pause(self, name: str) -> dict[str, Any]:
        inlet = self._find(name)
        if not inlet.paused:
            inlet.mute()
            self._announce(inlet, "muted", "is not heard")
        return {"source": inlet.name, "paused": True}

    def _resume(self, name: str) -> dict[str, Any]:
        inlet = self._find(name)
        if inlet.paused:
            inlet.unmute()
            self._announce(inlet, "unmuted", "is heard again")
        return {"source": inlet.name, "paused": False}

    def _remove(self, name: str) -> dict[str, Any]:
        """Its streams end, with the events that are pending in them; it is gone once its thread is."""
        inlet = self._find(name)
        for streams in self._streams:
            for stream in list(inlet.streams):
                streams.end(inlet, stream, Status("ended", REMOVED))
        inlet.leaving = True
        inlet.stop()
        self._tell(NOBODY, Status("removed", f"source {inlet.name}"))
        return {"source": inlet.name}

    def _add(self, document: dict[str, Any]) -> dict[str, Any]:
        """Raises ConfigError or DeviceError as a config that has it would."""
        with self._one_at_a_time:
            config = self._checked(document)
            source = sources.build(config)
            names: list[str] = []
            try:
                self._handover.ask(lambda: names.append(self._enter(source, config)))
            except UserError:
                source.close()
                raise
            return {"source": names[0]}

    def _enter(self, source: sources.Source, config: SourceConfig) -> str:
        sources.checked(config, self._served(), "source")  # others may be served by now
        inlet = self._intake.add(source, config)
        self._entered(inlet)
        self._tell(NOBODY, Status("added", f"source {inlet.name}"))
        return inlet.name

    def _checked(self, document: dict[str, Any]) -> SourceConfig:
        """The config of one more source, held to what a daemon's config is held to."""
        before = tuple(inlet.config for inlet in list(self._intake.inlets) if not inlet.closed)
        added = convert(document, _SOURCE, f"sources[{len(before)}]")
        config = msgspec.structs.replace(self._config, sources=(*before, added)).sources[-1]
        return sources.checked(config, self._served(), "source")

    def _find(self, name: str) -> Inlet:
        there = [each for each in self._intake.inlets if not each.leaving]
        for inlet in there:
            if name in (inlet.name, inlet.source.place):
                return inlet
        raise UserError(f"source {name!r}: there is none; {did_you_mean(name, [each.name for each in there])}")

    def _announce(self, inlet: Inlet, state: str, text: str) -> None:
        self._tell(NOBODY, Status(state, f"source {inlet.name} {text}"))
        for stream in sorted(inlet.streams):
            self._tell(stream, Status(state, f"its source {text}"))
