"""A microphone as a stream, by PortAudio, which is looked for only when a microphone is asked for."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from streamrnn.chunk import Chunk, Ended, Gap, Item, Opened, Samples
from streamrnn.errors import DeviceError, did_you_mean
from streamrnn.ingest import MOST_CHANNELS
from streamrnn.recognizer import Name, Positive
from streamrnn.registry import register
from streamrnn.sources import Rate, Source, SourceConfig, WhenFull

_STALL_S = 3.0
_LOOK_S = 0.2
_QUEUE = 512  # blocks between PortAudio's thread and ours


@register("source", "streamrnn.sources.microphone:MicrophoneSource")
class MicrophoneConfig(SourceConfig, frozen=True, kw_only=True, tag="microphone"):
    """Listen to a microphone: `device` is (part of) its name, "" the system's choice; `rate` 0 is the device's own."""

    device: str = ""
    rate: Rate = 0
    channels: Annotated[int, Meta(ge=1, le=MOST_CHANNELS)] = 1
    stream: Name = "microphone"
    block_ms: Positive = 20.0
    when_full: WhenFull = "drop_oldest"


class Capture:
    """What PortAudio's callback does: it copies and counts, and never waits.

    A block that finds no room, and samples that PortAudio says it lost, are missing in the count and so become a gap.
    """

    def __init__(self, rate: int, room: int) -> None:
        self._rate = rate
        self._blocks: queue.Queue[tuple[int, Samples]] = queue.Queue(room)
        self._next = 0
        self._due = 0.0  # when PortAudio should hand over the next block, in its own seconds

    def __call__(self, samples: Samples, frames: int, time: Any, status: Any) -> None:
        """The callback of PortAudio: samples `(frames, channels)`, its clock, and whether it lost some before them."""
        begun = float(time.inputBufferAdcTime)
        if status.input_overflow:
            # How many it lost only the clock tells, and some drivers have none: one sample at least.
            self._next += max(1, round((begun - self._due) * self._rate)) if begun and self._due else 1
        self._due = begun + frames / self._rate if begun else 0.0
        with contextlib.suppress(queue.Full):
            self._blocks.put_nowait((self._next, np.array(samples, np.float32)))
        self._next += frames

    def read(self, timeout: float) -> tuple[int, Samples]:
        """The oldest block and the index of its first sample. Raises queue.Empty after `timeout` seconds."""
        return self._blocks.get(timeout=timeout)


class MicrophoneSource(Source):
    """Runs from the moment it is built; its samples count from the first block that is read."""

    def __init__(self, config: MicrophoneConfig) -> None:
        """Raises DeviceError in one line if PortAudio, the device or its format is missing."""
        sounddevice = _portaudio()
        device = _find(sounddevice, config.device)
        super().__init__(f"microphone {str(device['name'])!r}")
        self._config = config
        self._rate = config.rate or round(device["default_samplerate"])
        self._capture = Capture(self._rate, _QUEUE)
        try:
            self._input = sounddevice.InputStream(
                device=device["index"],
                samplerate=self._rate,
                channels=config.channels,
                dtype="float32",
                blocksize=max(1, round(config.block_ms * self._rate / 1000.0)),
                callback=self._capture,
            )
        except sounddevice.PortAudioError as error:
            raise DeviceError(
                f"{self.place}: does not open at {self._rate} Hz with {config.channels} channels "
                f"({_reason(error)}); try another rate or device, see `streamrnn devices`"
            ) from None

    def items(self) -> Iterator[Item]:
        """The stream opened, a chunk a block, gaps where samples were lost. Raises DeviceError if the device goes."""
        stream, expected, quiet = self._config.stream, 0, 0.0
        yield Opened(stream, self._rate, self._config.channels)
        with self._input:
            while not self.stopped.is_set():
                try:
                    start, samples = self._capture.read(_LOOK_S)
                except queue.Empty:
                    quiet += _LOOK_S
                    if quiet >= _STALL_S or not self._input.active:
                        raise DeviceError(
                            f"{self.place}: no samples for {quiet:.1f} s; is it still plugged in?"
                        ) from None
                    continue
                quiet = 0.0
                if start > expected:
                    yield Gap(stream, expected, start, "the computer was too slow for the microphone")
                yield Chunk(stream, start, samples)
                expected = start + len(samples)
        yield Ended(stream)

    def close(self) -> None:
        """Give the device back."""
        self._input.close()


def devices() -> list[dict[str, Any]]:
    """The microphones of this machine: index, name, max_input_channels, default_samplerate. Raises DeviceError."""
    return _inputs(_portaudio())


def default_device() -> int:
    """The index of the system's microphone, -1 if there is none. Raises DeviceError."""
    return int(_portaudio().default.device[0])


def play(samples: Samples, rate: int) -> None:
    """Play samples `(time, channels)` on the system's loudspeaker and wait for their end. Raises DeviceError."""
    sounddevice = _portaudio()
    try:
        sounddevice.play(samples, rate)
        sounddevice.wait()
    except (sounddevice.PortAudioError, ValueError) as error:
        raise DeviceError(f"loudspeaker: does not play ({_reason(error)}); use --playback off") from None


def _portaudio() -> Any:
    try:
        import sounddevice
    except (ImportError, OSError):
        raise DeviceError("microphone: the PortAudio library is missing; apt-get install libportaudio2") from None
    return sounddevice


def _inputs(sounddevice: Any) -> list[dict[str, Any]]:
    try:
        return [dict(device) for device in sounddevice.query_devices() if device["max_input_channels"] > 0]
    except sounddevice.PortAudioError as error:
        raise DeviceError(f"microphone: PortAudio lists no devices ({_reason(error)}); is the sound running?") from None


def _find(sounddevice: Any, name: str) -> dict[str, Any]:
    inputs = _inputs(sounddevice)
    if not inputs:
        raise DeviceError(
            "microphone: this machine has none; plug one in, or use a source of kind wav, stdin or zeromq"
        )
    if not name:
        chosen = int(sounddevice.default.device[0])
        return next((device for device in inputs if device["index"] == chosen), inputs[0])
    names = [str(device["name"]) for device in inputs]
    found = [device for device in inputs if device["name"] == name]
    found = found or [device for device in inputs if name.lower() in device["name"].lower()]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(repr(str(device["name"])) for device in found)
        raise DeviceError(f"microphone {name!r}: several match: {several}; give more of the name")
    raise DeviceError(
        f"microphone {name!r}: no such device; {did_you_mean(name, names)} (there are {', '.join(names)})"
    )


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())
