"""Keeps clips: what is heard and what is published meet here, and a thread of its own writes what comes of it.

Nothing here holds up the engine: samples are copied, memory and the queue to the thread are bounded, and what could not
be kept is counted and announced as what a sink has lost.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from streamrnn import resampling, snapshot
from streamrnn.bundle import Bundle
from streamrnn.calls import CallError
from streamrnn.chunk import Chunk, Gap, Opened
from streamrnn.clips import ClipsConfig
from streamrnn.clips.clip import Clip
from streamrnn.clips.folder import Folder
from streamrnn.clips.tapes import Spans, Tape
from streamrnn.control import Control, NoParams
from streamrnn.events import Heard
from streamrnn.metrics import Meter
from streamrnn.sessions import Counts
from streamrnn.sinks import Sink
from streamrnn.snapshot import Snapshot
from streamrnn.wire import Message, Name

IDLE_S = 30.0  # a clip waits so long for a stream that does not go on
SWEEP_S = 60.0
_LOOK_S = 1.0
# Clips that may wait for the disk, and their samples as a share of what streams may have.
_WAITING, _QUEUE_SHARE = 64, 4
_NO_MEMORY = "memory_bytes is used up"
_TOO_SLOW = "the disk is too slow"


Taken = Callable[[Sequence[str]], Mapping[str, Snapshot]]
"""All that is remembered now of those of these streams of which no sample waits to be heard."""


class OfStream(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The params of a method about the clips of one stream."""

    stream: Name


@dataclass(frozen=True, slots=True, eq=False)
class _Event:
    """An event whose clip waits for the samples after it, until `due` at the latest."""

    tape: Tape
    message: Message
    heard: Heard
    text: bytes
    due: float


class Clips(Sink):
    """Sees what is heard and what is published, on the engine's thread; does nothing unless the config asks for it."""

    lost_are = "clips"

    def __init__(self, config: ClipsConfig, meter: Meter, control: Control) -> None:
        """`control` answers calls about clips from now on."""
        self.place = f"clips in {config.directory}"
        self.taps: tuple[Clips, ...] = (self,) if config.directory else ()
        self._config, self._meter = config, meter
        self._folders: tuple[Folder, ...] = ()
        self._bundles: dict[str, tuple[str, int]] = {}  # by sha: where it was read from, and the rate it takes
        self._asked: dict[str, bool] = {}  # what was said over control of a stream
        self._opened: dict[str, Opened] = {}
        self._tapes: dict[str, list[Tape]] = {}  # by stream: those that are over and not told out, and the open one
        self._touched: set[str] = set()
        self._waiting: dict[str, list[_Event]] = {}
        self._look_at = 0.0
        self._reserved = 0  # bytes of tapes
        self._handed = 0  # bytes of clips given to the thread, ever; `_let_go` is its side of the count
        self._let_go = 0
        self._lost, self._unwritten = 0, 0  # counted on the engine's thread, and on the other
        self._reason = ""
        self._queue: queue.Queue[Clip | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._run, name="clips", daemon=True)
        control.add("clips", NoParams, lambda _: self.listed(), where="engine", role="read")
        control.add("clips_on", OfStream, lambda params: self._turn_on(params.stream), where="engine")
        control.add("clips_off", OfStream, lambda params: self._turn_off(params.stream), where="engine")

    def open(self) -> tuple[Sink, ...]:
        """Take the folder and begin; itself, or nothing if no clips are asked for. Raises DeviceError."""
        if self.taps:
            self._folders = (Folder(self._config),)
            self._thread.start()
        return self.taps

    def know(self, bundles: Iterable[Bundle]) -> None:
        """These may tell events from now on; from any thread."""
        self._bundles = self._bundles | {
            each.sha: (os.path.abspath(each.path), each.recognizer.rate) for each in bundles
        }

    def listed(self) -> dict[str, Any]:
        """What there is, as JSON."""
        self._check_asked_for()
        (folder,) = self._folders
        return {
            "directory": self._config.directory,
            "clips": folder.count,
            "bytes": folder.bytes,
            "written": folder.written,
            "removed": folder.removed,
            "lost": self.lost,
            "trouble": self._reason,
            "streams": sorted(stream for stream in self._opened if self._is_on(stream)),
        }

    def opened(self, item: Opened, counts: Counts, taken: Taken) -> None:
        """A stream begins, and its counts then."""
        self._opened[item.stream] = item
        if self._is_on(item.stream):
            self._begin(item, counts)
            for tape in self._tapes.get(item.stream, [])[-1:]:
                self._remember(item.stream, tape, taken)

    def heard(self, item: Chunk | Gap, counts: Counts) -> None:
        """What the engine was given of a stream, and its counts then."""
        tapes = [each for each in self._tapes.get(item.stream, ()) if not each.over]
        for tape in tapes:
            if isinstance(item, Chunk):
                tape.hear(item, counts)
            else:
                tape.lose(counts)
            self._touched.add(item.stream)
        self._cut_whole(item.stream)
        if not tapes and self._is_on(item.stream):
            # Asked for in the midst of it, or there was no memory: from the next sample on.
            self._begin(self._opened[item.stream], counts)

    def ended(self, stream: str) -> None:
        """No more of it comes; what is pending in it is told yet."""
        self._opened.pop(stream, None)
        for tape in self._tapes.get(stream, ()):
            tape.over = True
            self._touched.add(stream)
        self._cut_whole(stream)

    def settle(self, taken: Taken) -> None:
        """All that came has been heard and told: what nothing can ask for any more is forgotten."""
        for stream in self._touched:
            for tape in self._tapes.pop(stream, []):
                self._reserved -= tape.nbytes
                if not tape.over:
                    tape.trim()
                    self._reserved += tape.nbytes
                    self._remember(stream, tape, taken)
                    self._tapes[stream] = [tape]
        self._touched.clear()

    def publish(self, message: Message, parts: list[bytes]) -> None:
        """An event of the kinds that are asked for: its clip is cut, or waits for what comes after it."""
        body = message.body
        if message.kind not in self._config.kinds or not isinstance(body, Heard) or message.bundle.shadow:
            return
        tapes = [each for each in self._tapes.get(message.stream, ()) if each.epoch <= message.epoch]
        if tapes:
            due = time.monotonic() + IDLE_S
            self._waiting.setdefault(message.stream, []).append(_Event(tapes[-1], message, body, parts[1], due))
            self._cut_whole(message.stream)
        elif self._is_on(message.stream) and message.stream not in self._tapes:
            self._lose(_NO_MEMORY)

    def attend(self) -> bool:
        """Cut what has waited too long, and tell the meter."""
        now = time.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + _LOOK_S
        for stream in list(self._waiting):
            self._cut_whole(stream, now)
        for folder in self._folders:
            self._meter.set("clips_total", folder.written, "written")
            self._meter.set("clips_total", folder.removed, "removed")
            self._meter.set("clips_total", self.lost, "lost")
        return False

    @property
    def lost(self) -> int:
        """Clips that could not be kept."""
        return self._lost + self._unwritten

    @property
    def loss(self) -> str:
        """Why the last of them could not."""
        return self._reason

    def close(self, seconds: float) -> str:
        """Write what waits, for at most so many seconds."""
        until = time.monotonic() + seconds
        if not self._folders:
            return ""
        for event in [event for events in self._waiting.values() for event in events]:
            self._cut(event)
        self._waiting.clear()
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=seconds)
        self._thread.join(max(0.0, until - time.monotonic()))
        if self._thread.is_alive():
            self._lose(_TOO_SLOW, max(1, self._queue.qsize()))
        return f"{self.lost} clips lost: {self._reason}" if self.lost else ""

    def _is_on(self, stream: str) -> bool:
        return self._asked.get(stream, self._config.start == "at_once")

    def _turn_on(self, stream: str) -> dict[str, Any]:
        self._check_asked_for()
        self._asked[stream] = True
        return {"stream": stream, "clips": True}

    def _turn_off(self, stream: str) -> dict[str, Any]:
        """Nothing of a stream is kept any more, nor of what waits for what comes after it."""
        self._check_asked_for()
        self._asked[stream] = False
        self._waiting.pop(stream, None)
        self._reserved -= sum(tape.nbytes for tape in self._tapes.pop(stream, []))
        return {"stream": stream, "clips": False}

    def _check_asked_for(self) -> None:
        if not self.taps:
            raise CallError("no_clips", "the config keeps no clips; give it clips.directory")

    def _begin(self, item: Opened, counts: Counts) -> None:
        size = Tape.size(item.rate, item.channels, self._spans(item.rate))
        if self._reserved + size <= self._config.memory_bytes:
            self._reserved += size
            tape = Tape(item.rate, item.channels, self._spans(item.rate), counts)
            self._tapes.setdefault(item.stream, []).append(tape)

    def _remember(self, stream: str, tape: Tape, taken: Taken) -> None:
        """Keep what is remembered of a stream now, if it is due and there is room for it."""
        for now in taken([stream]).values() if tape.due else ():
            if self._reserved + snapshot.size(now) <= self._config.memory_bytes:
                self._reserved -= tape.nbytes
                tape.snapshots.take(now)
                self._reserved += tape.nbytes

    def _spans(self, rate: int) -> Spans:
        config = self._config
        seconds = (config.before_s, config.after_s, config.longest_s, config.state_every_s)
        return Spans(*(round(each * rate) for each in seconds))

    def _cut_whole(self, stream: str, now: float = 0.0) -> None:
        """Cut the clips of a stream to which nothing more can come, and those that were due before `now`."""
        events = self._waiting.pop(stream, [])
        left = [each for each in events if each.due > now and not each.tape.whole(each.heard)]
        if left:
            self._waiting[stream] = left
        for event in events:
            if event not in left:
                self._cut(event)

    def _cut(self, event: _Event) -> None:
        bundle, rate = self._bundles.get(event.message.bundle.sha, ("", event.heard.rate))
        delay = resampling.delay(event.heard.rate, rate)
        clips = event.tape.cut(event.message, event.heard, event.text, bundle, delay)
        if not clips:
            self._lose("its samples were not kept any more")
        for clip in clips:
            waiting = self._handed - self._let_go
            # One that is larger than all that may wait is taken where none does.
            if waiting and waiting + clip.nbytes > self._config.memory_bytes // _QUEUE_SHARE:
                self._lose(_TOO_SLOW)
                continue
            try:
                self._queue.put_nowait(clip)
                self._handed += clip.nbytes
            except queue.Full:
                self._lose(_TOO_SLOW)

    def _lose(self, reason: str, clips: int = 1) -> None:
        self._reason = reason
        self._lost += clips

    def _run(self) -> None:
        """What the thread does: write what is put, and look each minute for what has become too old."""
        (folder,) = self._folders
        while True:
            try:
                clip = self._queue.get(timeout=SWEEP_S)
            except queue.Empty:
                with contextlib.suppress(OSError):  # told of when a clip cannot be written
                    folder.sweep()
                continue
            if clip is None:
                break
            try:
                folder.write(clip)
            except OSError as error:
                self._reason = error.strerror or str(error)
                self._unwritten += 1
            self._let_go += clip.nbytes
        folder.close()
