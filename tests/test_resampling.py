"""Resampling at the border: the same bits for any chunking, exact counts and places, no aliases, a declared delay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.errors import StreamError
from streamrnn.resampling import delay, open_resampler, to_source

RATES = [8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000]
PAIRS = [(44100, 16000), (48000, 8000), (11025, 16000), (22050, 8000), (192000, 8000), (8000, 16000), (52, 50)]


def resampled(samples: np.ndarray, source_rate: int, rate: int, sizes: list[int]) -> np.ndarray:
    resampler = open_resampler(source_rate, rate, samples.shape[1])
    parts, start, turn = [], 0, 0
    while start < len(samples):
        size = sizes[turn % len(sizes)]
        parts.append(resampler.push(samples[start : start + size]))
        start, turn = start + size, turn + 1
    return np.concatenate([*parts, resampler.finish()])


def noise(count: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(count).standard_normal((count, channels)).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(
    pair=st.sampled_from(PAIRS),
    count=st.integers(1, 9000),
    channels=st.integers(1, 3),
    sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=6),
)
def test_any_chunking_gives_the_same_bits(pair: tuple[int, int], count: int, channels: int, sizes: list[int]) -> None:
    samples = noise(count, channels)
    whole = resampled(samples, *pair, [count])
    assert whole.dtype == np.float32
    assert np.array_equal(whole, resampled(samples, *pair, sizes))


@pytest.mark.parametrize("pair", PAIRS)
def test_one_sample_at_a_time_gives_the_same_bits(pair: tuple[int, int]) -> None:
    samples = noise(6000)
    assert np.array_equal(resampled(samples, *pair, [6000]), resampled(samples, *pair, [1]))


@settings(max_examples=60, deadline=None)
@given(source_rate=st.sampled_from(RATES), rate=st.sampled_from(RATES), count=st.integers(1, 5000))
def test_as_many_samples_come_out_as_their_duration_asks_for(source_rate: int, rate: int, count: int) -> None:
    out = resampled(noise(count), source_rate, rate, [777])
    assert abs(len(out) - count * rate / source_rate) <= 0.5


@pytest.mark.parametrize("rate", RATES)
def test_equal_rates_change_nothing(rate: int) -> None:
    samples = noise(100, 2)
    assert np.array_equal(resampled(samples, rate, rate, [7]), samples)
    assert delay(rate, rate) == 0


@pytest.mark.parametrize(("source_rate", "rate"), PAIRS[:-1])
def test_a_click_lies_where_the_mapping_says(source_rate: int, rate: int) -> None:
    time = np.arange(source_rate) / source_rate
    click = np.exp(-0.5 * ((time - 0.3) / 0.002) ** 2).astype(np.float32)[:, None]
    out = resampled(click, source_rate, rate, [1000])
    assert abs(to_source(int(np.argmax(out)), source_rate, rate) - 0.3 * source_rate) <= source_rate / rate


@pytest.mark.parametrize("source_rate", [16000, 22050, 44100, 48000, 192000])
def test_what_lies_above_half_the_rate_does_not_come_back_as_an_alias(source_rate: int) -> None:
    time = np.arange(source_rate) / source_rate
    for hertz, kept in ((1000.0, True), (3600.0, True), (4300.0, False), (5000.0, False), (7400.0, False)):
        tone = np.sin(2 * np.pi * hertz * time).astype(np.float32)[:, None]
        level = np.sqrt(2 * np.mean(resampled(tone, source_rate, 8000, [4096])[1000:-1000] ** 2))
        assert abs(level - 1.0) < 0.01 if kept else level < 1e-4, hertz


@pytest.mark.parametrize("pair", PAIRS[:-1])
def test_no_more_than_the_declared_delay_waits_inside(pair: tuple[int, int]) -> None:
    source_rate, rate = pair
    assert 0 < delay(*pair) < 0.15 * source_rate
    resampler = open_resampler(source_rate, rate, 1)
    random = np.random.default_rng(1)
    pushed, given_out = 0, 0
    while pushed < source_rate:
        size = int(random.integers(1, 300))
        given_out += len(resampler.push(noise(size)))
        pushed += size
        waiting = pushed - given_out * source_rate / rate
        assert waiting <= delay(*pair) + source_rate / rate + 1
        # Nothing comes out before it is in: an event can never name a sample that was not heard.
        assert waiting >= 0


def test_counts_stay_exact_beyond_32_bits() -> None:
    a_month = 44100 * 86400 * 31
    assert to_source(a_month, 44100, 44100) == a_month
    assert to_source(16000 * 86400 * 31, 44100, 16000) == a_month
    assert to_source(1, 44100, 16000) == 3  # 2.76
    assert to_source(1, 8000, 16000) == 1  # 0.5 goes up


def test_a_stream_that_soxr_cannot_do_is_refused_in_one_line() -> None:
    with pytest.raises(StreamError, match="choose another rate"):
        open_resampler(0, 16000, 1)
