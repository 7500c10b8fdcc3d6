"""What streams are composed of: words, negatives, noises and rooms of data folders, read piece by piece at one rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamrnn import files
from streamrnn.chunk import Samples
from streamrnn.errors import ConfigError
from streamrnn.evaluation.recordings import Recording
from streamrnn.recognizer import BACKGROUND, RecognizerConfig, label_of
from streamrnn.resampling import open_resampler
from streamrnn.stretch import mixed

# How recordings are named that are neither words nor negatives.
NOISE, ROOM = "_noise", "_impulse_response"
# A longer negative counts as a source a minute: else an hour of television would be a single trial.
_BLOCK_S = 60.0
_SHORTEST_S = 0.05
# What is kept around a word, if nothing else is said there.
_AROUND_S = 0.2
_SYNTHETIC_S = 30.0
_FRAME_S = 0.02
# Frames this far below the loudest are pauses and say nothing of how loud somebody speaks.
_PAUSE_DB = 20.0
_QUIETEST = 1e-3  # -60 dB of full scale: what is quieter is not made louder than this would be


@dataclass(frozen=True, slots=True)
class Source:
    """Samples `[start, end)` of a recording, as one trial: a word with what is around it, or a minute of a negative.

    `word` are the samples of its `label`, `(0, 0)` and "" for a negative, whose label in the data is its `name`; `key`
    counts the sources of a stock.
    """

    key: int
    recording: Recording
    start: int
    end: int
    label: str
    word: tuple[int, int]
    name: str

    @property
    def seconds(self) -> float:
        """Its duration."""
        return (self.end - self.start) / self.recording.rate


class Stock:
    """Sources by what they are for; their samples are read when asked for, mixed to one channel, at `rate` Hz.

    `noises` counts recorded ones first, then two synthesised ones, white and pink; `rooms` counts impulse responses.
    """

    def __init__(self, rate: int, sources: Sequence[Source], noises: Sequence[Recording], rooms: Sequence[Recording]):
        self.rate = rate
        self.words = tuple(source for source in sources if source.label)
        self.negatives = tuple(source for source in sources if not source.label)
        self.noises, self.rooms = len(noises) + 2, len(rooms)
        self._noises, self._rooms = tuple(noises), tuple(rooms)
        self._levels: dict[int, float] = {}
        self._responses: dict[int, Samples] = {}
        white = np.random.default_rng(0).standard_normal(round(_SYNTHETIC_S * rate)).astype(np.float32)
        self._synthetic = (white, _pink(white))

    def samples_of(self, recording: Recording, first: int, last: int) -> int:
        """How many samples of ours the samples `[first, last)` of a recording are."""
        return max(1, round((last - first) * self.rate / recording.rate))

    def read(self, recording: Recording, first: int, last: int) -> Samples:
        """Samples `[first, last)` of a recording as `(time,)` of ours. Raises RecordingError."""
        begin = recording.span[0]
        mono = mixed(files.read(recording.path, begin + first, begin + last), 1)
        resampler = open_resampler(recording.rate, self.rate, 1)
        resampled = np.concatenate([resampler.push(mono), resampler.finish()])[:, 0]
        return _fitted(resampled, self.samples_of(recording, first, last))

    def level(self, source: Source) -> float:
        """How loud its word or speech is: the root mean square of the frames that are no pauses."""
        if source.key not in self._levels:
            first, last = source.word if source.label else (source.start, source.end)
            self._levels[source.key] = max(_QUIETEST, _loudness(self.read(source.recording, first, last), self.rate))
        return self._levels[source.key]

    def noise(self, number: int, place: float, count: int) -> Samples:
        """`(count,)` of a noise, of unit power, from `place` (0 to 1) of it on. Raises RecordingError."""
        stretch = self._stretch(number, place, count)
        return stretch / max(1e-9, float(np.sqrt(np.mean(np.square(stretch, dtype=np.float64)))))

    def noise_name(self, number: int) -> str:
        """The name of the file of a noise, or what was synthesised."""
        recorded = len(self._noises)
        return self._noises[number].path.stem if number < recorded else ("white", "pink")[number - recorded]

    def hiss(self, start: int, count: int) -> Samples:
        """`(count,)` of white noise of unit power, the same for the same `start`."""
        white = self._synthetic[0]
        # `take` wraps by subtracting once for every turn: in hour 20 that alone would cost more than recognition.
        start %= len(white)
        return np.take(white, np.arange(start, start + count), mode="wrap")

    def room(self, number: int) -> Samples:
        """An impulse response `(time,)` of unit energy that begins with its direct sound. Raises RecordingError."""
        if number not in self._responses:
            recording = self._rooms[number]
            response = self.read(recording, 0, recording.length)
            response = response[int(np.argmax(np.abs(response))) :]
            self._responses[number] = response / max(1e-9, float(np.sqrt(np.sum(np.square(response)))))
        return self._responses[number]

    def _stretch(self, number: int, place: float, count: int) -> Samples:
        if number >= len(self._noises):
            made = self._synthetic[number - len(self._noises)]
            start = int(place * len(made))
            return np.take(made, np.arange(start, start + count), mode="wrap")
        recording = self._noises[number]
        first = int(place * recording.length)
        wanted = min(-(-count * recording.rate // self.rate), recording.length)
        parts = [self.read(recording, first, min(first + wanted, recording.length))]
        if first + wanted > recording.length:
            parts.append(self.read(recording, 0, first + wanted - recording.length))
        return np.resize(np.concatenate(parts), count)


def gather(recordings: Sequence[Recording], config: RecognizerConfig) -> Stock:
    """Sort recordings of sound into a stock: words by their labels, negatives in which there is none, noises and rooms.

    Recordings whose samples are labelled one by one stay out. Raises ConfigError for a bundle of several channels.
    """
    if config.channels != 1:
        raise ConfigError(
            f"{config.name} takes {config.channels} channels: streams are composed of sound of one channel"
        )
    sources: list[Source] = []
    noises: list[Recording] = []
    rooms: list[Recording] = []
    for recording in recordings:
        names = [segment.label for segment in recording.segments]
        if recording.labelled != "events" or recording.seconds < _SHORTEST_S:
            continue
        if names and all(name.startswith(ROOM) for name in names):
            rooms.append(recording)
        elif names and all(name.startswith(NOISE) for name in names):
            noises.append(recording)
        elif any(label_of(config, name) != BACKGROUND for name in names):
            sources += _words(recording, config, len(sources))
        else:
            sources += _negatives(recording, len(sources))
    return Stock(config.rate, sources, noises, rooms)


def folder_of(recording: Recording, folders: Sequence[Path]) -> str:
    """The name of the data folder that a recording lies in, "" if in none."""
    return next((folder.resolve().name for folder in folders if recording.path.is_relative_to(folder)), "")


def _words(recording: Recording, config: RecognizerConfig, key: int) -> list[Source]:
    around, segments = round(_AROUND_S * recording.rate), recording.segments
    found: list[Source] = []
    for i, each in enumerate(segments):
        if label_of(config, each.label) == BACKGROUND:
            continue
        # Not into what is said before and after it.
        before = segments[i - 1].end if i else 0
        after = segments[i + 1].start if i + 1 < len(segments) else recording.length
        start = max(min(before, each.start), each.start - around)
        end = min(max(after, each.end), each.end + around)
        found.append(Source(key + len(found), recording, start, end, each.label, (each.start, each.end), each.label))
    return found


def _negatives(recording: Recording, key: int) -> list[Source]:
    count = max(1, round(recording.seconds / _BLOCK_S))
    edges = [recording.length * i // count for i in range(count + 1)]
    name = next((segment.label for segment in recording.segments), "_")
    return [Source(key + i, recording, edges[i], edges[i + 1], "", (0, 0), name) for i in range(count)]


def _loudness(samples: Samples, rate: int) -> float:
    size = max(1, round(_FRAME_S * rate))
    whole = samples[: len(samples) // size * size] if len(samples) >= size else np.resize(samples, size)
    power = np.mean(np.square(whole.reshape(-1, size), dtype=np.float64), axis=1)
    loud = power[power >= power.max() * 10 ** (-_PAUSE_DB / 10)]
    return float(np.sqrt(loud.mean()))


def _pink(white: Samples) -> Samples:
    spectrum = np.fft.rfft(white)
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), len(white) / 1000))
    pink: Samples = np.fft.irfft(spectrum, len(white)).astype(np.float32)
    return pink


def _fitted(samples: Samples, count: int) -> Samples:
    """To the sample: what a resampler rounds."""
    if len(samples) >= count:
        return samples[:count]
    return np.concatenate([samples, np.zeros(count - len(samples), np.float32)])
