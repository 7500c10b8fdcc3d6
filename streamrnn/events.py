"""What streamrnn says of a stream: frozen events, and the JSON they are on the wire (schema version 1)."""

from __future__ import annotations

import hashlib
from typing import Annotated

import msgspec
from msgspec import Meta

SCHEMA = 1
KINDS = (
    "detection",
    "segment",
    "partial",
    "score",
    "forecast",
    "alarm",
    "status",
    "heartbeat",
    "gap",
    "hello",
    "bye",
)


class BundleRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which bundle speaks: its name and the sha256 of its contents, in hexadecimal.

    A `shadow` is on trial beside the one that serves, and not to be acted upon.
    """

    name: str
    sha: str
    shadow: bool = False


class Channel(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One channel of what a bundle takes: what it is called, and in which unit it is."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    unit: Annotated[str, Meta(max_length=32)] = ""


class Heard(msgspec.Struct, frozen=True):
    """A detection or segment: a label from `start` to `end`, in samples of the source at `rate` Hz, with its score."""

    label: str
    start: int
    end: int
    rate: int
    score: float


class Blame(msgspec.Struct, frozen=True):
    """A channel, by its number, in an alarm: what was expected, what was seen, and how many deviations lie between."""

    channel: int
    expected: float
    seen: float
    sigma: float


class Alarm(Heard, frozen=True):
    """Something unexpected, from where it was first seen to where it was told; the channels, the least expected first.

    Of sigmas `s` beyond what is usual the score is `s / (s + 5)`.
    """

    channels: tuple[Blame, ...] = ()


class Expected(msgspec.Struct, frozen=True):
    """A channel, by its number, in a forecast: a Gaussian."""

    channel: int
    value: float
    deviation: float


class Forecast(msgspec.Struct, frozen=True):
    """What is expected `ahead` samples after those of `[start, end)`, channel by channel."""

    label: str
    start: int
    end: int
    rate: int
    ahead: int
    channels: tuple[Expected, ...]


class Scored(msgspec.Struct, frozen=True):
    """How unexpected the samples `[start, end)` are: the score that an alarm is decided by."""

    label: str
    start: int
    end: int
    rate: int
    score: float


class Lost(msgspec.Struct, frozen=True):
    """Samples `[start, end)` of the source that were never heard, and why."""

    start: int
    end: int
    rate: int
    reason: str


class Event(msgspec.Struct, frozen=True):
    """What the engine says: `sample` counts the source samples heard when it was decided; no clock is in it.

    `epoch` grows whenever the stream's memory was lost; `id` names an event of a recording or
    of one counting of a stream, so that one that is sent again is known as the same.
    """

    kind: str
    stream: str
    bundle: BundleRef
    epoch: int
    sample: int
    rate: int
    readiness: str
    id: str
    body: Heard | Forecast | Scored | Lost


def identity(kind: str, body: Heard | Forecast | Scored) -> str:
    """What names an event beside where it begins: its label; with the kind where one of another begins there too."""
    return body.label if kind in ("detection", "segment") else f"{kind} {body.label}"


def event_id(stream: str, sha: str, epoch: int, label: str, start: int) -> str:
    """The name of an event, the same each time it is told: 16 hexadecimal digits of what identifies it."""
    text = "\0".join((stream, sha, str(epoch), label, str(start)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def gap_event(stream: str, bundle: BundleRef, lost: Lost, *, epoch: int, sample: int, readiness: str) -> Event:
    """The event that tells of lost samples, decided at source sample `sample`."""
    # With its end: two gaps may begin at one sample, as those of a daemon that was killed twice do.
    name = event_id(stream, bundle.sha, epoch, f"{lost.reason} {lost.end}", lost.start)
    return Event("gap", stream, bundle, epoch, sample, lost.rate, readiness, name, lost)


def rounded(score: float) -> float:
    """A score as it is published: to 1e-4."""
    return round(float(score), 4)


def same(left: Event, right: Event) -> bool:
    """The law's "the same event": same kind, label and sample indices, scores within 1e-4."""
    a, b = left.body, right.body
    if (left.kind, left.stream, left.epoch) != (right.kind, right.stream, right.epoch):
        return False
    if isinstance(a, Heard) and isinstance(b, Heard):
        within = abs(a.score - b.score) < 2.5e-4  # within 1e-4, then each rounded to 1e-4
        return (a.label, a.start, a.end, a.rate) == (b.label, b.start, b.end, b.rate) and within
    if isinstance(a, Scored) and isinstance(b, Scored):
        return (a.label, a.start, a.end, a.rate) == (b.label, b.start, b.end, b.rate) and abs(
            a.score - b.score
        ) < 2.5e-4
    if isinstance(a, Forecast) and isinstance(b, Forecast):
        placed = (a.label, a.start, a.end, a.rate, a.ahead) == (b.label, b.start, b.end, b.rate, b.ahead)
        return placed and len(a.channels) == len(b.channels) and all(map(_near, a.channels, b.channels))
    return a == b


def _near(left: Expected, right: Expected) -> bool:
    """Within a thousandth of the deviation."""
    apart = max(abs(left.value - right.value), abs(left.deviation - right.deviation))
    return left.channel == right.channel and apart <= 1e-3 * max(left.deviation, right.deviation) + 1e-6
