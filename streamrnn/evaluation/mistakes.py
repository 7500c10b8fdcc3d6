"""The mistakes one by one, with path and time, so that people can go and listen: the most confident ones first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from streamrnn.evaluation import metrics
from streamrnn.evaluation.breakdown import UNLABELLED, noise_under, segment_under
from streamrnn.evaluation.run import Result, Stream

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
            yield Mistake("clip", _path(word), round(said.start, 3), clip.said, heard, score, noise_under(word, said))


def _of_stream(stream: Stream) -> Iterator[Mistake]:
    path, confused = _path(stream), dict(stream.matching.confusions)
    for s in stream.matching.missed:
        word = stream.said[s]
        noise, at = noise_under(stream, word), round(word.start, 3)
        if s in confused:
            h = confused[s]
            yield Mistake("confused", path, at, word.label, stream.heard[h].label, stream.scores[h], noise)
        else:
            yield Mistake("missed", path, at, word.label, "", 0.0, noise)
    for h in stream.matching.false:
        if h not in confused.values():
            event = stream.heard[h]
            under, noise = segment_under(stream, event, UNLABELLED), noise_under(stream, event)
            yield Mistake("false", path, round(event.start, 3), under, event.label, stream.scores[h], noise)


def _path(stream: Stream) -> str:
    return str(stream.recording.path)
