"""Plays a sample of the recordings twice, in long chunks and in odd ones: the events have to be the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import msgspec

from streamrnn.engine import Serving
from streamrnn.evaluation.playable import Playable
from streamrnn.evaluation.playing import BLOCK_S, Play, play
from streamrnn.events import Event, Heard, same

# Primes, so that no multiple of a hop comes back soon; the first is a single sample at most rates.
ODD_CHUNKS_S = (0.0001, 0.0437, 0.0073, 0.1013, 0.3511, 0.0191)
_RECORDINGS = 12
_LONGEST_S, _FRAMES = 60.0, 4000  # whichever is more


@dataclass(frozen=True, slots=True)
class Invariance:
    """What playing in odd chunks showed: what was played twice, the events of it, and the first difference or ""."""

    recordings: int
    seconds: float
    events: int
    difference: str


def compare_chunks(serving: Serving, recordings: Sequence[Playable]) -> Invariance:
    """Play up to twelve of the recordings, evenly chosen, and of each the first minute, or its first 4000 frames.

    Raises RecordingError.
    """
    longest_s = max(_LONGEST_S, _FRAMES / serving.recognizer.frame_rate)
    events = [recording for recording in recordings if recording.labelled == "events"]
    chosen = events[:: -(-len(events) // _RECORDINGS) or 1]
    plays = [Play(recording, recording.rate // 2, longest_s) for recording in chosen]
    whole = play(serving, plays, BLOCK_S)
    odd = play(serving, plays, ODD_CHUNKS_S)
    differences = (
        difference
        for each, here, there in zip(plays, whole, odd, strict=True)
        for difference in _differences(each.recording.path, here, there)
    )
    return Invariance(
        recordings=len(plays),
        seconds=sum(min(recording.seconds, longest_s) for recording in chosen),
        events=sum(len(each) for each in whole),
        difference=next(differences, ""),
    )


def _differences(path: Path, whole: Sequence[Event], odd: Sequence[Event]) -> list[str]:
    return [
        f"{path}: {_said(here)} in long chunks, {_said(there)} in odd ones"
        for here, there in zip_longest(whole, odd)
        # Streams are numbered, and both times in the same way.
        if here is None or there is None or not same(here, there)
    ]


def _said(event: Event | None) -> str:
    if event is None:
        return "nothing"
    if isinstance(event.body, Heard):
        body = event.body
        return f"{body.label} at {body.start / body.rate:.3f} to {body.end / body.rate:.3f} s, score {body.score:.4f}"
    return msgspec.json.encode(event.body).decode()
