"""A microphone as a stream, by PortAudio, which is looked for only when a microphone is asked for."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from streamrnn.chunk import Ended, Item, Opened, Samples
from streamrnn.errors import DeviceError
from streamrnn.ingest import MOST_CHANNELS
from streamrnn.recognizer import Name, Positive
from streamrnn.registry import register
from streamrnn.sources import Rate, Source, SourceConfig, WhenFull
from streamrnn.sources.drift import Drift
from streamrnn.sources.portaudio import DESK, Format, Identity, default_device, devices, find, load, look, told
from streamrnn.sources.presence import ANOTHER, Presence

_LOOK_S = 0.2
_QUEUE = 512  # blocks between PortAudio's thread and ours


@register("source", "streamrnn.sources.microphone:MicrophoneSource")
class MicrophoneConfig(SourceConfig, frozen=True, kw_only=True, tag="microphone"):
    """Listen to a microphone: `device` is (part of) its name, "" the system's choice; `rate` 0 is the device's own.

    One that brings nothing for `stall_s` is `offline`, and waited for; nothing but one value for `silence_s` is told.
    """

    device: str = ""
    rate: Rate = 0
    channels: Annotated[int, Meta(ge=1, le=MOST_CHANNELS)] = 1
    stream: Name = "microphone"
    block_ms: Positive = 20.0
    stall_s: Positive = 3.0
    silence_s: Positive = 30.0
    when_full: WhenFull = "drop_oldest"


class Capture:
    """What PortAudio's callback does: it copies and counts, and never waits.

    A block that finds no room, and samples that PortAudio says it lost, are missing in the count and so become a gap.
    """

    def __init__(self, rate: int, room: int) -> None:
        self._rate = rate
        self._blocks: queue.Queue[tuple[float, int, Samples]] = queue.Queue(room)
        self._next = 0
        self._due = 0.0  # when PortAudio should hand over the next block, in its own seconds

    def __call__(self, samples: Samples, frames: int, clock: Any, status: Any) -> None:
        """The callback of PortAudio: samples `(frames, channels)`, its clock, and whether it lost some before them."""
        begun = float(clock.inputBufferAdcTime)
        if status.input_overflow:
            # How many it lost only the clock tells, and some drivers have none: one sample at least.
            self._next += max(1, round((begun - self._due) * self._rate)) if begun and self._due else 1
        self._due = begun + frames / self._rate if begun else 0.0
        with contextlib.suppress(queue.Full):
            self._blocks.put_nowait((time.monotonic(), self._next, np.array(samples, np.float32)))
        self._next += frames

    def read(self, timeout: float) -> tuple[float, int, Samples]:
        """The oldest block: when it came, the index of its first sample, its samples.

        Raises queue.Empty after `timeout` seconds.
        """
        return self._blocks.get(timeout=timeout)


class MicrophoneSource(Source):
    """Opened when it is built; its samples count from the first block that is read, and go on after it was away."""

    def __init__(self, config: MicrophoneConfig) -> None:
        """Raises DeviceError in one line if PortAudio, the device or its format is missing."""
        self._config = config
        with DESK.undisturbed():
            inputs = devices()
            device = find(inputs, config.device, default_device())
            super().__init__(f"microphone {str(device['name'])!r}")
            self._rate = config.rate or round(device["default_samplerate"])
            self._format = Format(self._rate, config.channels, max(1, round(config.block_ms * self._rate / 1000.0)))
            self._identity = Identity.of(device, inputs)
            self._drift = Drift(self._rate)
            self._capture = Capture(self._rate, _QUEUE)
            try:
                self._inputs = [DESK.open(device, self._format, self._capture)]  # one, or none while it is away
            except (load().PortAudioError, ValueError) as error:
                raise DeviceError(
                    f"{self.place}: does not open at {self._rate} Hz with {config.channels} channels "
                    f"({told(error)}); try another rate or device, see `streamrnn devices`"
                ) from None

    def items(self) -> Iterator[Item]:
        """The stream opened, a chunk a block, gaps where samples were lost; notes of what becomes of the device."""
        config = self._config
        presence = Presence(config.stream, self._rate, time.monotonic(), config.stall_s, config.silence_s)
        yield Opened(config.stream, self._rate, config.channels)
        yield from self._start(presence)
        while not self.stopped.is_set():
            if not self._inputs:
                yield from self._await(presence)
            elif DESK.asked:
                yield from presence.paused(ANOTHER)
                yield from self._reopen(presence)
            else:
                # What is to be told is told before the device is closed, for that may take long.
                yield from self._listen(presence)
                self._settle(presence)
        self.close()
        yield Ended(config.stream)

    def close(self) -> None:
        """Give the device back."""
        while self._inputs:
            DESK.close(self._inputs.pop())

    def _listen(self, presence: Presence) -> list[Item]:
        try:
            at, start, samples = self._capture.read(_LOOK_S)
        except queue.Empty:
            if not self._inputs[0].active:
                return presence.gone(time.monotonic(), "PortAudio has ended its stream; is it still plugged in?")
            return presence.quiet(time.monotonic(), _LOOK_S)
        self._drift.add(at, start + len(samples))
        self.drift_ppm = self._drift.ppm
        return presence.heard(at, start, samples)

    def _settle(self, presence: Presence) -> None:
        self.condition = presence.condition
        if presence.waiting:
            self.close()

    def _await(self, presence: Presence) -> list[Item]:
        """Try again, if it is time, whether the device is back."""
        due = presence.due(time.monotonic())
        if due > 0:
            self.stopped.wait(min(_LOOK_S, due))
            return []
        try:
            look(self._identity, self._format)
            DESK.renew()
        except DeviceError as error:
            return presence.gone(time.monotonic(), str(error))
        return self._reopen(presence)

    def _reopen(self, presence: Presence) -> list[Item]:
        """Open the same device, as PortAudio lists it now."""
        self.close()
        self._capture = Capture(self._rate, _QUEUE)
        try:
            with DESK.undisturbed():
                self._inputs = [DESK.open(self._identity.among(devices()), self._format, self._capture)]
        except (DeviceError, load().PortAudioError, ValueError) as error:
            return presence.gone(time.monotonic(), told(error))
        return self._start(presence)

    def _start(self, presence: Presence) -> list[Item]:
        try:
            self._inputs[0].start()
        except load().PortAudioError as error:
            items = presence.gone(time.monotonic(), told(error))
            self.close()
            return items
        self._drift.reset()
        presence.opened(time.monotonic())
        return []
