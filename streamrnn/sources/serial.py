"""A sensor at a serial port as a stream: a line of numbers a sample, such as a microcontroller prints."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta

from streamrnn.chunk import Ended, Item, Note, Opened
from streamrnn.errors import ConfigError, DeviceError
from streamrnn.ingest import MOST_CHANNELS
from streamrnn.recognizer import Count, Name, Positive
from streamrnn.registry import register
from streamrnn.sources import SensorConfig, Source, WhenFull
from streamrnn.sources.drift import Drift
from streamrnn.sources.presence import Presence
from streamrnn.sources.readings import SPOILED, Complaints, MalformedError, Row, of_line, reading

_LOOK_S = 0.2
_LONGEST = 4096  # bytes of a line
_READ = 1 << 14


@register("source", "streamrnn.sources.serial:SerialSource")
class SerialConfig(SensorConfig, frozen=True, kw_only=True, tag="serial"):
    """Read a serial port: each line is a sample of `channels` numbers between commas, semicolons or blanks.

    `rate` is how many lines the sensor writes a second; with a `grid` each begins with its time. Name the device by
    /dev/serial/by-id, where it is the same each time. Needs pyserial: pip install 'streamrnn[serial]'.
    """

    device: str
    stream: Name
    rate: Annotated[int, Meta(ge=1, le=1_000_000)]
    baud: Count = 115_200
    channels: Annotated[int, Meta(ge=1, le=MOST_CHANNELS)] = 1
    stall_s: Positive = 5.0
    when_full: WhenFull = "drop_oldest"


class SerialSource(Source):
    """Opened when it is built; goes on after the port was away. The line in whose midst it was opened is left out."""

    def __init__(self, config: SerialConfig) -> None:
        """Raises ConfigError without pyserial, DeviceError in one line if the port does not open."""
        super().__init__(f"serial {config.device}")
        try:
            import serial
            from serial.tools import list_ports
        except ModuleNotFoundError:
            raise ConfigError("kind serial: needs pyserial; pip install 'streamrnn[serial]'") from None
        self._config, self._serial, self._list = config, serial, list_ports
        self._drift, self._complaints = Drift(config.rate), Complaints()
        self._rest, self._whole, self._count = b"", False, 0
        self._identity = self._who()
        try:
            self._ports = [self._open()]  # one, or none while it is away
        except (OSError, ValueError) as error:
            there = ", ".join(str(port.device) for port in self._list.comports()) or "none on this machine"
            raise DeviceError(f"{self.place}: {_told(error)}; mend device: (serial ports: {there})") from None

    def items(self) -> Iterator[Item]:
        """The stream opened, its lines as samples, gaps for what could not be read or was not there; notes of both."""
        config = self._config
        presence = Presence(config.stream, config.rate, time.monotonic(), config.stall_s)
        yield Opened(config.stream, config.rate, config.channels, timed=config.grid.timed)
        while not self.stopped.is_set():
            yield from self._read(presence) if self._ports else self._await(presence)
            self.condition = presence.condition
            if presence.waiting:
                self.close()
        self.close()
        yield Ended(config.stream)

    def close(self) -> None:
        """Give the port back."""
        while self._ports:
            self._ports.pop().close()

    def _open(self) -> Any:
        self._rest, self._whole, self._count = b"", False, 0
        self._drift.reset()
        return self._serial.Serial(self._config.device, self._config.baud, timeout=_LOOK_S, exclusive=True)

    def _who(self) -> tuple[object, ...]:
        """What tells the device at the port from another that is plugged in there; nothing where ports do not tell."""
        real = os.path.realpath(self._config.device)
        there = [port for port in self._list.comports() if os.path.realpath(port.device) == real]
        return tuple((port.vid, port.pid, port.serial_number or port.location) for port in there)

    def _await(self, presence: Presence) -> list[Item]:
        """Try again, if it is time, whether the device is back."""
        due = presence.due(time.monotonic())
        if due > 0:
            self.stopped.wait(min(_LOOK_S, due))
            return []
        try:
            if os.path.exists(self._config.device) and self._who() != self._identity:
                return presence.gone(time.monotonic(), "another device is plugged in there")
            self._ports = [self._open()]
        except (OSError, ValueError) as error:
            return presence.gone(time.monotonic(), _told(error))
        presence.opened(time.monotonic())
        return []

    def _read(self, presence: Presence) -> list[Item]:
        port = self._ports[0]
        try:
            data = port.read(max(1, min(_READ, port.in_waiting)))
        except (OSError, TypeError) as error:  # of pyserial too, which has no name for a port that vanishes meanwhile
            return presence.gone(time.monotonic(), _told(error))
        at = time.monotonic()
        if not data:
            return presence.quiet(at, _LOOK_S)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST:
            # The rest of it, up to its end, is no line either.
            self._rest, self._whole = b"", False
            return self._spoil(presence, at, f"a line longer than {_LONGEST} bytes")
        if lines and not self._whole:
            self._whole = True
            lines = lines[1:]
        return self._take(presence, at, lines)

    def _take(self, presence: Presence, at: float, lines: list[bytes]) -> list[Item]:
        """What lines bring: those between two that cannot be read are one chunk."""
        items: list[Item] = []
        rows: list[Row] = []
        for line in lines:
            try:
                row = of_line(line, self._config.channels, self._config.grid)
                reading([row], self._config.channels, self._config.grid)
            except MalformedError as error:
                items += [*self._bring(presence, at, rows), *self._spoil(presence, at, str(error))]
                rows = []
            else:
                rows.append(row)
        return [*items, *self._bring(presence, at, rows)]

    def _bring(self, presence: Presence, at: float, rows: list[Row]) -> list[Item]:
        if not rows:
            return []
        start, self._count = self._count, self._count + len(rows)
        self._drift.add(at, self._count)
        self.drift_ppm = self._drift.ppm
        made = reading(rows, self._config.channels, self._config.grid)
        return presence.heard(at, start, made.samples, made.times)

    def _spoil(self, presence: Presence, at: float, reason: str) -> list[Item]:
        """A line that cannot be read was a sample."""
        self._count += 1
        notes = [Note(self._config.stream, "malformed", text) for text in self._complaints.told(reason)]
        return [*notes, *presence.spoiled(at, 1, SPOILED)]


def _told(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split()) or "it does not open"
