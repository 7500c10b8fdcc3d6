"""PortAudio as microphones need it: which there are, opened by name, and looked up anew when one is back."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from streamrnn.chunk import Samples
from streamrnn.errors import DeviceError, did_you_mean

Listed = dict[str, Any]  # what PortAudio says of a device
_LOOK_S = 20.0  # at most, for a child that looks what there is
_YIELD_S = 3.0  # at most, until the other microphones have closed for a moment
_NUMBER = re.compile(r"\s*\((?:plug)?hw:[^()]*\)\s*$")  # of a card, which is another after each plugging in
_CHILD = "import sys; from streamrnn.sources import portaudio; portaudio.try_out(sys.argv[1])"


def load() -> Any:
    """The library. Raises DeviceError if it is missing."""
    try:
        import sounddevice
    except (ImportError, OSError):
        raise DeviceError("microphone: the PortAudio library is missing; apt-get install libportaudio2") from None
    return sounddevice


def devices() -> list[Listed]:
    """The microphones of this machine: index, name, max_input_channels, default_samplerate. Raises DeviceError."""
    sounddevice = load()
    try:
        # While PortAudio starts anew its list is not to be read.
        with DESK.undisturbed():
            return [dict(device) for device in sounddevice.query_devices() if device["max_input_channels"] > 0]
    except sounddevice.PortAudioError as error:
        raise DeviceError(f"microphone: PortAudio lists no devices ({told(error)}); is the sound running?") from None


def default_device() -> int:
    """The index of the system's microphone, -1 if there is none. Raises DeviceError."""
    return int(load().default.device[0])


def play(samples: Samples, rate: int) -> None:
    """Play samples `(time, channels)` on the system's loudspeaker and wait for their end. Raises DeviceError."""
    sounddevice = load()
    try:
        sounddevice.play(samples, rate)
        sounddevice.wait()
    except (sounddevice.PortAudioError, ValueError) as error:
        raise DeviceError(f"loudspeaker: does not play ({told(error)}); use --playback off") from None


def find(inputs: Sequence[Listed], name: str, default: int) -> Listed:
    """The one device whose name is or holds `name`, or the system's choice. Raises DeviceError with what there is."""
    if not inputs:
        raise DeviceError(
            "microphone: this machine has none; plug one in, or use a source of kind wav, stdin or zeromq"
        )
    if not name:
        return next((device for device in inputs if device["index"] == default), inputs[0])
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


@dataclass(frozen=True, slots=True)
class Identity:
    """What a device is known by when it comes back: its name without the number of its card, and its host API.

    Where another of the same name was there when it was opened, the number must be the same too.
    """

    name: str
    host: int
    numbered: str  # the whole name, if that is needed to tell it from another

    @classmethod
    def of(cls, device: Listed, inputs: Sequence[Listed]) -> Identity:
        """That of a device among those that are there."""
        name, host = _NUMBER.sub("", str(device["name"])), int(device["hostapi"])
        alike = [each for each in inputs if cls(name, host, "").matches(each)]
        return cls(name, host, str(device["name"]) if len(alike) > 1 else "")

    def matches(self, device: Listed) -> bool:
        """Whether a device may be this one."""
        name = str(device["name"])
        return (_NUMBER.sub("", name), device["hostapi"]) == (self.name, self.host) and (
            not self.numbered or name == self.numbered
        )

    def among(self, inputs: Sequence[Listed]) -> Listed:
        """The same device again, and never another. Raises DeviceError if it is away, or might be either of several."""
        found = [device for device in inputs if self.matches(device)]
        if len(found) == 1:
            return found[0]
        raise DeviceError(
            f"microphone {self.name!r}: {len(found)} of that name are there, and it may be any"
            if found
            else f"microphone {self.name!r}: it is not there"
        )


@dataclass(frozen=True, slots=True)
class Format:
    """How a microphone is opened: samples a second, channels, and samples a block."""

    rate: int
    channels: int
    block: int


class Desk:
    """Where streams of PortAudio are opened and closed, for all microphones of a process.

    PortAudio makes its list of devices when it is initialised, and initialised anew it ends every stream. So whoever
    needs a fresh list asks all others to close theirs for a moment: they look at `asked`.
    """

    def __init__(self) -> None:
        self._turn = threading.Condition()
        self._streams, self._asking = 0, 0

    @property
    def asked(self) -> bool:
        """Whether streams are to be closed for a moment."""
        return self._asking > 0

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Within it the list of devices stays as it is, so that what was found in it is what is opened."""
        with self._turn:
            self._turn.wait_for(lambda: not self._asking, _YIELD_S)
            yield

    def open(self, device: Listed, form: Format, callback: Any) -> Any:
        """A stream that is not yet started. Raises PortAudioError or ValueError, of sounddevice."""
        with self._turn:
            stream = load().InputStream(
                device=device["index"],
                samplerate=form.rate,
                channels=form.channels,
                dtype="float32",
                blocksize=form.block,
                callback=callback,
            )
            self._streams += 1
            return stream

    def close(self, stream: Any) -> None:
        """End a stream, whether or not its device is still there."""
        # Not stopped before, which would wait for what the device still has.
        with contextlib.suppress(load().PortAudioError):
            stream.close()
        with self._turn:
            self._streams -= 1
            self._turn.notify_all()

    def renew(self) -> None:
        """Let PortAudio look which devices there are. Raises DeviceError if a stream stays open."""
        sounddevice = load()
        with self._turn:
            self._asking += 1
            try:
                if not self._turn.wait_for(lambda: not self._streams, _YIELD_S):
                    raise DeviceError("microphone: another is in use and does not let PortAudio look anew")
                sounddevice._terminate()
                sounddevice._initialize()
            except sounddevice.PortAudioError as error:
                raise DeviceError(f"microphone: PortAudio does not start again ({told(error)})") from None
            finally:
                self._asking -= 1
                self._turn.notify_all()


DESK = Desk()


def look(identity: Identity, form: Format) -> None:
    """Whether a device is back and opens, seen by a process of its own, so that no other microphone has to close.

    Raises DeviceError with the reason if not.
    """
    wanted = json.dumps([identity.name, identity.host, identity.numbered, form.rate, form.channels, form.block])
    try:
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, wanted], capture_output=True, text=True, timeout=_LOOK_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        raise DeviceError(f"microphone {identity.name!r}: PortAudio does not answer") from None
    answer = done.stdout.strip()
    if answer != "there":
        raise DeviceError(answer or f"microphone {identity.name!r}: PortAudio does not start")


def try_out(wanted: str) -> None:
    """What the other process does: print `there`, or why not."""
    name, host, numbered, rate, channels, block = json.loads(wanted)
    try:
        device = Identity(name, host, numbered).among(devices())
        DESK.close(DESK.open(device, Format(rate, channels, block), lambda *_: None))
    except DeviceError as error:
        print(error)
    except (load().PortAudioError, ValueError) as error:
        print(f"microphone {name!r}: does not open ({told(error)})")
    else:
        print("there")


def told(error: Exception) -> str:
    """An error of PortAudio in one line."""
    return " ".join(str(error).split())
