"""The mistakes one by one, with path and time, so that people can go and listen: the most confident ones first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from streamrnn.evaluation import metrics
from streamrnn.evaluation.breakdown import UNLABELLED
from streamrnn.evaluation.run import Result, Stream
from streamrnn.evaluation.under import Under

_MOST = 200


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake: `at` counts seconds of the recording; `heard` is "" where nothing was, `noise` where nobody says."""

    kind: Literal["clip", "confused", "false", "missed"]
    path: str
    at: float
    said: str
    heard: str
    score: float
    noise: str


def mistakes(result: Result) -> list[Mistake]:
    """At most 200 of them: what was heard wrongly by falling score, then the words of which nothing was heard."""
    found = [*_of_clips(result), *(mistake for stream in result.streams for mistake in _of_stream(stream))]
    return sorted(found, key=lambda mistake: -mistake.score)[:_MOST]


def _of_clips(result: Result) -> Iterator[Mistake]:
    for clip, word in zip(result.clips, result.words, strict=True):
        if not metrics.clip_is_right(clip.said, clip.heard):
            said, heard, score = word.said[0], ", ".join(clip.heard), max(word.scores, default=0.0)
            noise = Under(word.recording).noise_name(said)
            yield Mistake("clip", _path(word), round(said.start, 3), clip.said, heard, score, noise)


def _of_stream(stream: Stream) -> Iterator[Mistake]:
    path, confused, under = _path(stream), dict(stream.matching.confusions), Under(stream.recording)
    for s in stream.matching.missed:
        word = stream.said[s]
        noise, at = under.noise_name(word), round(word.start, 3)
        if s in confused:
            h = confused[s]
            yield Mistake("confused", path, at, word.label, stream.heard[h].label, stream.scores[h], noise)
        else:
            yield Mistake("missed", path, at, word.label, "", 0.0, noise)
    heard_as_another = set(confused.values())
    for h in stream.matching.false:
        if h not in heard_as_another:
            event = stream.heard[h]
            there, noise = under.segment(event, UNLABELLED), under.noise_name(event)
            yield Mistake("false", path, round(event.start, 3), there, event.label, stream.scores[h], noise)


def _path(stream: Stream) -> str:
    return str(stream.recording.path)
