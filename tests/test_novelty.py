"""Novelty: the law, what leaves its own range and what does not, seasons found by themselves, and the anchor."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch
from foreseen import recognizer, said, wandering
from numpy.typing import NDArray

from streamrnn import decoders
from streamrnn.errors import ConfigError
from streamrnn.events import Alarm
from streamrnn.memories import Anchor
from streamrnn.novelty import NoveltyConfig
from streamrnn.operating import Det, Point
from streamrnn.recognizer import AnchorConfig
from streamrnn.stage import Inputs
from streamrnn.testing import check_decoder
from streamrnn.testing.torch import check_stage

torch.set_num_threads(1)
DAILY = NoveltyConfig(
    levels_ms=(0, 8000), errors_ms=(8000,), seasons_ms=(9000, 24_000), smooth_ms=4000, probation_ms=500_000
)

WITHOUT = msgspec.structs.replace(DAILY, seasons_ms=())


def alarms(config: NoveltyConfig, seen: NDArray[np.float64]) -> list[int]:
    """The frames in which an alarm is told, of a series of one channel."""
    decoder = decoders.build(config, recognizer(1))
    found, _ = decoder(said(seen[None, :, None]), decoder.initial_track(1))
    return [each.frame for each in found if each.kind == "alarm"]


@pytest.mark.parametrize(
    "config",
    [
        NoveltyConfig(enter=0.3, leave=0.3, levels_ms=()),
        NoveltyConfig(levels_ms=(0, 4000), errors_ms=(3000, 9000), memory_ms=50_000, hold_ms=3000),
        NoveltyConfig(seasons_ms=(3000, 7000), smooth_ms=2000, enter=0.2, leave=0.1, refractory_ms=9000),
    ],
)
def test_the_law_holds(config: NoveltyConfig) -> None:
    made = recognizer()
    check_decoder(decoders.build(config, made), len(made.columns), posteriors=wandering, trials=2)


@pytest.mark.parametrize("draw", ["standard_normal", "standard_exponential", "standard_cauchy"])
def test_records_of_noise_are_rare_whatever_the_noise_is(draw: str) -> None:
    config = NoveltyConfig(levels_ms=(0,), errors_ms=(0,), probation_ms=500_000)
    seen = getattr(np.random.default_rng(0), draw)((16, 2500, 1))
    decoder = decoders.build(config, recognizer(1))
    found, _ = decoder(said(seen), decoder.initial_track(len(seen)))
    # Of each end ln(2500 / 500) = 1.6 records are expected, of which only those far beyond the last one are told.
    assert len([each for each in found if each.kind == "alarm"]) < 3.2 * len(seen)


def test_what_was_never_seen_is_told_once_and_what_was_seen_before_is_not() -> None:
    seen = np.random.default_rng(0).uniform(-1.0, 1.0, 1000)
    seen[[50, 600, 800]] = (5.0, 5.0, 9.0)
    config = NoveltyConfig(levels_ms=(0,), errors_ms=(0,), probation_ms=100_000)
    assert alarms(config, seen) == [800]


def test_a_range_shrinks_in_its_memory() -> None:
    seen = np.random.default_rng(0).uniform(-1.0, 1.0, 2000)
    seen[[50, 1500]] = 5.0
    assert alarms(NoveltyConfig(probation_ms=100_000), seen) == []
    assert 1500 in alarms(NoveltyConfig(probation_ms=100_000, memory_ms=2_000_000), seen)


def test_a_day_that_does_not_come_is_told_by_its_season_alone() -> None:
    day = np.sin(np.arange(1200) * 2 * np.pi / 24) + 0.02 * np.random.default_rng(0).standard_normal(1200)
    day[600:624] = 0.0
    assert [each for each in alarms(DAILY, day) if each < 700] == pytest.approx([604], abs=5)
    assert alarms(WITHOUT, day) == []


def test_what_has_no_season_is_held_against_none() -> None:
    noise = np.random.default_rng(1).standard_normal(3000)
    decoder = decoders.build(DAILY, recognizer(1))
    _, track = decoder(said(noise[None, :, None]), decoder.initial_track(1))
    assert np.ptp(track["apart"]) < 0.1 * track["apart"].mean()
    assert alarms(DAILY, noise) == alarms(WITHOUT, noise)


def test_a_decoder_that_follows_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="follows nothing"):
        NoveltyConfig(levels_ms=(), errors_ms=())


def test_a_budget_is_settled_by_what_a_bundle_kept_of_its_measuring() -> None:
    config = msgspec.structs.replace(DAILY, max_false_accepts_per_hour=1.0)
    rare = Point(0.7, 0.7, 5, 0.5, 0.3, 0.9, 0, 0.0, 0.0, 0.1)
    det = Det(1, 10.0, 600.0, {}, (rare,), decoders.beside_thresholds(config))
    kept = msgspec.json.decode(msgspec.json.encode(det), type=Det)
    settled = decoders.settle(config, kept)
    assert isinstance(settled, NoveltyConfig)
    assert settled.enter == 0.7


def test_the_channel_that_left_its_range_is_to_blame() -> None:
    seen = np.random.default_rng(0).uniform(-1.0, 1.0, (1, 300, 2)) * (1.0, 50.0)
    seen[0, 200, 0] = 4.0
    decoder = decoders.build(NoveltyConfig(probation_ms=100_000), recognizer(2))
    found, _ = decoder(said(seen), decoder.initial_track(1))
    body = next(each.body("anomaly", each.start, each.end, 1) for each in found if each.kind == "alarm")
    assert isinstance(body, Alarm)
    assert body.channels[0].channel == 0


def test_an_anchor_holds_and_bends_what_is_far() -> None:
    stage = Anchor(AnchorConfig(frames=10), Inputs(1, 1.0, 1, 1))
    check_stage(stage, 1)
    values = torch.cat([torch.linspace(100.0, 109.0, 10), torch.tensor([1e6, 104.5, 109.0])])
    y, _ = stage(values[None, :, None], stage.initial_state(1))
    deviation = float(values[:10].std(correction=0))
    wanted = np.arcsinh((values[9:].numpy() - 104.5) / deviation)
    assert y[0, 9:, 0].numpy() == pytest.approx(wanted, rel=1e-4, abs=1e-4)


def test_novelty_is_measured_in_what_an_anchor_bent() -> None:
    """Bent, a range that reaches from 0 to 1000 would hide all up to 1300."""
    seen = np.random.default_rng(0).uniform(0.0, 1000.0, 500)
    seen[400] = 1200.0
    decoder = decoders.build(NoveltyConfig(probation_ms=100_000), recognizer(1, features=(AnchorConfig(frames=20),)))
    found, _ = decoder(said(np.arcsinh(seen)[None, :, None]), decoder.initial_track(1))
    assert [each.frame for each in found if each.kind == "alarm"] == [400]
