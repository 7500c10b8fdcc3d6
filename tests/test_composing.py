"""Composed streams: from a seed, lazily, with every sample's condition and source known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from material import material, write
from tones import RATE, recognizer

from streamrnn.errors import ConfigError, RecordingError
from streamrnn.evaluation.composing import CLEAN, Composed, Recipe, compose, distinct_seconds
from streamrnn.evaluation.playable import Segment
from streamrnn.evaluation.recordings import Recording, read_data
from streamrnn.evaluation.stock import Stock, gather
from streamrnn.testing.signals import sentence

RECIPE = Recipe(words_per_hour=360.0, cut_s=(1.0, 4.0), pause_s=(0.2, 1.0), scene_s=(6.0, 12.0))
GENTLE = settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return material(tmp_path_factory.mktemp("material") / "set")


def stock_of(recordings: Sequence[Recording]) -> Stock:
    return gather(recordings, recognizer().config)


def said(stream: Composed) -> list[Segment]:
    return [segment for segment in stream.segments if not segment.label.startswith("_")]


@pytest.fixture(scope="module")
def stock(folder: Path) -> Stock:
    return stock_of(read_data([folder]).recordings)


@pytest.fixture(scope="module")
def stream(stock: Stock) -> Composed:
    return compose(stock, RECIPE, 120.0, 1, seed=3)[0]


def test_a_stock_has_words_minutes_of_negatives_noises_and_rooms(stock: Stock) -> None:
    assert len(stock.words) == 8
    assert len(stock.negatives) == 12 + 2  # the long one counts twice
    assert (stock.noises, stock.rooms) == (1 + 2, 1)
    keys = [source.key for source in (*stock.words, *stock.negatives)]
    assert sorted(keys) == list(range(len(keys)))
    assert np.argmax(stock.room(0)) == 0  # no room delays what is said


@GENTLE
@given(length=st.integers(1, 3 * 10**5))
def test_any_blocks_are_the_whole(stream: Composed, length: int) -> None:
    whole, blocks = stream.samples(), list(stream.blocks(length))
    assert whole.shape == (stream.length, 1)
    assert whole.dtype == np.float32
    assert {len(block) for block in blocks[:-1]} <= {length}
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


def test_the_seed_is_the_stream(stock: Stock, stream: Composed) -> None:
    again, other = (compose(stock, RECIPE, 120.0, 1, seed)[0] for seed in (3, 4))
    np.testing.assert_array_equal(again.samples(), stream.samples())
    assert other.segments != stream.segments


@GENTLE
@given(seed=st.integers(0, 10**6), minutes=st.floats(1.0, 3.0), words=st.sampled_from([0.0, 60.0, 600.0]))
def test_a_plan_fills_its_time_and_nothing_overlaps(stock: Stock, seed: int, minutes: float, words: float) -> None:
    recipe = Recipe(words_per_hour=words)
    for made in compose(stock, recipe, 60.0 * minutes, 2, seed):
        assert made.length == round(60.0 * minutes * RATE)
        edges = [(scene.start, scene.end) for scene in made.scenes]
        assert [start for start, _ in edges] == [0, *(end for _, end in edges[:-1])]
        for scene in made.scenes:
            assert all(scene.start <= cut.start < cut.end <= scene.end for cut in scene.cuts)
            assert made.snr_db(scene.start) == made.snr_db(scene.end - 1) == scene.snr_db
        assert all(a.end < b.start for a, b in zip(made.cuts, made.cuts[1:], strict=False))
        assert len(made.segments) == len(made.cuts)
        assert len(said(made)) == len(made.words) <= words * minutes / 60 + 1
        assert sum(made.exposure.values()) == pytest.approx(made.seconds)
        assert bool(words) or not made.words
        for cut in made.cuts:
            assert made.source(cut.start, cut.end) is cut.source
            assert made.source(cut.end, cut.end + 1) is cut.source


def test_words_stand_where_the_segments_say_at_any_rate(stock: Stock) -> None:
    clean = Recipe(words_per_hour=900.0, snr_db=(CLEAN,), rooms=0.0)
    (made,) = compose(stock, clean, 120.0, 1, seed=1)
    sound = made.samples()[:, 0]
    assert len(said(made)) > 20
    for segment, cut in zip(said(made), made.words, strict=True):
        assert segment.label == cut.source.label
        heard = sound[segment.start : segment.end]
        hertz = np.abs(np.fft.rfft(heard)).argmax() * RATE / len(heard)
        assert (hertz < 500) == (segment.label == "low")
        before = sound[max(0, segment.start - 800) : segment.start - 80]
        assert np.abs(before).max() < 0.1 * np.abs(heard).max()


@pytest.mark.parametrize("snr", [20.0, 5.0])
def test_noise_is_as_loud_as_the_condition_says(stock: Stock, snr: float) -> None:
    noisy = Recipe(words_per_hour=0.0, snr_db=(snr,), rooms=0.0, pause_s=(4.0, 5.0), level_db=(-30.0, -30.0))
    (made,) = compose(stock, noisy, 120.0, 1, seed=1)
    sound = made.samples()[:, 0]
    edges = [0, *(edge for cut in made.cuts for edge in (cut.start, cut.end)), made.length]
    pauses = [sound[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True) if end - start > RATE]
    power = np.mean([np.mean(pause**2) for pause in pauses])
    assert 10 * np.log10(power) == pytest.approx(-30.0 - snr, abs=1.0)


def test_every_source_comes_before_any_comes_again_and_distinct_time_is_counted_once(
    stock: Stock, folder: Path
) -> None:
    made = compose(stock, Recipe(words_per_hour=240.0), 240.0, 2, seed=2)
    words = [cut.source.key for each in made for cut in each.words]
    assert len(words) > 8
    assert set(words[:8]) == {source.key for source in stock.words}
    seconds = distinct_seconds(made, [folder])
    there = sum(source.seconds for source in (*stock.words, *stock.negatives))
    assert set(seconds) == {"set"}
    assert 0 < seconds["set"] <= there + 0.1
    assert distinct_seconds([made[0], made[0]], [folder]) == distinct_seconds([made[0]], [folder])


def test_words_of_a_long_recording_are_cut_out_of_it(tmp_path: Path) -> None:
    samples, places = sentence(["low", "high"] * 4, RATE, np.random.default_rng(3), pause_s=0.3)
    write(tmp_path / "talk.wav", samples)
    rows = "".join(f"{start / RATE},{end / RATE},{label}\n" for label, start, end in places)
    (tmp_path / "talk.csv").write_text("start,end,label\n" + rows)
    (tmp_path / "manifest.csv").write_text("path,label,labels\ntalk.wav,,talk.csv\n")
    stock = stock_of(read_data([tmp_path]).recordings)
    assert [source.label for source in stock.words] == [label for label, _, _ in places]
    words = [source.word for source in stock.words]
    for source, before, after in zip(stock.words[1:-1], words, words[2:], strict=False):
        assert before[1] <= source.start < source.word[0]
        assert source.word[1] < source.end <= after[0]
    with pytest.raises(RecordingError, match="no negatives to compose hours of"):
        compose(stock, RECIPE, 60.0, 1, seed=0)


def test_only_sound_of_one_channel_is_composed(stock: Stock) -> None:
    import msgspec

    many = msgspec.structs.replace(recognizer().config, channels=6)
    with pytest.raises(ConfigError, match="6 channels"):
        gather([source.recording for source in stock.words], many)
