"""Drift: resets part a stream as cuts do, norms are the state's for any chunks, and trends are found and sized."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from material import material
from tones import RATE

from streamrnn.cli import main
from streamrnn.engine import Engine, Serving
from streamrnn.errors import StreamError
from streamrnn.evaluation.composing import Composed, Recipe, compose
from streamrnn.evaluation.drift import drift, sentences, trend
from streamrnn.evaluation.matching import Interval
from streamrnn.evaluation.metrics import rate_per_hour, share
from streamrnn.evaluation.norms import Norms
from streamrnn.evaluation.playable import Noise, Segment
from streamrnn.evaluation.playing import LOOK_S, Play, play, play_apart
from streamrnn.evaluation.recordings import Recording, read_data
from streamrnn.evaluation.run import evaluate
from streamrnn.evaluation.stock import gather
from streamrnn.evaluation.turns import in_turns
from streamrnn.evaluation.under import Under
from streamrnn.events import Event, Heard


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return material(tmp_path_factory.mktemp("material") / "set")


@pytest.fixture(scope="module")
def composed(serving: Serving, folder: Path) -> Composed:
    stock = gather(read_data([folder]).recordings, serving.recognizer.config)
    return compose(stock, Recipe(words_per_hour=600.0), 60.0, 1, seed=4)[0]


def told(events: list[Event], by: int = 0) -> list[tuple[int, str, int, int]]:
    bodies = [(event.sample, event.body) for event in events if isinstance(event.body, Heard)]
    return [(at + by, body.label, body.start + by, body.end + by) for at, body in bodies]


def alone(serving: Serving, samples: np.ndarray) -> list[Event]:
    hearing = Engine([serving])
    hearing.open("a", RATE, 1)
    hearing.push("a", 0, samples)
    hearing.finish("a")
    return hearing.run()


@settings(max_examples=10, deadline=None)
@given(st.sets(st.integers(-5, 61 * RATE), max_size=6))
def test_stretches_are_heard_as_if_they_were_alone(serving: Serving, composed: Composed, edges: set[int]) -> None:
    whole = composed.samples()
    inside = [0, *sorted(edge for edge in edges if 0 < edge < len(whole)), len(whole)]
    parts = [(a, alone(serving, whole[a:b])) for a, b in pairwise(inside)]
    wanted = sorted(event for a, events in parts for event in told(events, a))
    assert sorted(told(play_apart(serving, composed, sorted(edges)))) == wanted


def test_openings_lie_before_what_is_said_and_after_what_was(composed: Composed) -> None:
    ends = [0, *(cut.end for cut in composed.cuts)]
    for opening, before, cut in zip(composed.openings, ends, composed.cuts, strict=False):
        assert before <= opening < cut.start
        assert cut.start - opening <= RATE // 2


@pytest.mark.parametrize("chunk_s", [0.0437, 2.0, 7.3])
def test_the_state_is_looked_at_after_the_same_samples_for_any_chunks(
    serving: Serving, composed: Composed, chunk_s: float
) -> None:
    seen: dict[float, dict[str, np.ndarray]] = {}
    play(serving, [Play(composed, 0)], chunk_s, look=lambda place, at, state: seen.update({at: state}))
    assert list(seen) == pytest.approx(np.arange(1, 13) * LOOK_S)
    state = serving.initial
    whole, size = composed.samples(), round(LOOK_S * RATE)
    for place, at in enumerate(seen):
        _, state = serving.step(whole[None, place * size : (place + 1) * size], state)
        for name, array in state.items():
            np.testing.assert_allclose(seen[at][name], array, atol=1e-4)


def test_the_engine_shows_the_state_of_open_streams_only(serving: Serving) -> None:
    hearing = Engine([serving])
    hearing.open("a", RATE, 1)
    shown = hearing.states("a")["tones"]
    assert {name: array.shape for name, array in shown.items()} == {"memory": (1, 3)}
    shown["memory"][:] = np.nan  # a copy
    assert not hearing.states("a")["tones"]["memory"].any()
    with pytest.raises(StreamError, match="no such stream"):
        hearing.states("b")


def test_norms_of_an_hour_are_its_quantiles_and_tails_are_none() -> None:
    norms = Norms()
    for at in range(10):
        norms.add(at, {"gru.0.h": np.full((1, 4), float(at)), "frame.tail": np.ones((1, 7, 1))})
    first = norms.between(0, 5)
    assert set(first) == {"gru.0.h"}
    assert first["gru.0.h"]["median"] == pytest.approx(4.0)  # the norm of four twos
    assert first["gru.0.h"]["low"] < 4.0 < first["gru.0.h"]["high"]
    assert norms.between(10, 20) == {}


def rows_of(found: list[int], of: int, false: list[int]) -> list[dict]:
    return [
        {
            "hour": hour + 1,
            "recall": msgspec.to_builtins(share(right, of)),
            "false_accepts_per_hour": msgspec.to_builtins(rate_per_hour(wrong, 1.0)),
            "state_norms": {"gru.0.h": {"median": 2.0, "low": 1.0, "high": 3.0}},
        }
        for hour, (right, wrong) in enumerate(zip(found, false, strict=True))
    ]


def test_a_trend_is_found_where_two_hours_tell_nothing() -> None:
    falling = rows_of([96 - k for k in range(24)][:12], 100, [0] * 12)
    found = drift(falling)
    change = found["recall"]["trend"]
    assert change["change"] == pytest.approx(-0.11)
    assert change["low"] < -0.11 < change["high"] < 0
    assert change["chance"] < 0.001
    assert found["false_accepts_per_hour"]["trend"] is None  # nothing ever happened
    said = "\n".join(sentences(found))
    assert "changes by -11.0 points" in said
    assert "more than chance would do (p < 0.001)" in said
    assert "norm of gru.0.h: the median of the last hour is 1.000 times that of the first, within" in said


@pytest.mark.parametrize(("level", "scatter"), [(3.0, 1), (40.0, 5)])
def test_hours_without_a_trend_seem_to_have_one_as_rarely_as_is_said(level: float, scatter: int) -> None:
    random = np.random.default_rng(0)
    # Each event of a source comes `scatter` times: a Poisson count times that.
    drawn = [(scatter * random.poisson(level / scatter, 24)).tolist() for _ in range(300)]
    found = [trend(rows_of([50] * 24, 60, counts), "false_accepts_per_hour") for counts in drawn]
    assert 0.01 < np.mean([each.chance < 0.05 for each in found if each]) < 0.09
    covered = np.mean([each.low <= 0 <= each.high for each in found if each])
    assert covered > 0.91


def test_one_hour_says_nothing_of_drift() -> None:
    assert drift(rows_of([5], 6, [0])) == {}
    assert drift(rows_of([5, 6], 6, [0, 1]))["recall"]["trend"] is None


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(1, 30), st.sampled_from("abc")), max_size=12), st.data())
def test_what_lies_under_is_what_looking_through_all_finds(
    spans: list[tuple[int, int, str]], data: st.DataObject
) -> None:
    segments = tuple(Segment(start, start + long, label) for start, long, label in sorted(spans))
    noises = tuple(Noise(start, start + long, label, 5.0) for start, long, label in sorted(spans))
    recording = Recording(Path("x"), 10, 1, "", "", segments, (0, 200), "events", noises)
    start, long = data.draw(st.integers(0, 120)), data.draw(st.integers(1, 40))
    interval, under = Interval(start / 10, (start + long) / 10, "heard"), Under(recording)
    shared = [(min(s.end, start + long) - max(s.start, start), s.label) for s in segments]
    most = max((each for each, _ in shared), default=0)
    assert (under.segment(interval, "none") == "none") == (most <= 0)
    assert most <= 0 or under.segment(interval, "none") in {label for each, label in shared if each == most}
    middle = start + long / 2
    covering = [noise.name for noise in noises if noise.start <= middle < noise.end]
    assert under.noise_name(interval) == (f"{covering[0]} at 5 dB" if covering else "")


def test_turns_are_every_clip_before_any_again_each_at_its_place(folder: Path) -> None:
    clips = [each for each in read_data([folder]).recordings if each.segments[0].label in ("low", "high")]
    turns = in_turns(clips, 3, np.random.default_rng(1))
    for first in range(0, len(turns), len(clips)):
        assert {turn.path for turn in turns[first : first + len(clips)]} == {clip.path for clip in clips}
    assert len({(turn.path, turn.gain) for turn in turns}) == len(turns)
    for turn in turns:
        heard, said = turn.samples(), turn.clip.samples()
        assert len(heard) == turn.length == turn.pause + len(said) + turn.rate // 2
        assert np.array_equal(turn.samples(), heard)
        (segment,), (own,) = turn.segments, turn.clip.segments
        assert (segment.start - turn.pause, segment.label) == (own.start, own.label)
        if turn.snr_db > 100:
            np.testing.assert_allclose(heard[turn.pause : turn.pause + len(said)], said * turn.gain, atol=1e-6)


def test_a_day_with_resets_stands_beside_it_in_report_and_page(
    tiny_bundle: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", str(folder), "--hours", "0.05", "--seed", "2"]
    report = tmp_path / "report"
    assert main(["eval", str(tiny_bundle), *words, "--beside", "resets", "--report", str(report)]) == 0
    assert "with resets (there)" in capsys.readouterr().out
    document = json.loads((report / "report.json").read_text())
    assert set(document["beside"]["resets"]) == {"path", "hours", "drift", "compared"}
    assert document["hours"][0]["hours"][0]["state_norms"]["memory"]["median"] > 0
    assert "norm of memory" in (report / "report.html").read_text()
    page = tmp_path / "pages" / "long.md"
    assert main(["bench", "--drift", str(tiny_bundle), *words, "--split", "dev", "--out", str(page)]) == 0
    capsys.readouterr()
    written = page.read_text()
    assert "bench --drift" in written
    assert "--data set --hours 0.05 --seed 2" in written
    assert "| 1 | " in written
    assert str(folder) not in written
    assert str(tiny_bundle) not in written
    assert main(["bench", "--drift", str(tiny_bundle), *words, "--json"]) == 0
    both = json.loads(capsys.readouterr().out)["bundles"][str(tiny_bundle)]
    assert both["hours"][0]["hours"] == document["hours"][0]["hours"]
    assert main(["bench", "--drift", "digits"]) == 2
    assert "add --data DIR" in capsys.readouterr().err


def test_evaluation_keeps_the_norms_of_a_stream(serving: Serving, composed: Composed) -> None:
    (stream,) = evaluate(serving, [composed]).streams
    assert len(stream.norms.at) == 12
    assert set(stream.norms.of) == {"memory"}
