"""How labels of samples, windows and instants are judged: by hand, on posteriors that are written down."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tones import HOP, RATE, recognizer

from streamrnn import decoders
from streamrnn.backends import Array, ArrayState
from streamrnn.chunk import Samples
from streamrnn.decoders import SegmentsConfig
from streamrnn.engine import Serving
from streamrnn.evaluation import starts, windows
from streamrnn.evaluation.matching import Interval, match
from streamrnn.evaluation.playable import Segment
from streamrnn.evaluation.recordings import Recording
from streamrnn.evaluation.report import lines, report
from streamrnn.evaluation.run import Stream, evaluate, label_at_samples
from streamrnn.recognizer import BACKGROUND, TargetsConfig
from streamrnn.targets import Span, targets

# Of each value of a frame's last sample the posteriors (background, low, high): a network that hears what is there.
SAID = np.array([[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]], np.float32)


def served(config: TargetsConfig) -> Serving:
    made = recognizer()
    decoder = SegmentsConfig(smooth_ms=1000 * HOP / RATE, enter=0.5, leave=0.5)
    made = msgspec.structs.replace(
        made, config=msgspec.structs.replace(made.config, targets=config, decoder=decoder), delay=0
    )

    def step(x: Samples, state: ArrayState) -> tuple[Array, ArrayState]:
        return SAID[np.rint(x[:, HOP - 1 :: HOP, 0]).astype(int) % 3], state

    initial = {"none": np.zeros((1, 1), np.float32)}
    return Serving("tones", "sha", made, step, initial, decoders.build(decoder, made))


def recorded(folder: Path, values: np.ndarray, segments: tuple[Segment, ...], labelled: str = "samples") -> Recording:
    path = folder / "r.npz"
    np.savez(path, x=values.astype(np.float32)[:, None], fs=RATE)
    return Recording(path, RATE, 1, "", "", segments, (0, len(values)), labelled)  # type: ignore[arg-type]


def test_a_window_is_answered_by_the_frame_that_ends_it_and_counts_if_it_is_of_one_label(tmp_path: Path) -> None:
    values = np.repeat([1, 2, 1, 0], [8 * HOP, 8 * HOP, 4 * HOP, 4 * HOP])
    segments = (
        Segment(0, 8 * HOP, "low"),
        Segment(8 * HOP, 18 * HOP, "high"),  # the last two frames of it are heard as low
        Segment(18 * HOP, 20 * HOP, "_between"),
    )
    recording = recorded(tmp_path, values, segments)
    found = windows.judged(served(TargetsConfig()), [recording], windows.Windows(4 * HOP, 2 * HOP))
    # Ends of windows of low: 4, 6, 8; of high: 12, 14, 16, 18, of which the last is wrong. None of background.
    assert found["windows"]["confusion"] == [["high", "high", 3], ["high", "low", 1], ["low", "low", 3]]
    assert found["window_accuracy"] == pytest.approx(6 / 7)
    assert "windows right" in windows.lines(found)[0]
    assert (
        windows.lines({})
        == []
        == windows.lines(windows.judged(served(TargetsConfig()), [recording], windows.Windows(99 * HOP, 1)))
    )


@given(st.lists(st.tuples(st.integers(1, 60), st.sampled_from(["low", "high", "_x", ""])), min_size=1), st.data())
def test_windows_are_those_of_one_label_by_brute_force(parts: list[tuple[int, str]], data: st.DataObject) -> None:
    size, hop = data.draw(st.integers(1, 50)), data.draw(st.integers(1, 30))
    segments, at = [], 0
    for length, label in parts:
        if label:
            segments.append(Segment(at, at + length, label))
        at += length
    recording = Recording(Path("r"), RATE, 1, "", "", tuple(segments), (0, at), "samples")
    labels = label_at_samples(recognizer(), recording)
    cut = [(start + size, set(labels[start : start + size])) for start in range(0, at - size + 1, hop)]
    expected = [(end, *those) for end, those in cut if len(those) == 1 and not those & {"", BACKGROUND}]
    assert list(windows.ends(recording, labels, windows.Windows(size, hop))) == expected


INSTANT = TargetsConfig(place="instant", before_ms=2000 * HOP / RATE, after_ms=3000 * HOP / RATE)


def test_a_beat_is_answered_by_the_frame_that_is_out_when_its_label_is_due(tmp_path: Path) -> None:
    # Beats at the begin of frames 1, 5 and 9; due three frames later, when 3, 7 and 11 are the last that are out.
    beats = tuple(Segment(f * HOP, f * HOP + 1, label) for f, label in ((1, "low"), (5, "high"), (9, "low")))
    values = np.repeat([0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2, 0], HOP)
    recording = recorded(tmp_path, values, beats, "events")
    served_beats = served(INSTANT)
    result = evaluate(served_beats, [recording])
    assert dict(result.frames[0].confusion) == {("low", "low"): 1, ("high", "high"): 1, ("low", "high"): 1}
    document = report(result, served_beats, "", ())
    assert document["labels"]["low"]["f1"] == pytest.approx(2 / 3)
    assert "miss_rate" not in document
    assert any("F1 of low" in line for line in lines(document))
    # What would be due after the recording is asked of nobody.
    short = recorded(tmp_path, values[: 11 * HOP], beats, "events")
    assert sum(evaluate(served_beats, [short]).frames[0].confusion.values()) == 2


@given(st.lists(st.integers(0, 20 * HOP), min_size=1, max_size=5), st.integers(10, 30))
def test_at_instants_the_frame_that_is_asked_is_one_that_was_taught(beats: list[int], frames: int) -> None:
    made = served(INSTANT).recognizer
    target, teaches = targets(made, frames, [Span(beat, beat + 1, 0) for beat in beats])
    asked = [beat // HOP + 3 - 1 for beat in beats]
    for frame in asked:
        if frame < frames:
            assert teaches[frame] == 1
            assert target[frame, 0] == 1
    assert teaches.sum() <= 2 * len(beats)
    assert np.array_equal(target[:, 0], teaches)


def interval(start: float, label: str = "a") -> Interval:
    return Interval(start, start + 5, label)


TIMES = st.lists(st.floats(0, 60), max_size=8)


@given(TIMES, TIMES, st.floats(0.1, 5))
def test_starts_are_paired_once_each_in_time_as_often_as_can_be(a: list[float], b: list[float], reach: float) -> None:
    said, heard = [interval(t) for t in a], [interval(t) for t in b]
    found = starts.pairs(said, heard, reach)
    assert len({s for s, _ in found}) == len({h for _, h in found}) == len(found)
    assert all(abs(said[s].start - heard[h].start) <= reach + 1e-9 for s, h in found)
    # No pair is left over: whoever is alone has no neighbour who is alone as well.
    alone = [t for i, t in enumerate(a) if i not in {s for s, _ in found}]
    others = [t for i, t in enumerate(b) if i not in {h for _, h in found}]
    assert not [(s, h) for s in alone for h in others if abs(s - h) <= reach - 1e-9]


def stream(said: list[Interval], heard: list[Interval], known: tuple[Segment, ...]) -> Stream:
    recording = Recording(Path("r"), 10, 1, "", "", known, (0, 1000), "samples")
    return Stream(recording, tuple(said), tuple(heard), (), match(said, heard))


def test_segments_that_begin_in_time_are_hits_and_what_nobody_knows_counts_for_nothing() -> None:
    known = (Segment(0, 300, "a"), Segment(500, 1000, "b"))
    said = [interval(0, "a"), interval(60, "b")]
    heard = [interval(1.5, "a"), interval(63, "b"), interval(40, "a"), interval(80, "b")]
    found = starts.judged([stream(said, heard, known)])
    # The first is a hit, the second 3 s late, the third where nobody knows, the last false.
    assert found["segments"]["labels"]["a"] == {"said": 1, "heard": 1, "hits": 1, "f1": 1.0}
    assert found["segments"]["labels"]["b"] == {"said": 1, "heard": 2, "hits": 0, "f1": 0.0}
    assert found["segment_f1"] == pytest.approx(2 * 1 / (3 + 2))
    assert found["segments"]["start_delay_s"]["p50"] == pytest.approx(1.5)
    assert starts.judged([]) == {} == starts.judged([stream([], heard, known)])


def test_labelled_samples_are_played_to_the_decoder_of_segments(tmp_path: Path) -> None:
    values = np.repeat([1, 2, 1], [200 * HOP, 300 * HOP, 200 * HOP])
    segments = tuple(
        Segment(a * HOP, b * HOP, label) for a, b, label in ((0, 200, "low"), (200, 500, "high"), (500, 700, "low"))
    )
    serving = served(TargetsConfig())
    document = report(evaluate(serving, [recorded(tmp_path, values, segments)]), serving, "", ())
    assert document["segment_f1"] == 1.0
    assert document["segments"]["labels"]["low"]["said"] == 2
    assert abs(document["segments"]["start_delay_s"]["p99"]) < 0.05
    assert any("F1 of segments" in line for line in lines(document))


def test_a_stage_of_segments_is_not_asked_of_detections(tmp_path: Path) -> None:
    serving = served(TargetsConfig())
    config = msgspec.structs.replace(serving.recognizer.config, decoder=recognizer().config.decoder)
    made = msgspec.structs.replace(serving.recognizer, config=config)
    serving = dataclasses.replace(serving, recognizer=made, decoder=decoders.build(config.decoder, made))
    recording = recorded(tmp_path, np.ones(20 * HOP), (Segment(0, 20 * HOP, "low"),))
    assert evaluate(serving, [recording]).labelled == ()
