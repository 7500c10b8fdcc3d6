"""Confusions: how often what was said was heard as what, in clips, in streams and in frames."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from streamrnn.evaluation.metrics import Confusion
from streamrnn.evaluation.run import Clip, Frames, Result, Stream

NOTHING, SEVERAL = "(nothing)", "(several)"


def confusions(result: Result) -> dict[str, dict[str, dict[str, int]]]:
    """Of "clips", "streams" and "frames", as far as they were judged: what was said -> what was heard -> how often."""
    all_of_them = {
        "clips": of_clips(result.clips),
        "streams": of_streams(result.streams),
        "frames": of_frames(result.frames),
    }
    return {name: _nested(confusion) for name, confusion in all_of_them.items() if confusion}


def of_clips(clips: Iterable[Clip]) -> Counter[tuple[str, str]]:
    """A clip counts once: heard is its only detection, nothing, or several."""
    return Counter(
        (clip.said, clip.heard[0] if len(clip.heard) == 1 else SEVERAL if clip.heard else NOTHING) for clip in clips
    )


def of_streams(streams: Iterable[Stream]) -> Counter[tuple[str, str]]:
    """A word counts once, and so does what was heard where nothing was said."""
    pairs: Counter[tuple[str, str]] = Counter()
    for stream in streams:
        matching = stream.matching
        paired = (*matching.hits, *matching.confusions)
        pairs.update((stream.said[s].label, stream.heard[h].label) for s, h in paired)
        said, heard = {s for s, _ in paired}, {h for _, h in paired}
        pairs.update((interval.label, NOTHING) for s, interval in enumerate(stream.said) if s not in said)
        pairs.update((NOTHING, interval.label) for h, interval in enumerate(stream.heard) if h not in heard)
    return pairs


def of_frames(frames: Iterable[Frames]) -> Counter[tuple[str, str]]:
    """A frame whose label is known counts once."""
    total: Counter[tuple[str, str]] = Counter()
    for each in frames:
        total.update(each.confusion)
    return total


def _nested(confusion: Confusion) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = defaultdict(dict)
    for (said, heard), count in sorted(confusion.items()):
        nested[said][heard] = count
    return dict(nested)
