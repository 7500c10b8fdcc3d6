"""Judges a bundle on labelled recordings: clips by the clip rule, streams by their events, sensors frame by frame."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamrnn.backends import Array, ArrayState
from streamrnn.decoders import SegmentsConfig
from streamrnn.engine import Serving
from streamrnn.errors import ConfigError, RecordingError
from streamrnn.evaluation.matching import Interval, Matching, match, match_alarms
from streamrnn.evaluation.metrics import count_pairs
from streamrnn.evaluation.norms import Norms
from streamrnn.evaluation.playable import Playable
from streamrnn.evaluation.playing import BLOCK_S, Play, check_channels, play, posteriors
from streamrnn.evaluation.recordings import Recording
from streamrnn.evaluation.reliability import Reliability, reliability, taught
from streamrnn.events import Event, Heard
from streamrnn.recognizer import BACKGROUND, Recognizer, RecognizerConfig, label_of
from streamrnn.watching import WatchConfig

# A recording of one word and at most this long is a clip; a longer one is a stream with a word in it.
_LONGEST_CLIP_S = 10.0
# The clip rule: a clip is played with this much silence before and after it.
_MARGIN_S = 0.5
# So much of the streams, in their order, is looked at frame by frame: posteriors of eight hours tell no more. Frames
# that are a minute apart have nothing to do with one another: intervals come from minutes (Künsch 1989).
_RELIABILITY_S = 3600.0
_BLOCK_S = 60.0


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording of one label: the labels of what was detected in it, and the label of its highest mean posterior."""

    recording: Playable
    said: str
    heard: tuple[str, ...]
    plain: str


@dataclass(frozen=True, slots=True)
class Stream:
    """What was said and heard in a recording, in seconds of it; when each event was decided, and with what score.

    `sources` names what each word was taken from, "" where nobody says. `until` is when the stream ended, with the
    silence that follows a clip. `norms` are those of the hidden state, every few seconds. Of alarms `heard` has what
    was told at once, and `extents` how far each was seen to reach in the end. `due` is from when on the delay of
    each word counts: when it ends, which is what none means, and of an anomaly when it begins.
    """

    recording: Playable
    said: tuple[Interval, ...]
    heard: tuple[Interval, ...]
    decided: tuple[float, ...]
    matching: Matching
    scores: tuple[float, ...] = ()
    sources: tuple[str, ...] = ()
    until: float = math.inf
    norms: Norms = field(default_factory=Norms)
    extents: tuple[Interval, ...] = ()
    due: tuple[float, ...] = ()

    @property
    def delays(self) -> list[float]:
        """Seconds of the stream from when each word that was hit was `due` to when the event could be known.

        Words are left out that only the end of the stream decided: how long they would have taken nobody knows.
        """
        due = self.due or tuple(each.end for each in self.said)
        return [self.decided[h] - due[s] for s, h in self.matching.hits if self.decided[h] < self.until - 1e-9]


@dataclass(frozen=True, slots=True)
class Frames:
    """A recording whose samples are labelled: how often which label was the highest posterior where which one held."""

    recording: Playable
    confusion: Counter[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Result:
    """All that a bundle was judged on: words are the clips as streams as well, `streams` are the others.

    `labelled` are recordings whose samples are labelled, as a decoder of segments hears them. `reliability` has the
    frames that teach, minute by minute of each recording: of clips, of labelled samples, and of the first hour of the
    streams.
    """

    clips: tuple[Clip, ...]
    words: tuple[Stream, ...]
    streams: tuple[Stream, ...]
    frames: tuple[Frames, ...]
    reliability: tuple[Reliability, ...] = ()
    labelled: tuple[Stream, ...] = ()


def evaluate(
    serving: Serving,
    recordings: Sequence[Playable],
    *,
    chunk_s: float = BLOCK_S,
    ended: Callable[[Playable], None] = lambda recording: None,
    heard_s: Callable[[float], object] = lambda seconds: None,
) -> Result:
    """Play every recording through the engine and judge it; `ended` is told of each, `heard_s` of seconds of them.

    Raises RecordingError where samples cannot be read or do not fit the bundle.
    """
    config = serving.recognizer.config
    # Before a word is silence; before a state of a body or a machine is another one, and zeros would be a third.
    margin_s = 0.0 if isinstance(config.decoder, (SegmentsConfig, WatchConfig)) else _MARGIN_S
    for recording in recordings:
        check_channels(serving, recording)
    by_sample = [recording for recording in recordings if recording.labelled == "samples"]
    at_instants = config.targets.place == "instant"
    by_event = [] if at_instants else [recording for recording in recordings if recording.labelled == "events"]
    plays = [
        Play(recording, round(margin_s * recording.rate) if is_clip(recording, config) else 0) for recording in by_event
    ]
    norms = [Norms() for _ in plays]

    def look(place: int, seconds: float, state: ArrayState) -> None:
        norms[place].add(seconds - plays[place].margin / plays[place].recording.rate, state)

    heard = play(serving, plays, chunk_s, lambda each: ended(each.recording), heard_s, look=look)
    judged = [judge(*each, config) for each in zip(plays, heard, norms, strict=True)]
    words = [stream for stream in judged if is_clip(stream.recording, config)]
    streams = [stream for stream in judged if not is_clip(stream.recording, config)]
    clips, frames = [], []
    reliable: list[Reliability] = []
    for word in words:
        said = posteriors(serving, word.recording)
        clips.append(_clip(serving.recognizer, word, said))
        # A state that has heard nothing means nothing yet: here too the silence of the clip rule stands before it.
        margin = round(margin_s * word.recording.rate)
        padded = posteriors(serving, word.recording, margin=margin)
        reliable.extend(_reliability(serving.recognizer, word.recording, padded, margin))
    for recording in recordings if at_instants else by_sample:
        said = posteriors(serving, recording)
        judge_frames = _instants if at_instants else _frames
        frames.append(judge_frames(serving.recognizer, recording, said))
        reliable.extend(_reliability(serving.recognizer, recording, said))
        ended(recording)
    left_s = _RELIABILITY_S
    for stream in streams:
        if left_s > 0:
            said = posteriors(serving, stream.recording, left_s)
            reliable.extend(_reliability(serving.recognizer, stream.recording, said))
            left_s -= stream.recording.seconds
    return Result(
        clips=tuple(clips),
        words=tuple(words),
        streams=tuple(streams),
        frames=tuple(frames),
        labelled=_segmented(serving, by_sample, chunk_s),
        reliability=tuple(each for each in reliable if each.all_frames.any()),
    )


def _segmented(serving: Serving, recordings: Sequence[Playable], chunk_s: float) -> tuple[Stream, ...]:
    """Recordings whose samples are labelled, played to a decoder that says from when to when a label holds."""
    config = serving.recognizer.config
    if not isinstance(config.decoder, SegmentsConfig):
        return ()
    plays = [Play(recording, 0) for recording in recordings]
    heard = play(serving, plays, chunk_s)
    return tuple(judge(each, events, Norms(), config) for each, events in zip(plays, heard, strict=True))


def is_clip(recording: Playable, config: RecognizerConfig) -> bool:
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


def said_in(recording: Playable, config: RecognizerConfig) -> tuple[Interval, ...]:
    """The words of a recording that the recognizer knows, by their published labels, in seconds of it."""
    named = ((segment, label_of(config, segment.label)) for segment in recording.segments)
    rate = recording.rate
    return tuple(Interval(s.start / rate, s.end / rate, label) for s, label in named if label != BACKGROUND)


def judge(played: Play, events: Sequence[Event], norms: Norms, config: RecognizerConfig) -> Stream:
    """What was heard in a recording that was played, against what was said in it."""
    rate, said = played.recording.rate, said_in(played.recording, config)
    words = [segment for segment in played.recording.segments if label_of(config, segment.label) != BACKGROUND]
    bodies = [(event.kind, event.sample, event.body) for event in events if isinstance(event.body, Heard)]
    alarms = isinstance(config.decoder, WatchConfig)
    # An alarm is told when it is raised and, as a segment, when it is over.
    detections = [(sample, body) for kind, sample, body in bodies if not alarms or kind == "alarm"]
    heard, extents = (
        tuple(
            Interval((body.start - played.margin) / rate, (body.end - played.margin) / rate, body.label)
            for body in those
        )
        for those in (
            [body for _, body in detections],
            [body for kind, _, body in bodies if alarms and kind == "segment"],
        )
    )
    decided = tuple((sample - played.margin) / rate for sample, _ in detections)
    scores = tuple(body.score for _, body in detections)
    return Stream(
        recording=played.recording,
        said=said,
        heard=heard,
        decided=decided,
        matching=match_alarms(said, heard) if alarms else match(said, heard),
        scores=scores,
        sources=tuple(word.source for word in words),
        until=(played.recording.length + played.margin) / rate,
        norms=norms,
        extents=extents,
        due=tuple(each.start if alarms else each.end for each in said),
    )


def _reliability(recognizer: Recognizer, recording: Playable, said: Array, margin: int = 0) -> Iterator[Reliability]:
    target, teaches = taught(recognizer, recording, len(said), margin)
    block = max(1, round(_BLOCK_S * recognizer.frame_rate))
    for start in range(0, len(said), block):
        those = slice(start, start + block)
        yield reliability(recognizer, said[those], target[those], teaches[those])


def _clip(recognizer: Recognizer, stream: Stream, said: Array) -> Clip:
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


def _frames(recognizer: Recognizer, recording: Playable, said: Array) -> Frames:
    """Each frame whose label is known is judged by its highest posterior."""
    truth = frame_labels(recognizer, recording, len(said))
    heard = best(recognizer, said)
    known = [(label, guess) for label, guess in zip(truth, heard, strict=True) if label]
    return Frames(recording, count_pairs((label for label, _ in known), (guess for _, guess in known)))


def _instants(recognizer: Recognizer, recording: Playable, said: Array) -> Frames:
    """Each labelled instant is judged by the last frame that is out when its label is due."""
    config, heard = recognizer.config, best(recognizer, said)
    pairs = Counter[tuple[str, str]]()
    for segment in recording.segments:
        due = segment.start / recording.rate + config.targets.after_ms / 1000.0
        frame = math.floor(due * recognizer.rate / recognizer.hop + 1e-6) - 1
        # What the recording is too short to say nobody can be asked.
        if 0 <= frame < len(heard) and due <= recording.seconds:
            pairs[label_of(config, segment.label), heard[frame]] += 1
    return Frames(recording, pairs)


def frame_labels(recognizer: Recognizer, recording: Playable, frames: int) -> list[str]:
    """The label that each frame should say, as training has it; "" where nobody knows.

    With targets over the `whole` label it is that of the last sample that the frame has heard; with targets at its
    `end` the frame may take the recognizer's delay to say it.
    """
    names = ["", BACKGROUND, *recognizer.config.labels]
    at_sample = _ids_at_samples(recognizer, recording, names)
    late = recognizer.delay if recognizer.config.targets.place == "end" else 0
    last = (np.arange(1, frames + 1) * recognizer.hop - 1 - late) * recording.rate // recognizer.rate
    inside = (last >= 0) & (last < recording.length)
    ids = np.where(inside, at_sample[np.clip(last, 0, recording.length - 1)], 0)
    return [names[place] for place in ids]


def label_at_samples(recognizer: Recognizer, recording: Playable) -> list[str]:
    """The label of every sample of a recording; "" where nobody knows."""
    names = ["", BACKGROUND, *recognizer.config.labels]
    return [names[place] for place in _ids_at_samples(recognizer, recording, names)]


def _ids_at_samples(recognizer: Recognizer, recording: Playable, names: Sequence[str]) -> NDArray[np.int64]:
    at_sample = np.zeros(recording.length, np.int64)
    for segment in recording.segments:
        at_sample[segment.start : segment.end] = names.index(label_of(recognizer.config, segment.label))
    return at_sample


def best(recognizer: Recognizer, said: Array) -> list[str]:
    """The column of the highest posterior; background where any of the labels may hold and none reaches a half."""
    highest = said.argmax(axis=1)
    labels = [recognizer.columns[place] for place in highest]
    if BACKGROUND in recognizer.columns:
        return labels
    return [label if said[i, highest[i]] >= 0.5 else BACKGROUND for i, label in enumerate(labels)]
