"""Figures part by part: noises, sources, hours and mistakes of streams that are made up, where all of it is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.evaluation import breakdown, material, mistakes
from streamrnn.evaluation.matching import Interval, match
from streamrnn.evaluation.playable import Noise, Segment
from streamrnn.evaluation.recordings import Recording
from streamrnn.evaluation.run import Result, Stream

RATE = 100


def stream(
    seconds: float,
    said: Sequence[tuple[float, str, str]],
    heard: Sequence[tuple[float, str]],
    noises: Sequence[tuple[float, float, str, float]] = (),
    talk: Sequence[tuple[float, float, str]] = (),
) -> Stream:
    """Words of a tenth of a second (place, label, source), what was heard, noises, and talk (start, end, source)."""
    words = [Segment(round(at * RATE), round(at * RATE) + 10, label, source) for at, label, source in said]
    background = [Segment(round(a * RATE), round(b * RATE), "_speech", source) for a, b, source in talk]
    segments = tuple(sorted((*words, *background), key=lambda segment: segment.start))
    under = tuple(Noise(round(a * RATE), round(b * RATE), name, snr) for a, b, name, snr in noises)
    length = round(seconds * RATE)
    recording = Recording(Path("talk.wav"), RATE, 1, "", "", segments, (0, length), "events", under)
    truth = tuple(Interval(word.start / RATE, word.end / RATE, word.label) for word in words)
    events = tuple(Interval(at, at + 0.1, label) for at, label in heard)
    return Stream(
        recording=recording,
        said=truth,
        heard=events,
        decided=tuple(event.end + 0.2 for event in events),
        matching=match(truth, events),
        scores=tuple(0.5 + 0.01 * place for place in range(len(events))),
        sources=tuple(source for _, _, source in said),
        until=seconds,
    )


def result(*streams: Stream) -> Result:
    return Result((), (), streams, ())


def test_each_noise_has_its_own_misses_and_false_accepts() -> None:
    noises = [(0, 60, "", math.inf), (60, 120, "fan", 5.0)]
    said = [(at, "a", "") for at in (10.0, 30.0, 70.0, 90.0, 150.0)]
    made = stream(180, said, [(10, "a"), (30, "a"), (100, "a")], noises)
    found = breakdown.noises(result(made))
    assert list(found) == ["no noise", "fan at 5 dB"]
    assert (found["no noise"]["miss_rate"]["count"], found["no noise"]["miss_rate"]["of"]) == (0, 2)
    assert (found["fan at 5 dB"]["miss_rate"]["count"], found["fan at 5 dB"]["miss_rate"]["of"]) == (2, 2)
    assert found["fan at 5 dB"]["false_accepts_per_hour"]["value"] == pytest.approx(60)


def test_false_accepts_are_laid_to_what_was_there() -> None:
    made = stream(100, [(10, "a", "")], [(10, "b"), (21, "a"), (80, "a")], talk=[(20, 30, "")])
    found = breakdown.false_under(result(made))
    counts = {name: part["false_accepts"] for name, part in found.items()}
    assert counts == {"a": 1, "_speech": 1, "(nothing labelled)": 1}
    assert found["_speech"]["an_hour"] == pytest.approx(360)


def test_hours_of_a_long_stream_stand_one_by_one() -> None:
    said = [(100.0 + 400 * k, "a", "") for k in range(20)]  # 100 s to 7700 s
    heard = [(at, "a") for at, _, _ in said if at < 3600] + [(5000.0, "b")]
    (long,) = breakdown.hours(result(stream(9000, said, heard), stream(3600, said[:2], [])))
    first, second, third = long["hours"]
    assert (first["recall"]["value"], first["false_accepts_per_hour"]["count"]) == (1.0, 0)
    assert (second["recall"]["value"], second["false_accepts_per_hour"]["count"]) == (0.0, 1)
    assert (third["hour"], third["seconds"]) == (3, 1800)
    assert sum(row["recall"]["of"] for row in long["hours"]) == 20


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.booleans()), min_size=1, max_size=30))
def test_units_are_sources_and_count_every_word_once(words: list[tuple[str, bool]]) -> None:
    said = [(1.0 + k, "a", source) for k, (source, _) in enumerate(words)]
    heard = [(1.0 + k, "a") for k, (_, hit) in enumerate(words) if hit]
    spread = material.spreads((), (stream(60, said, heard),))["miss_rate"]
    assert spread.units == len({source for source, _ in words})
    missed = sum(1 for _, hit in words if not hit) / len(words)
    if spread.units == 1:
        assert spread.low == spread.high == pytest.approx(missed)
    else:
        assert spread.low <= missed + 1e-9
        assert spread.high >= missed - 1e-9


def test_false_accepts_belong_to_the_talk_they_lie_in_and_the_rest_to_minutes() -> None:
    talk = [(10, 20, "x"), (70, 80, "x"), (30, 40, "y")]
    made = stream(180, [(150, "a", "w")], [(15, "a"), (75, "a"), (100, "a"), (150, "a")], talk=talk)
    spread = material.spreads((), (made,))["false_accepts_per_hour"]
    assert spread.units == 6  # x, y, w and three minutes
    assert spread.low <= 60 <= spread.high


def test_distinct_material_counts_copies_and_sources_once(tmp_path: Path) -> None:
    made = stream(100, [(1, "a", "x"), (5, "a", "x"), (9, "a", "y"), (12, "a", "")], [])
    assert material.distinct_seconds([made.recording]) == pytest.approx(100 - 0.1)
    paths = [tmp_path / name for name in ("one", "two", "other")]
    for path, text in zip(paths, ("same", "same", "else"), strict=True):
        path.write_text(text)
    files = [Recording(path, RATE, 1, "", "", (), (0, 10 * RATE), "events") for path in paths]
    assert material.distinct_seconds(files) == pytest.approx(20)


def test_mistakes_stand_with_place_and_noise_the_surest_first() -> None:
    made = stream(
        100, [(10, "a", ""), (20, "a", ""), (30, "b", "")], [(10, "a"), (20, "b"), (60, "a")], [(0, 50, "fan", 5.0)]
    )
    found = mistakes.mistakes(result(made))
    assert [(each.kind, each.at, each.said, each.heard, each.noise) for each in found] == [
        ("false", 60.0, "(nothing labelled)", "a", ""),
        ("confused", 20.0, "a", "b", "fan at 5 dB"),
        ("missed", 30.0, "b", "", "fan at 5 dB"),
    ]


def test_what_only_the_end_decided_has_no_delay() -> None:
    made = stream(20.3, [(10, "a", ""), (20, "a", "")], [(10, "a"), (20, "a")])
    assert made.delays == [pytest.approx(0.2)]
    assert np.isclose(made.decided[1], made.until)
