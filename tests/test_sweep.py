"""Sweeping thresholds: what the engine says with each decoder, counted by source, with intervals that are honest."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from material import material
from tones import HOP

from streamrnn import decoders
from streamrnn.decoders import EndpointConfig, HysteresisConfig, SegmentsConfig, SmoothedConfig
from streamrnn.engine import Serving
from streamrnn.errors import ConfigError, RecordingError
from streamrnn.evaluation import intervals
from streamrnn.evaluation.composing import Composed, Recipe, compose
from streamrnn.evaluation.playable import Playable
from streamrnn.evaluation.playing import BLOCK_S, Play, play
from streamrnn.evaluation.recordings import read_data
from streamrnn.evaluation.stock import gather
from streamrnn.evaluation.sweep import measure, swept, thresholds
from streamrnn.events import Heard
from streamrnn.operating import Det
from streamrnn.registry import PlugConfig

RECIPE = Recipe(words_per_hour=360.0, cut_s=(1.0, 6.0), pause_s=(0.2, 1.0), scene_s=(6.0, 12.0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return material(tmp_path_factory.mktemp("material") / "set")


@pytest.fixture(scope="module")
def streams(folder: Path, serving: Serving) -> list[Composed]:
    return compose(gather(read_data([folder]).recordings, serving.recognizer.config), RECIPE, 120.0, 5, seed=1)


@pytest.fixture(scope="module")
def det(serving: Serving, streams: list[Composed], folder: Path) -> Det:
    return measure(serving, streams, [folder])


def decoding(serving: Serving, config: SmoothedConfig) -> Serving:
    described = msgspec.structs.replace(
        serving.recognizer, config=msgspec.structs.replace(serving.recognizer.config, decoder=config)
    )
    return dataclasses.replace(serving, recognizer=described, decoder=decoders.build(config, described))


KINDS = [
    HysteresisConfig(smooth_ms=100, enter=0.6, leave=0.2, refractory_ms=300),
    EndpointConfig(smooth_ms=50, enter=0.5, leave=0.4, min_frames=2),
    SegmentsConfig(smooth_ms=75, enter=0.5, leave=0.4),
]


@pytest.mark.parametrize("config", KINDS, ids=lambda config: config.__struct_config__.tag)
def test_at_every_threshold_the_events_are_those_of_the_engine(
    serving: Serving, streams: list[Composed], folder: Path, config: SmoothedConfig
) -> None:
    # Recordings of several rates and lengths among streams of one length.
    odd: list[Playable] = [each for each in read_data([folder]).recordings if each.seconds < 10][::7]
    played = [*streams[:1], *odd]
    here = dataclasses.replace(serving, recognizer=msgspec.structs.replace(serving.recognizer, delay=7 * HOP // 2))
    here = decoding(here, config)
    configs = thresholds(config)[::8]
    by_path = {each.stream.path: each.heard for each in swept(here, played, configs)}
    assert set(by_path) == {each.path for each in played}
    counts = []
    for i, each in enumerate(configs):
        wanted = play(decoding(here, each), [Play(one, 0) for one in played], BLOCK_S, lambda _: None)
        for one, events in zip(played, wanted, strict=True):
            bodies = [event.body for event in events if isinstance(event.body, Heard)]
            assert sorted(by_path[one.path][i], key=repr) == sorted(bodies, key=repr)
        counts.append(sum(map(len, wanted)))
    assert max(counts) > 10
    assert len(set(counts)) > 2


def test_a_det_counts_every_word_and_false_accept(serving: Serving, streams: list[Composed], det: Det) -> None:
    assert det.said == sum(len(stream.words) for stream in streams) > 50
    assert det.hours == pytest.approx(5 * 120 / 3600)
    assert det.distinct_minutes == pytest.approx(sum(det.sources.values()) / 60)
    assert set(det.sources) == {"set"}
    enters = [point.enter for point in det.points]
    assert enters == sorted(set(enters))
    assert len(enters) > 40
    assert det.points[0].missed <= det.points[-1].missed
    assert det.points[0].false_accepts > 5 > det.points[-1].false_accepts
    for point in det.points:
        assert point.leave / point.enter == pytest.approx(0.3 / 0.5)
        assert point.per_hour == pytest.approx(point.false_accepts / det.hours)
        assert 0 <= point.per_hour_low <= point.per_hour <= point.per_hour_high
        assert 0 <= point.miss_low <= point.miss_rate == point.missed / det.said <= point.miss_high <= 1
    assert det.decoder["kind"] == "hysteresis"
    assert not {"enter", "leave"} & set(det.decoder)


def test_a_det_is_the_same_again_whatever_the_bundle_s_own_threshold(
    serving: Serving, streams: list[Composed], folder: Path, det: Det
) -> None:
    config = serving.recognizer.config.decoder
    assert isinstance(config, SmoothedConfig)
    moved = decoding(serving, msgspec.structs.replace(config, enter=0.1, leave=0.1 * config.leave / config.enter))
    again = measure(moved, streams, [folder])
    for one, other in zip(again.points, det.points, strict=True):
        assert (one.false_accepts, one.missed) == (other.false_accepts, other.missed)


class NothingConfig(PlugConfig, frozen=True, tag="nothing"):
    """A decoder of somebody else, without thresholds."""


def test_what_cannot_be_measured(serving: Serving, streams: list[Composed], folder: Path) -> None:
    recordings = [each for each in read_data([folder]).recordings if each.segments[0].label.startswith("_")]
    talk = compose(gather(recordings, serving.recognizer.config), RECIPE, 60.0, 1, seed=1)
    with pytest.raises(RecordingError, match="no word of the bundle"):
        measure(serving, talk)
    config = msgspec.structs.replace(serving.recognizer.config, decoder=NothingConfig())
    other = dataclasses.replace(serving, recognizer=msgspec.structs.replace(serving.recognizer, config=config))
    with pytest.raises(ConfigError, match="decoder nothing: has no enter"):
        measure(other, streams)


@settings(deadline=None, max_examples=30)
@given(
    counts=st.lists(st.integers(0, 20), min_size=1, max_size=40), hours=st.floats(0.01, 2.0), seed=st.integers(0, 99)
)
def test_an_interval_holds_its_rate_and_is_no_narrower_than_poisson(counts: list[int], hours: float, seed: int) -> None:
    each = np.random.default_rng(seed).uniform(0.5, 1.5, len(counts)) * hours
    ((low, high),) = intervals.rates(np.array([counts]), each.tolist())
    total, rate = sum(counts), sum(counts) / each.sum()
    poisson = intervals.rate_per_hour(total, float(each.sum()), intervals.Z90)
    assert 0 <= low <= poisson.low <= rate <= poisson.high <= high
    assert len(counts) > 1 or low == 0.0


def test_what_one_recording_does_is_less_certain_than_what_all_do() -> None:
    """Ten sources with ten false accepts each, or one with a hundred: the same count, not the same evidence."""
    spread, lumped = np.full((1, 20), 5), np.zeros((1, 20), np.int64)
    lumped[0, 3] = 100
    hours = [0.5] * 20
    ((low, high),) = intervals.rates(spread, hours)
    ((lumped_low, lumped_high),) = intervals.rates(lumped, hours)
    assert high / low < 2
    assert lumped_low == 0.0
    assert lumped_high > 1.5 * high
    # A clip that is played ten times is one clip.
    ((_, few),) = intervals.shares(np.zeros((1, 10), np.int64), [10] * 10)
    ((_, many),) = intervals.shares(np.zeros((1, 100), np.int64), [1] * 100)
    assert few > 3 * many


def test_the_interval_of_clustered_events_covers_the_rate_as_often_as_it_says() -> None:
    """Sources fire by a gamma of their own, the hours of each Poisson: 90 % should cover; below 80 is a lie."""
    random = np.random.default_rng(0)
    inside = 0
    for _ in range(100):
        rates = random.gamma(0.5, 2.0, 60)  # mean 1 an hour
        counts = random.poisson(rates * 0.5)
        ((low, high),) = intervals.rates(counts[None], [0.5] * 60)
        inside += low <= 1.0 <= high
    assert inside >= 83
