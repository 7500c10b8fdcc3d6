"""Alarms: the law on made forecasts, debouncing, who is to blame, and what cannot be learnt as usual in time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from foreseen import recognizer, said, wandering
from numpy.typing import NDArray

from streamrnn import decoders
from streamrnn.alarms import AlarmConfig
from streamrnn.decoders import Found
from streamrnn.errors import ConfigError
from streamrnn.events import Alarm, Blame, BundleRef, Expected, Forecast, Scored
from streamrnn.recognizer import ClassesConfig, GruConfig, Recognizer, RecognizerConfig
from streamrnn.sinks.console import describe
from streamrnn.testing import check_decoder
from streamrnn.wire import Message, Moment, decode, encode


def heard(config: AlarmConfig, seen: NDArray[Any], units: tuple[tuple[float, float], ...] = ()) -> list[Found]:
    decoder = decoders.build(config, recognizer(seen.shape[-1], units))
    found, track = decoder(said(seen), decoder.initial_track(len(seen)))
    return found + decoder.finish(track)


def noise(frames: int, channels: int = 1, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0.0, 1.0, (1, frames, channels))


@pytest.mark.parametrize(
    "config",
    [
        AlarmConfig(enter=0.5, leave=0.3),
        AlarmConfig(enter=0.4, leave=0.3, smooth_ms=4000, memory_ms=50_000, hold_ms=3000, min_frames=2),
        AlarmConfig(enter=0.4, leave=0.2, memory_ms=20_000, learn_after_ms=5000, refractory_ms=9000),
        AlarmConfig(enter=0.5, leave=0.3, forecast_every_ms=7000, score_every_ms=3000),
    ],
)
def test_the_law_holds(config: AlarmConfig) -> None:
    made = recognizer()
    check_decoder(decoders.build(config, made), len(made.columns), posteriors=wandering)


def test_an_alarm_says_which_channel_what_was_expected_and_what_was_seen() -> None:
    seen = np.zeros((1, 40, 2))
    seen[0, 20, 1] = 10.0
    found = heard(AlarmConfig(enter=0.5, leave=0.3), seen, ((100.0, 2.0), (-5.0, 0.5)))
    assert [each.kind for each in found] == ["alarm", "segment"]
    body = found[0].body("anomaly", 20, 21, 1)
    assert isinstance(body, Alarm)
    first, second = body.channels
    assert (first.channel, first.expected, first.seen, first.sigma) == (1, -5.0, 0.0, 10.0)
    assert (second.channel, second.expected, second.seen, second.sigma) == (0, 100.0, 100.0, 0.0)
    assert body.score == pytest.approx(10 / 15, abs=1e-4)


def test_one_far_error_is_no_alarm_where_more_are_asked_for() -> None:
    seen = np.zeros((1, 60, 1))
    seen[0, 20] = 20.0
    seen[0, 40:45] = 20.0
    found = heard(AlarmConfig(enter=0.5, leave=0.3, min_frames=3), seen)
    assert [(each.kind, each.start, each.frame) for each in found] == [("alarm", 40, 42), ("segment", 40, 45)]


def test_what_flickers_is_one_alarm() -> None:
    seen = np.zeros((1, 100, 1))
    seen[0, 20:40:4] = 20.0
    assert len([e for e in heard(AlarmConfig(enter=0.5, leave=0.3), seen) if e.kind == "alarm"]) == 5
    found = heard(AlarmConfig(enter=0.5, leave=0.3, hold_ms=6000), seen)
    assert [(each.kind, each.start, each.end) for each in found] == [("alarm", 20, 21), ("segment", 20, 37)]
    found = heard(AlarmConfig(enter=0.5, leave=0.3, refractory_ms=30_000), seen)
    assert [each.kind for each in found] == ["alarm", "segment"]


def test_nothing_is_told_on_probation() -> None:
    seen = np.zeros((1, 100, 1))
    seen[0, [20, 80]] = 20.0
    found = heard(AlarmConfig(enter=0.5, leave=0.3, probation_ms=50_000), seen)
    assert [each.start for each in found if each.kind == "alarm"] == [80]


def test_errors_are_measured_by_the_streams_own_usual_ones() -> None:
    """A stream that the network forecasts badly has larger errors and no more alarms."""
    config = AlarmConfig(enter=0.6, leave=0.3, memory_ms=500_000, probation_ms=100_000)
    for scale in (0.5, 1.0, 5.0):
        seen = noise(2000) * scale
        assert not [each for each in heard(config, seen) if each.kind == "alarm"]
        seen[0, 1500] += 15 * scale
        assert [each.start for each in heard(config, seen) if each.kind == "alarm"] == [1500]


def test_an_anomaly_is_not_learnt_as_usual_before_its_time_and_is_after_it() -> None:
    config = AlarmConfig(
        enter=0.5, leave=0.2, memory_ms=200_000, probation_ms=100_000, learn_after_ms=300_000, smooth_ms=5000
    )
    seen = np.abs(noise(3000))
    seen[0, 1000:] += 20.0
    decoder = decoders.build(config, recognizer(1))
    _, before = decoder(said(seen[:, :1000]), decoder.initial_track(1))
    _, during = decoder(said(seen[:, 1000:1300]), before)
    assert np.allclose(during["mean"], before["mean"], atol=0.5)
    assert during["opened"][0] >= 0
    found, after = decoder(said(seen[:, 1300:]), during)
    # The new state is the usual one in the end: the alarm is over, and no other is told.
    assert [each.kind for each in found] == ["segment"]
    assert after["opened"][0] < 0
    never = decoders.build(AlarmConfig(enter=0.5, leave=0.2, memory_ms=200_000, probation_ms=100_000), recognizer(1))
    _, track = never(said(seen), never.initial_track(1))
    assert track["opened"][0] >= 0


def test_forecasts_and_scores_are_told_as_often_as_asked_for() -> None:
    found = heard(AlarmConfig(forecast_every_ms=10_000, score_every_ms=5000), noise(100))
    bodies = [each.body("anomaly", each.start, each.end, 1) for each in found]
    forecasts = [body for body in bodies if isinstance(body, Forecast)]
    assert [body.start for body in forecasts] == list(range(9, 100, 10))
    assert (forecasts[0].ahead, forecasts[0].channels[0].deviation) == (1, 1.0)
    assert len([body for body in bodies if isinstance(body, Scored)]) == 20
    assert not heard(AlarmConfig(), noise(100))


def test_alarms_need_forecasts() -> None:
    made = recognizer()
    config = RecognizerConfig("word", 1, {"a": ()}, (), GruConfig(), ClassesConfig(), AlarmConfig())
    with pytest.raises(ConfigError, match="takes forecasts"):
        decoders.build(AlarmConfig(), Recognizer(config, made.columns, 1, 0, 1))


def test_alarms_forecasts_and_scores_go_over_the_wire_and_to_the_console() -> None:
    bodies = {
        "alarm": Alarm("anomaly", 3, 5, 1, 0.7, (Blame(1, 20.0, 35.5, 9.1),)),
        "forecast": Forecast("anomaly", 4, 5, 1, 1, (Expected(0, 20.5, 0.25),)),
        "score": Scored("anomaly", 4, 5, 1, 0.2),
    }
    texts = []
    for kind, body in bodies.items():
        sent = Message(
            v=1,
            kind=kind,
            stream="pump",
            bundle=BundleRef("machine", "ab"),
            run="r",
            epoch=0,
            seq=1,
            t=Moment(5, 1, 0, 0),
            readiness="warm",
            gap=0,
            id="x",
            body=body,
        )
        assert decode(encode(sent)) == sent
        texts.append(describe(sent))
    assert "anomaly" in texts[0]
    assert "20.5 ± 0.25" in texts[1]
    assert "anomaly score" in texts[2]
