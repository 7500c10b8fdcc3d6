"""Judges a bundle on labelled recordings: clips by the clip rule, streams by their events, sensors frame by frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamrnn.backends import Array
from streamrnn.decoders import SegmentsConfig
from streamrnn.engine import Serving
from streamrnn.errors import ConfigError, RecordingError
from streamrnn.evaluation.matching import Interval, Matching, match
from streamrnn.evaluation.metrics import count_pairs
from streamrnn.evaluation.playing import BLOCK_S, Play, check_channels, play, posteriors
from streamrnn.evaluation.recordings import Recording
from streamrnn.events import Event, Heard
from streamrnn.recognizer import BACKGROUND, Recognizer, RecognizerConfig, label_of

# A recording of one word and at most this long is a clip; a longer one is a stream with a word in it.
_LONGEST_CLIP_S = 10.0
# The clip rule: a clip is played with this much silence before and after it.
_MARGIN_S = 0.5


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording of one label: the labels of what was detected in it, and the label of its highest mean posterior."""

    recording: Recording
    said: str
    heard: tuple[str, ...]
    plain: str


@dataclass(frozen=True, slots=True)
class Stream:
    """What was said and heard in a recording, in seconds of it, and when each event was decided."""

    recording: Recording
    said: tuple[Interval, ...]
    heard: tuple[Interval, ...]
    decided: tuple[float, ...]
    matching: Matching

    @property
    def delays(self) -> list[float]:
        """Seconds from the end of each word that was hit to the decision."""
        return [self.decided[h] - self.said[s].end for s, h in self.matching.hits]


@dataclass(frozen=True, slots=True)
class Frames:
    """A recording whose samples are labelled: how often which label was the highest posterior where which one held."""

    recording: Recording
    confusion: Counter[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Result:
    """All that a bundle was judged on: words are the clips as streams as well, `streams` are the others."""

    clips: tuple[Clip, ...]
    words: tuple[Stream, ...]
    streams: tuple[Stream, ...]
    frames: tuple[Frames, ...]


def evaluate(
    serving: Serving,
    recordings: Sequence[Recording],
    *,
    chunk_s: float = BLOCK_S,
    ended: Callable[[Recording], None] = lambda recording: None,
) -> Result:
    """Play every recording through the engine and judge it; `ended` is told of each that is done.

    Raises RecordingError where samples cannot be read or do not fit the bundle.
    """
    config = serving.recognizer.config
    # Before a word is silence; before a state of a body or a machine is another one, and zeros would be a third.
    margin_s = 0.0 if isinstance(config.decoder, SegmentsConfig) else _MARGIN_S
    for recording in recordings:
        check_channels(serving, recording)
    by_sample = [recording for recording in recordings if recording.labelled == "samples"]
    by_event = [recording for recording in recordings if recording.labelled == "events"]
    plays = [
        Play(recording, round(margin_s * recording.rate) if is_clip(recording, config) else 0) for recording in by_event
    ]
    heard = play(serving, plays, chunk_s, lambda each: ended(each.recording))
    judged = [_stream(each, events, config) for each, events in zip(plays, heard, strict=True)]
    frames = []
    for recording in by_sample:
        frames.append(_frames(serving, recording))
        ended(recording)
    pairs = list(zip(plays, judged, strict=True))
    return Result(
        clips=tuple(_clip(serving, stream) for each, stream in pairs if is_clip(each.recording, config)),
        words=tuple(stream for each, stream in pairs if is_clip(each.recording, config)),
        streams=tuple(stream for each, stream in pairs if not is_clip(each.recording, config)),
        frames=tuple(frames),
    )


def is_clip(recording: Recording, config: RecognizerConfig) -> bool:
    """Whether a recording is judged by the clip rule: short, with a single segment, of a label of the recognizer."""
    names = [segment.label for segment in recording.segments]
    known = len(names) == 1 and label_of(config, names[0]) != BACKGROUND
    return known and recording.labelled == "events" and recording.seconds <= _LONGEST_CLIP_S


def choose_split(recordings: Sequence[Recording], split: str) -> list[Recording]:
    """The recordings of a split. Raises RecordingError with the splits that there are."""
    chosen = [recording for recording in recordings if recording.split == split]
    if not chosen:
        splits = ", ".join(sorted({recording.split or "(none)" for recording in recordings}))
        raise RecordingError(f"--split {split}: no recording is in it; there are {splits}")
    return chosen


def check_labels(recordings: Sequence[Recording], config: RecognizerConfig, folders: Sequence[Path]) -> list[str]:
    """Names in the data that the recognizer does not know: they count as background, it must not fire on them.

    Raises ConfigError if it knows none of them: then the data is not for this recognizer.
    """
    names = {s.label for recording in recordings for s in recording.segments if not s.label.startswith("_")}
    unknown = sorted(name for name in names if label_of(config, name) == BACKGROUND)
    if unknown and len(unknown) == len(names):
        shown = ", ".join(unknown[:8]) + (", ..." if len(unknown) > 8 else "")
        raise ConfigError(
            f"{', '.join(map(str, folders))}: labels {shown} are all unknown to the recognizer, which knows "
            f"{', '.join(config.labels)}; give other data, or begin names of background with '_'"
        )
    return unknown


def _stream(played: Play, events: Sequence[Event], config: RecognizerConfig) -> Stream:
    rate = played.recording.rate
    said = tuple(
        Interval(segment.start / rate, segment.end / rate, label_of(config, segment.label))
        for segment in played.recording.segments
        if label_of(config, segment.label) != BACKGROUND
    )
    detections = [(event.sample, event.body) for event in events if isinstance(event.body, Heard)]
    heard = tuple(
        Interval((body.start - played.margin) / rate, (body.end - played.margin) / rate, body.label)
        for _, body in detections
    )
    decided = tuple((sample - played.margin) / rate for sample, _ in detections)
    return Stream(played.recording, said, heard, decided, match(said, heard))


def _clip(serving: Serving, stream: Stream) -> Clip:
    recognizer = serving.recognizer
    said = posteriors(serving, stream.recording)
    return Clip(
        recording=stream.recording,
        said=stream.said[0].label,
        heard=tuple(interval.label for interval in stream.heard),
        plain=plain_label(said, recognizer.columns),
    )


def plain_label(said: Array, columns: Sequence[str]) -> str:
    """Posteriors (frames, columns) -> the label, background apart, with the highest mean: plain clip classification."""
    labels = [place for place, column in enumerate(columns) if column != BACKGROUND]
    means = said[:, labels].mean(axis=0, dtype=np.float64)
    return columns[labels[int(np.argmax(means))]]


def _frames(serving: Serving, recording: Recording) -> Frames:
    """Each frame whose label is known is judged by its highest posterior."""
    recognizer = serving.recognizer
    said = posteriors(serving, recording)
    truth = frame_labels(recognizer, recording, len(said))
    heard = _best(recognizer, said)
    known = [(label, guess) for label, guess in zip(truth, heard, strict=True) if label]
    return Frames(recording, count_pairs((label for label, _ in known), (guess for _, guess in known)))


def frame_labels(recognizer: Recognizer, recording: Recording, frames: int) -> list[str]:
    """The label that each frame should say, as training has it; "" where nobody knows.

    With targets over the `whole` label it is that of the last sample that the frame has heard; with targets at its
    `end` the frame may take the recognizer's delay to say it.
    """
    names = ["", BACKGROUND, *recognizer.config.labels]
    at_sample = np.zeros(recording.length, np.int64)
    for segment in recording.segments:
        at_sample[segment.start : segment.end] = names.index(label_of(recognizer.config, segment.label))
    late = recognizer.delay if recognizer.config.targets.place == "end" else 0
    last = (np.arange(1, frames + 1) * recognizer.hop - 1 - late) * recording.rate // recognizer.rate
    inside = (last >= 0) & (last < recording.length)
    ids = np.where(inside, at_sample[np.clip(last, 0, recording.length - 1)], 0)
    return [names[place] for place in ids]


def _best(recognizer: Recognizer, said: Array) -> list[str]:
    """The column of the highest posterior; background where any of the labels may hold and none reaches a half."""
    best = said.argmax(axis=1)
    labels = [recognizer.columns[place] for place in best]
    if BACKGROUND in recognizer.columns:
        return labels
    return [label if said[i, best[i]] >= 0.5 else BACKGROUND for i, label in enumerate(labels)]
