"""Hours of audio composed from labelled recordings: words at random places, talk, pauses, noise and rooms, from a seed.

A stream is a plan, made at once, and samples, made scene by scene as they are asked for: an hour never stands in
memory. The plan says of every sample which source lies under it, so that a miss or a false accept can be traced.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Generic, Literal, TypeVar

import numpy as np
from numpy.random import Generator

from streamrnn.chunk import Samples
from streamrnn.errors import RecordingError
from streamrnn.evaluation.playable import Noise, Segment
from streamrnn.evaluation.stock import NOISE, ROOM, Source, Stock, folder_of

T = TypeVar("T")

CLEAN = math.inf  # the signal to noise ratio where no noise was added
_HISS = 10 ** (-75 / 20)  # no pause is digital silence
_FADE_S = 0.005
SHORTEST_S = 60.0  # of a stream
_SHORTEST_SCENE_S = 5.0
_OPENING_S = 0.5
_END_S = 20.0  # no word is due later than this before the end: it has to wait for what is being said


@dataclass(frozen=True, slots=True)
class Recipe:
    """How streams are composed: pairs are (least, most), of which is drawn evenly.

    Each scene has one of `snr_db` (CLEAN: no noise), one noise and one level of speech in dB of full scale. `rooms` is
    the share of pieces that are heard in a room.
    """

    words_per_hour: float = 60.0
    pause_s: tuple[float, float] = (0.2, 3.0)
    cut_s: tuple[float, float] = (3.0, 12.0)
    scene_s: tuple[float, float] = (20.0, 40.0)
    snr_db: tuple[float, ...] = (CLEAN, 20.0, 10.0, 5.0)
    level_db: tuple[float, float] = (-38.0, -18.0)
    rooms: float = 0.3


@dataclass(frozen=True, slots=True)
class Cut:
    """Samples `[first, last)` of a source's recording, heard from `start` to `end` of a stream; `room` -1 is none."""

    source: Source
    first: int
    last: int
    start: int
    end: int
    gain: float
    room: int


@dataclass(frozen=True, slots=True)
class Scene:
    """Samples `[start, end)` of a stream under one condition: a noise from some `place` on, a level of speech."""

    start: int
    end: int
    snr_db: float
    noise: int
    place: float
    level: float
    cuts: tuple[Cut, ...]


@dataclass(frozen=True)
class Composed:
    """A stream that is played and judged as a recording is; equal stock, recipe and seed make equal streams."""

    path: Path
    split: str
    stock: Stock
    scenes: tuple[Scene, ...]
    channels: int = 1
    group: str = ""
    labelled: Literal["events", "samples"] = "events"

    @property
    def rate(self) -> int:
        """Samples a second, in Hz: the recognizer's, so that nothing is resampled twice."""
        return self.stock.rate

    @property
    def length(self) -> int:
        """Its number of samples."""
        return self.scenes[-1].end

    @property
    def seconds(self) -> float:
        """Its duration in seconds."""
        return self.length / self.rate

    @cached_property
    def cuts(self) -> tuple[Cut, ...]:
        """What was laid into it, in order of time."""
        return tuple(cut for scene in self.scenes for cut in scene.cuts)

    @cached_property
    def words(self) -> tuple[Cut, ...]:
        """The cuts that are words: one for each segment that the recognizer knows."""
        return tuple(cut for cut in self.cuts if cut.source.label)

    @cached_property
    def openings(self) -> tuple[int, ...]:
        """A sample before each utterance, word or not: half a second before it, or amid a pause that is shorter."""
        before, found = 0, []
        for cut in self.cuts:
            found.append(max(cut.start - round(_OPENING_S * self.rate), (before + cut.start) // 2))
            before = cut.end
        return tuple(found)

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The words and where they are, and what else is heard where, by its label in the data."""
        return tuple(self._segment(cut) for cut in self.cuts)

    @cached_property
    def noises(self) -> tuple[Noise, ...]:
        """What lies under each scene."""
        return tuple(self._noise(scene) for scene in self.scenes)

    def samples(self) -> Samples:
        """All of it, float32 `(time, 1)`. Raises RecordingError where a recording cannot be read."""
        return np.concatenate([self._render(scene)[:, None] for scene in self.scenes])

    def blocks(self, length: int) -> Iterator[Samples]:
        """The same in blocks of at most `length` samples; the blocks make no difference. Raises RecordingError."""
        rest = np.zeros(0, np.float32)
        for scene in self.scenes:
            rest = np.concatenate([rest, self._render(scene)])
            whole = len(rest) // length * length
            yield from (rest[start : start + length, None] for start in range(0, whole, length))
            rest = rest[whole:]
        if len(rest):
            yield rest[:, None]

    def snr_db(self, sample: int) -> float:
        """The condition that holds at a sample: dB between speech and noise, or CLEAN."""
        return self.scenes[max(0, bisect_right(self.scenes, sample, key=lambda scene: scene.start) - 1)].snr_db

    def source(self, start: int, end: int) -> Source:
        """The source under the samples `[start, end)`: of which most is heard there, else what was heard last."""
        last = bisect_right(self.cuts, max(start, end - 1), key=lambda cut: cut.start)
        near = self.cuts[max(0, last - 4) : max(1, last)]
        # Of equals the later one: what is heard late is mostly of what came last.
        return max(reversed(near), key=lambda cut: max(0, min(end, cut.end) - max(start, cut.start))).source

    @cached_property
    def exposure(self) -> dict[int, float]:
        """Seconds of the stream that each source has, by its key: of its cuts and of the pauses after them."""
        seconds: dict[int, float] = defaultdict(float)
        edges = [0, *(cut.start for cut in self.cuts[1:]), self.length]
        for cut, (start, end) in zip(self.cuts, pairwise(edges), strict=True):
            seconds[cut.source.key] += (end - start) / self.rate
        return dict(seconds)

    def _noise(self, scene: Scene) -> Noise:
        name = "" if scene.snr_db == CLEAN else self.stock.noise_name(scene.noise)
        return Noise(scene.start, scene.end, name, scene.snr_db)

    def _segment(self, cut: Cut) -> Segment:
        if not cut.source.label:
            return Segment(cut.start, cut.end, cut.source.name)
        ratio = self.rate / cut.source.recording.rate
        first, last = (round((edge - cut.first) * ratio) for edge in cut.source.word)
        start = min(cut.start + first, cut.end - 1)
        return Segment(start, max(start + 1, min(cut.start + last, cut.end)), cut.source.label)

    def _render(self, scene: Scene) -> Samples:
        """(scene.end - scene.start,): its cuts at their places, and what is under them."""
        sound = np.float32(_HISS) * self.stock.hiss(scene.start, scene.end - scene.start)
        for cut in scene.cuts:
            heard = self._heard(cut) * np.float32(scene.level * cut.gain / self.stock.level(cut.source))
            at = cut.start - scene.start
            sound[at : at + len(heard)] += heard[: len(sound) - at]
        if scene.snr_db != CLEAN:
            under = self.stock.noise(scene.noise, scene.place, len(sound))
            sound += under * np.float32(scene.level * 10 ** (-scene.snr_db / 20))
        clipped: Samples = np.clip(sound, -1.0, 1.0)
        return clipped

    def _heard(self, cut: Cut) -> Samples:
        """(time,): a cut with soft edges, in its room, whose echo goes on behind it."""
        dry = self.stock.read(cut.source.recording, cut.first, cut.last)
        ramp = min(round(_FADE_S * self.rate), len(dry) // 2)
        rise = np.linspace(0.0, 1.0, ramp, dtype=np.float32)
        dry[:ramp] *= rise
        dry[len(dry) - ramp :] *= rise[::-1]
        if cut.room < 0:
            return dry
        response = self.stock.room(cut.room)
        size = len(dry) + len(response) - 1
        padded = 1 << (size - 1).bit_length()
        wet = np.fft.irfft(np.fft.rfft(dry, padded) * np.fft.rfft(response, padded), padded)
        heard: Samples = wet[:size].astype(np.float32)
        return heard


class _Deck(Generic[T]):
    """Things in random order, all of them before any comes again."""

    def __init__(self, things: Sequence[T], random: Generator) -> None:
        self._things, self._random, self._order = things, random, list[int]()

    def draw(self) -> T:
        if not self._order:
            self._order = self._random.permutation(len(self._things)).tolist()
        return self._things[self._order.pop()]


def compose(stock: Stock, recipe: Recipe, seconds: float, count: int, seed: int, *, split: str = "") -> list[Composed]:
    """`count` streams of `seconds` each. Raises RecordingError if there is no negative to compose them of.

    A stock without words makes streams of negatives alone.
    """
    if not stock.negatives:
        raise RecordingError(
            "no negatives to compose hours of: give --data of other talk and sounds, with a label that begins with '_' "
            f"(not {NOISE} or {ROOM})"
        )
    random = np.random.default_rng([seed, 5])
    words, negatives = _Deck(stock.words, random), _Deck(stock.negatives, random)
    conditions, noises = _Deck(recipe.snr_db, random), _Deck(range(stock.noises), random)
    plan = _Plan(stock, recipe, words, negatives, conditions, noises, random)
    length = round(max(SHORTEST_S, seconds) * stock.rate)
    return [Composed(Path(f"composed-{seed}-{i}"), split, stock, plan.scenes(length)) for i in range(count)]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is drawn from while streams are planned."""

    stock: Stock
    recipe: Recipe
    words: _Deck[Source]
    negatives: _Deck[Source]
    conditions: _Deck[float]
    noises: _Deck[int]
    random: Generator

    def scenes(self, length: int) -> tuple[Scene, ...]:
        rate, random = self.stock.rate, self.random
        count = round(self.recipe.words_per_hour * length / rate / 3600) if self.stock.words else 0
        # The latest first, to be popped; none so late that its stream is over.
        due = sorted(random.uniform(0.0, max(0.0, length - _END_S * rate), count).tolist(), reverse=True)
        scenes: list[Scene] = []
        start = at = 0
        while start < length:
            wanted = start + self._samples(self.recipe.scene_s)
            cuts: list[Cut] = []
            at = start + self._samples(self.recipe.pause_s)
            while at < wanted:
                is_word = bool(due) and due[-1] <= at
                cut = self._cut(self.words.draw() if is_word else self.negatives.draw(), at)
                if cut.end > length:
                    at = length
                    break
                if is_word:
                    due.pop()
                cuts.append(cut)
                at = cut.end + self._samples(self.recipe.pause_s)
            # What is left and too short for a scene of its own belongs to this one.
            end = length if length - at < _SHORTEST_SCENE_S * rate else at
            level = 10 ** (random.uniform(*self.recipe.level_db) / 20)
            place = float(random.random())
            scenes.append(Scene(start, end, self.conditions.draw(), int(self.noises.draw()), place, level, tuple(cuts)))
            start = end
        return tuple(scenes)

    def _samples(self, seconds: tuple[float, float]) -> int:
        return int(self.random.uniform(*seconds) * self.stock.rate)

    def _cut(self, source: Source, at: int) -> Cut:
        random = self.random
        first, last = source.start, source.end
        if not source.label:
            size = min(last - first, round(random.uniform(*self.recipe.cut_s) * source.recording.rate))
            first += int(random.integers(last - first - size + 1))
            last = first + size
        room = (
            int(random.integers(self.stock.rooms)) if self.stock.rooms and random.random() < self.recipe.rooms else -1
        )
        gain = 10 ** (random.uniform(-3.0, 3.0) / 20)
        return Cut(source, first, last, at, at + self.stock.samples_of(source.recording, first, last), gain, room)


def distinct_seconds(streams: Sequence[Composed], folders: Sequence[Path]) -> dict[str, float]:
    """Seconds of different words and negatives that are heard in streams, by the name of their data folder."""
    heard: dict[tuple[str, Path, tuple[int, int]], list[tuple[float, float]]] = defaultdict(list)
    for stream in streams:
        for cut in stream.cuts:
            recording = cut.source.recording
            place = (folder_of(recording, folders), recording.path, recording.span)
            heard[place].append((cut.first / recording.rate, cut.last / recording.rate))
    seconds: dict[str, float] = defaultdict(float)
    for (folder, _, _), stretches in heard.items():
        reached = 0.0
        for first, last in sorted(stretches):
            seconds[folder] += max(0.0, last - max(first, reached))
            reached = max(reached, last)
    return {folder: round(total, 1) for folder, total in sorted(seconds.items())}
