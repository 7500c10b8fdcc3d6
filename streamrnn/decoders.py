"""Posteriors into detections and segments: array folds whose memory is a dict of numpy arrays, dim 0 the stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypeVar

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from streamrnn import operating, registry
from streamrnn.errors import ConfigError
from streamrnn.events import Forecast, Heard, Scored, rounded
from streamrnn.operating import Det
from streamrnn.recognizer import BACKGROUND, Count, NotNegative, Recognizer
from streamrnn.registry import PlugConfig, register

F = TypeVar("F", np.float32, np.float64)
Track = dict[str, NDArray[Any]]
Rows = NDArray[np.int64]
Score = Annotated[float, Meta(gt=0, le=1)]
_THRESHOLDS = ("enter", "leave", "max_false_accepts_per_hour")


@dataclass(frozen=True, slots=True)
class Found:
    """What a decoder found, in frames counted from the stream's begin: run `[start, end)`, and when it was decided."""

    row: int
    kind: str  # "detection" or "segment"
    column: int
    start: int
    end: int
    frame: int  # the frame that brought the decision
    score: float

    def body(self, label: str, start: int, end: int, rate: int) -> Heard | Forecast | Scored:
        """What is told of it, in samples of the source."""
        return Heard(label, start, end, rate, rounded(self.score))


class Decoder(Protocol):
    """A fold over posteriors under the law: `found, track = decoder(posteriors, track)`; arguments are not written.

    After its last word a stream is fed `delay` more frames, and then `finish` says what only the end can close.
    """

    delay: int

    def initial_track(self, batch: int) -> Track:
        """Memory of `batch` streams that have heard nothing."""
        ...

    def __call__(self, posteriors: NDArray[np.float32], track: Track) -> tuple[list[Found], Track]:
        """(batch, frames, columns), track -> what was found, by row and frame, and the track after it."""
        ...

    def finish(self, track: Track) -> list[Found]:
        """What was still open in each row when its stream ended."""
        ...


def build(config: PlugConfig, recognizer: Recognizer) -> Decoder:
    """The decoder that a config describes. Raises ConfigError where it does not fit the recognizer."""
    decoder: Decoder = registry.of(config).load()(config, recognizer)
    return decoder


class SmoothedConfig(PlugConfig, frozen=True):
    """Scores are posteriors averaged over `smooth_ms`; a label enters at one threshold and leaves at a lower one.

    `max_false_accepts_per_hour` above 0 is a budget: `enter` and `leave` are then chosen from what the bundle's DET
    says of each threshold (`settle`), with the same `leave / enter`.
    """

    smooth_ms: NotNegative = 100.0
    enter: Score = 0.5
    leave: Score = 0.3
    min_frames: Count = 1
    max_false_accepts_per_hour: NotNegative = 0.0

    def __post_init__(self) -> None:
        if self.leave > self.enter:
            raise ConfigError(f"leave: {self.leave} is above enter {self.enter}; lower it")


@register("decoder", "streamrnn.decoders:Hysteresis")
class HysteresisConfig(SmoothedConfig, frozen=True, tag="hysteresis"):
    """A detection once a label's score has been at `enter` for `min_frames`; then all is mute for `refractory_ms`."""

    refractory_ms: NotNegative = 300.0


@register("decoder", "streamrnn.decoders:Endpoint")
class EndpointConfig(SmoothedConfig, frozen=True, tag="endpoint"):
    """A detection when the word is over: the label that had most of the posterior while any was heard.

    A word opens at `enter`. It is over when its label's score falls below `leave`, or after `longest_ms`. Words begin
    at least `refractory_ms` apart: labels that rise sooner are doubts about the same word, a later one is the next.
    """

    refractory_ms: NotNegative = 200.0
    longest_ms: NotNegative = 800.0


@register("decoder", "streamrnn.decoders:Segments")
class SegmentsConfig(SmoothedConfig, frozen=True, tag="segments"):
    """A segment for each run of a label, from `enter` until its score has been below `leave` for `hold_ms`.

    It ends where the score fell: pauses shorter than `hold_ms` lie in a segment, a longer one after it does not.
    """

    hold_ms: NotNegative = 0.0


def settle(config: PlugConfig, det: Det) -> PlugConfig:
    """A decoder's config with thresholds that keep its budget, the same if it has none. Raises ConfigError.

    It is refused where the DET was measured with a decoder of other settings, or is no evidence for the budget.
    """
    if not isinstance(config, SmoothedConfig) or not config.max_false_accepts_per_hour:
        return config
    now = beside_thresholds(config)
    for key in sorted({*det.decoder, *now}) if det.points else ():
        before, given = det.decoder.get(key, "nothing"), now.get(key, "nothing")
        if before != given:
            raise ConfigError(
                f"the bundle's DET was measured with {key} {before} and not {given}; "
                f"take {key} out, or measure it anew with streamrnn calibrate"
            )
    point = operating.choose(det, config.max_false_accepts_per_hour)
    return msgspec.structs.replace(config, enter=point.enter, leave=point.leave)


def beside_thresholds(config: SmoothedConfig) -> dict[str, Any]:
    """What a DET depends on beside the thresholds: the kind and all other settings."""
    # As a bundle has them, in which a tuple is a list.
    settings: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(config))
    return {key: value for key, value in settings.items() if key not in _THRESHOLDS}


def summed(values: NDArray[F], tail: NDArray[F]) -> tuple[NDArray[F], NDArray[F]]:
    """(batch, frames, columns), the frames before -> of each frame the sum of it and those, and the tail after it."""
    frames = values.shape[1]
    joined = np.concatenate([tail, values], axis=1)
    # A sum in a fixed order, so that every split gives the same bits.
    sums = joined[:, :frames].copy()
    for i in range(1, tail.shape[1] + 1):
        sums += joined[:, i : i + frames]
    return sums, joined[:, frames:].copy()


class _Smoothed:
    """What the folds share: running means of the posteriors, the count of frames, and rows in which nothing happens."""

    waits = False  # whether something may happen a while after every label has become low

    def __init__(self, config: SmoothedConfig, recognizer: Recognizer) -> None:
        self.enter, self.leave, self.min_frames = config.enter, config.leave, config.min_frames
        self.window = max(1, recognizer.frames(config.smooth_ms))
        self.delay = self.window + config.min_frames
        self.columns = len(recognizer.columns)
        self.labels = np.array([column != BACKGROUND for column in recognizer.columns])

    def initial_track(self, batch: int) -> Track:
        """Memory of `batch` streams that have heard nothing."""
        return {
            "tail": np.zeros((batch, self.window - 1, self.columns), np.float32),
            "frame": np.zeros(batch, np.int64),
            # Of each label: frames in a row at `enter`, when it last rose over `leave`, whether it has been told.
            "run": np.zeros((batch, self.columns), np.int64),
            "rose": np.full((batch, self.columns), -1, np.int64),
            "held": np.zeros((batch, self.columns), np.bool_),
        }

    def finish(self, track: Track) -> list[Found]:
        """Nothing is open that an end could close."""
        return []

    def __call__(self, posteriors: NDArray[np.float32], track: Track) -> tuple[list[Found], Track]:
        """(batch, frames, columns), track -> what was found, by row and frame, and the track after it."""
        frames = posteriors.shape[1]
        scores, tail = summed(posteriors, track["tail"])
        scores *= np.float32(1.0 / self.window) * self.labels
        after = {name: array.copy() for name, array in track.items() if name != "tail"}
        after["tail"] = tail
        loud = np.any(scores >= self.leave, axis=(1, 2)) | self._busy(track)
        found: list[Found] = []
        rows = np.flatnonzero(loud)
        if len(rows):
            self._fold(rows, scores[rows], after, found)
        after["frame"] += frames
        return found, after

    def _busy(self, track: Track) -> NDArray[np.bool_]:
        """(batch,): rows in which something is up or open, so that quiet frames may end it."""
        busy: NDArray[np.bool_] = np.any(track["rose"] >= 0, axis=1)
        return busy

    def _fold(self, rows: Rows, scores: NDArray[Any], track: Track, found: list[Found]) -> None:
        """Go through the frames of the rows in which something may happen, all at once; `track` is ours to write."""
        those = {name: array[rows] for name, array in track.items() if name != "tail"}
        rose, run, first = those["rose"], those["run"], those["frame"]
        over, at_enter = scores >= self.leave, scores >= self.enter
        eventful: NDArray[np.bool_] = np.any(over, axis=(0, 2))
        # Frames in which every label is low, and was, change nothing: neither here nor in a row beside one that is up.
        was = np.concatenate([[bool((rose >= 0).any())], eventful[:-1]])
        for i in np.flatnonzero(eventful | was | self.waits):
            frame, up = first + i, over[:, i]
            np.copyto(rose, frame[:, None], where=up & (rose < 0))
            run += 1
            run *= at_enter[:, i]
            self._frame(rows, frame, scores[:, i], those, found)
            rose[~up] = -1
        del those["frame"]
        for name, array in those.items():
            track[name][rows] = array

    def _frame(self, rows: Rows, frame: Rows, score: NDArray[Any], track: Track, found: list[Found]) -> None:
        """One frame of some rows: which they are, (n,), the number of the frame in each, and (n, columns) of scores."""
        raise NotImplementedError


class Hysteresis(_Smoothed):
    """Detections as early as they can be had: for wake words, one word at a time."""

    def __init__(self, config: HysteresisConfig, recognizer: Recognizer) -> None:
        super().__init__(config, recognizer)
        self.refractory = recognizer.frames(config.refractory_ms)

    def initial_track(self, batch: int) -> Track:
        """Memory of `batch` streams that have heard nothing."""
        return {**super().initial_track(batch), "muted": np.zeros(batch, np.int64)}

    def _frame(self, rows: Rows, frame: Rows, score: NDArray[Any], track: Track, found: list[Found]) -> None:
        held, up = track["held"], score >= self.leave
        held &= up
        ready = (track["run"] >= self.min_frames) & ~held
        for n in np.flatnonzero(ready.any(axis=1) & (frame >= track["muted"])):
            column, now = int(np.argmax(np.where(ready[n], score[n], -1.0))), int(frame[n])
            start, said = int(track["rose"][n, column]), float(score[n, column])
            found.append(Found(int(rows[n]), "detection", column, start, now + 1, now, said))
            track["muted"][n] = now + 1 + self.refractory
            # Every label that is up now belongs to this word; each re-arms when it has fallen.
            held[n] |= up[n]


class Endpoint(_Smoothed):
    """Detections when the word is over and all of it has been weighed: for words that begin alike."""

    def __init__(self, config: EndpointConfig, recognizer: Recognizer) -> None:
        super().__init__(config, recognizer)
        self.refractory = recognizer.frames(config.refractory_ms)
        self.longest = max(1, recognizer.frames(config.longest_ms))
        self.delay += self.longest

    def initial_track(self, batch: int) -> Track:
        """Memory of `batch` streams that have heard nothing."""
        return {
            **super().initial_track(batch),
            "open": np.full(batch, -1, np.int64),
            "before": np.full(batch, -(2**40), np.int64),
            "mass": np.zeros((batch, self.columns), np.float64),
            "leader": np.full(batch, -1, np.int64),
        }

    def _frame(self, rows: Rows, frame: Rows, score: NDArray[Any], track: Track, found: list[Found]) -> None:
        mass, held, opened, leader = (track[name] for name in ("mass", "held", "open", "leader"))
        held &= score >= self.leave
        ready = (track["run"] >= self.min_frames) & ~held
        for n in np.flatnonzero((opened < 0) & ready.any(axis=1)):
            leader[n] = np.argmax(np.where(ready[n], score[n], -1.0))
            opened[n] = track["rose"][n, leader[n]]
            mass[n] = 0.0
        there = np.flatnonzero(opened >= 0)
        mass[there] += score[there]
        leads = np.argmax(mass[there], axis=1)
        over = (score[there, leads] < self.leave) & (score[there, leader[there]] < self.leave)
        over |= frame[there] + 1 - opened[there] >= self.longest
        for n, most in zip(there[over], leads[over], strict=True):
            begun, now = int(opened[n]), int(frame[n])
            if begun - int(track["before"][n]) >= self.refractory:
                said = float((mass[n] / mass[n].sum())[most])
                found.append(Found(int(rows[n]), "detection", int(most), begun, now + 1, now, said))
            opened[n] = -1
            track["before"][n] = begun
            held[n] |= (score[n] >= self.leave) & (track["rose"][n] < begun + self.refractory)


class Segments(_Smoothed):
    """Runs of labels, each from its start to its end: for activities, machine states, and whether anybody speaks."""

    def __init__(self, config: SegmentsConfig, recognizer: Recognizer) -> None:
        super().__init__(config, recognizer)
        self.hold = recognizer.frames(config.hold_ms)
        self.waits = self.hold > 0

    def initial_track(self, batch: int) -> Track:
        """Memory of `batch` streams that have heard nothing."""
        return {
            **super().initial_track(batch),
            # Of each label: where its segment began, where its score fell, the sum of its scores, and that until then.
            "opened": np.full((batch, self.columns), -1, np.int64),
            "fell": np.full((batch, self.columns), -1, np.int64),
            "mass": np.zeros((batch, self.columns), np.float64),
            "until": np.zeros((batch, self.columns), np.float64),
        }

    def _busy(self, track: Track) -> NDArray[np.bool_]:
        busy: NDArray[np.bool_] = super()._busy(track) | np.any(track["held"], axis=1)
        return busy

    def _frame(self, rows: Rows, frame: Rows, score: NDArray[Any], track: Track, found: list[Found]) -> None:
        held, rose, opened, fell = (track[name] for name in ("held", "rose", "opened", "fell"))
        mass, until = track["mass"], track["until"]
        held |= track["run"] >= self.min_frames
        begins = held & (opened < 0)
        opened[begins] = rose[begins]
        mass += np.where(held | (rose >= 0), score, 0.0)
        low = score < self.leave
        fell[~low] = -1
        falls = held & low & (fell < 0)
        np.copyto(fell, frame[:, None], where=falls)
        until[falls] = mass[falls]
        over = held & low & (frame[:, None] - fell >= self.hold)
        for n, column in np.argwhere(over):
            found.append(self._segment(int(rows[n]), int(frame[n]), int(column), {k: v[n] for k, v in track.items()}))
        held &= ~over
        opened[over], fell[over] = -1, -1
        mass[low & ~held] = 0.0

    def finish(self, track: Track) -> list[Found]:
        """The segments that are still open end with the stream, or where their score fell before it."""
        return [
            self._segment(int(row), int(track["frame"][row]), int(column), {k: v[row] for k, v in track.items()})
            for row, column in np.argwhere(track["held"])
        ]

    def _segment(self, row: int, frame: int, column: int, track: Track) -> Found:
        """What was found in a row, of which this is the track."""
        start, fell = int(track["opened"][column]), int(track["fell"][column])
        end, mass = (fell, track["until"]) if fell >= 0 else (frame, track["mass"])
        # The score that ended it is low and is in the mass: a small error on the safe side.
        mean = min(1.0, float(mass[column]) / max(1, end - start))
        return Found(row, "segment", column, start, end, frame, mean)
