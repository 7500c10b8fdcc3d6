"""Messages for people: one line an event on standard output."""

from __future__ import annotations

import os
import sys

from streamrnn.events import Alarm, Forecast, Heard, Lost, Scored
from streamrnn.registry import PlugConfig, register
from streamrnn.sinks.writer import LineSink, Writer
from streamrnn.wire import Message, Status


@register("sink", "streamrnn.sinks.console:ConsoleSink")
class ConsoleConfig(PlugConfig, frozen=True, tag="console"):
    """Print what is heard; what a shadow hears too, if `shadows` is true."""

    shadows: bool = False


class ConsoleSink(LineSink):
    """What people want to see as it happens; signs of life are left out."""

    place = "console"

    def __init__(self, config: ConsoleConfig) -> None:
        self._shadows = config.shadows
        self._writer = Writer(os.dup(sys.stdout.fileno()))

    def publish(self, message: Message, parts: list[bytes]) -> None:
        """Print the line, if there is one."""
        line = describe(message)
        if line and (self._shadows or not message.bundle.shadow):
            self._writer.write(line.encode() + b"\n")


def describe(message: Message) -> str:
    """A message as a line for people; "" for signs of life."""
    body = message.body
    if isinstance(body, (Heard, Scored)):
        times = f"{_clock(body.start, body.rate)} - {_clock(body.end, body.rate)}"
        told = body.label if isinstance(body, Heard) else f"{body.label} score"
        why = f"  {blame(body)}" if isinstance(body, Alarm) else ""
        return f"{times}  {message.stream:<12} {told:<16} {body.score:.2f}  {_speaker(message)}{why}"
    if isinstance(body, Forecast):
        values = ", ".join(f"{each.value:g} ± {each.deviation:.2g}" for each in body.channels)
        return f"{_clock(body.end, body.rate)}  {message.stream:<12} in {body.ahead} samples: {values}"
    if isinstance(body, Lost):
        times = f"{_clock(body.start, body.rate)} - {_clock(body.end, body.rate)}"
        return f"{times}  {message.stream:<12} gap: {body.end - body.start} samples, {body.reason}"
    if isinstance(body, Status):
        return f"{'':<23}  {message.stream:<12} {body.state}{': ' + body.text if body.text else ''}"
    if isinstance(body, dict):
        return f"{_clock(message.t.sample, message.t.rate)}  {message.stream:<12} {message.kind}: {body}"
    return ""


def blame(alarm: Alarm) -> str:
    """Why an alarm was raised: the channel that lies farthest from what was expected of it, for people."""
    return "".join(
        f"ALARM: channel {each.channel} is {each.seen:g}, {each.expected:g} expected ({each.sigma:+.1f} sigma)"
        for each in alarm.channels[:1]
    )


def _speaker(message: Message) -> str:
    return f"{message.bundle.name} (shadow)" if message.bundle.shadow else message.bundle.name


def _clock(sample: int, rate: int) -> str:
    """A place in a stream as hours, minutes and seconds to the hundredth."""
    hundredths = sample * 100 // max(1, rate)
    minutes, rest = divmod(hundredths, 6000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 100:02d}.{rest % 100:02d}"
