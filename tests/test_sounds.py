"""What lanes are put together from: words keep their labels, suspects are windows, mining draws what fooled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import plan

from streamrnn.network import Network
from streamrnn.training import augment, mining
from streamrnn.training.pieces import Clip, Samples, Span, Supply
from streamrnn.training.plan import Range, WordsConfig
from streamrnn.training.sounds import Sound, Suspects, cut, faded, half, levelled, stretch, words
from streamrnn.training.words import Words

RATE = 8000


def noise(seconds: float, seed: int = 0) -> Samples:
    return np.random.default_rng(seed).standard_normal(int(seconds * RATE)).astype(np.float32) * np.float32(0.1)


def clip(samples: Samples, spans: tuple[Span, ...] = (), background: str = "", group: str = "") -> Clip:
    return Clip(samples[:, None], spans, group, "", background, ((0, len(samples)),))


SPANS = st.lists(st.tuples(st.integers(0, 7000), st.integers(1, 3000), st.integers(0, 1)), min_size=1, max_size=4)


@given(SPANS, st.integers(0, 4000), st.integers(1, 400))
def test_each_word_is_cut_whole_with_its_label_and_at_most_its_margin(
    made: list[tuple[int, int, int]], margin: int, shortest: int
) -> None:
    spans = tuple(sorted((Span(a, a + n, label) for a, n, label in made), key=lambda span: span.start))
    cuts = words(clip(np.arange(10000, dtype=np.float32), spans), shortest, margin)
    kept = [span for span in spans if span.end - span.start >= shortest]
    assert len(cuts) == len(kept)
    for word, span in zip(cuts, kept, strict=True):
        (inside,) = word.spans
        assert inside.label == span.label
        assert np.array_equal(word.samples[inside.start : inside.end], np.arange(span.start, span.end))
        assert inside.start <= margin
        assert len(word.samples) - inside.end <= margin


def test_the_margin_around_a_word_holds_no_other_word() -> None:
    spans = (Span(1000, 2000, 0), Span(2100, 3000, 1))
    one, other = words(clip(noise(1), spans), 10, 500)
    assert (len(one.samples), one.end) == (500 + 1000 + 100, 1500)
    assert (len(other.samples), other.spans[0].start) == (100 + 900 + 500, 100)


@given(st.floats(1e-3, 1.0), st.integers(0, 3))
def test_loudness_is_that_of_what_is_said_and_not_of_the_pauses(gain: float, pauses: int) -> None:
    said = noise(1.0) * np.float32(gain)
    sound = np.concatenate([said, np.zeros(pauses * RATE, np.float32)])
    level = levelled(Sound(sound), RATE).samples
    assert float(np.sqrt(np.mean(level[: len(said)] ** 2))) == pytest.approx(1.0, rel=0.02)


def test_silence_stays_silence_and_a_moment_is_a_sound() -> None:
    assert not levelled(Sound(np.zeros(100, np.float32)), RATE).samples.any()
    assert len(levelled(Sound(noise(0.001)), RATE).samples) == 8


@settings(deadline=None)
@given(st.floats(0.7, 1.4), st.floats(0.02, 1.0))
def test_stretching_changes_the_length_and_not_the_pitch(factor: float, seconds: float) -> None:
    tone = np.sin(2 * np.pi * 400 * np.arange(int((0.1 + seconds) * RATE)) / RATE).astype(np.float32)
    slower = augment.stretch(tone, RATE, factor)
    assert len(slower) == int(len(tone) / factor)
    middle = slower[len(slower) // 4 : -len(slower) // 4]
    crossings = np.count_nonzero(np.diff(np.signbit(middle)))
    assert crossings == pytest.approx(2 * 400 * len(middle) / RATE, rel=0.1, abs=2)
    assert np.abs(slower).max() <= 1.1


def test_variants_keep_the_place_of_their_word() -> None:
    """A loud word in silence is still where its span says, whatever speed, stretch and equaliser did."""
    config = WordsConfig(speed=Range(0.75, 1.3), stretched=1.0, room=0.0)
    random = np.random.default_rng(3)
    sound = np.zeros(RATE, np.float32)
    sound[3000:5000] = noise(0.25)
    for _ in range(20):
        made = augment.variant(Sound(sound, (Span(3000, 5000, 1),)), random, config, RATE, ())
        (span,) = made.spans
        power = np.cumsum(made.samples.astype(np.float64) ** 2)
        begin, end = np.searchsorted(power, [0.02 * power[-1], 0.98 * power[-1]])
        # A stretch may lay its overlaps anywhere within 15 ms and looks for them within 8.
        assert span.start == pytest.approx(begin, abs=0.035 * RATE)
        assert span.end == pytest.approx(end, abs=0.035 * RATE)


def test_a_recorded_room_begins_with_its_direct_sound() -> None:
    response = np.zeros(4000, np.float32)
    response[300], response[700] = -0.5, 0.1
    room = augment.measured_room(response, RATE)
    assert (room[0], room[400]) == (1.0, pytest.approx(-0.2, rel=0.01))
    wet = augment.reverberate(np.array([1.0] + [0.0] * 999, np.float32), room, RATE)
    assert np.allclose(wet[[0, 400]], [1.0, -0.2], atol=0.01)


def test_half_a_word_has_no_label_and_is_shorter() -> None:
    word = Sound(noise(1.0), (Span(1000, 6000, 0),))
    for seed in range(10):
        broken = half(word, np.random.default_rng(seed), RATE)
        assert broken.spans == ()
        assert 0 < len(broken.samples) < len(word.samples)


def test_cutting_keeps_whole_words_only_and_fades_its_edges() -> None:
    talk = Sound(noise(2.0), (Span(0, 1000, 0), Span(4000, 5000, 1), Span(9000, 9500, 0)))
    piece = cut(talk, 500, 9400)
    assert piece.spans == (Span(3500, 4500, 1),)
    soft = faded(piece.samples, RATE)
    assert abs(soft[0]) < abs(piece.samples[0])
    assert np.array_equal(soft[100:-100], piece.samples[100:-100])


def suspects() -> Suspects:
    sounds = [[Sound(np.full(int(s * RATE), i + 1, np.float32))] for i, s in enumerate((0.3, 7.0, 0.5))]
    return Suspects(sounds, RATE)


def test_every_suspect_has_windows_and_what_fooled_the_network_is_drawn_most() -> None:
    pool = suspects()
    windows = pool.windows()
    assert len(windows) == len(pool) == 1 + 4 + 1
    assert all(0 < len(window) <= 2.5 * RATE for window in windows)
    random = np.random.default_rng(0)
    pool.weigh(np.array([0, 0, 0, 0, 0, 1.0], np.float32))
    drawn = [float(np.abs(pool.draw(random).samples).max()) for _ in range(200)]
    assert {round(value) for value in drawn} == {1, 2, 3}
    assert np.mean(np.round(drawn) == 3) > 0.6


def test_mining_scores_sounds_alone_whatever_stands_beside_them() -> None:
    torch.manual_seed(0)
    network = Network(plan().recognizer).train()
    sounds = [noise(0.2, 1), noise(1.5, 2), noise(0.7, 3)]
    together = mining.scores(network, sounds)
    alone = [float(mining.scores(network, [sound])[0]) for sound in sounds[1:2]]
    assert network.training
    assert together.shape == (3,)
    assert together[1] == pytest.approx(alone[0], abs=1e-5)
    assert ((together > 0) & (together < 1)).all()


def test_pieces_hold_talk_silence_rooms_and_labels_of_long_recordings() -> None:
    recognizer = Network(plan().recognizer).recognizer
    long = clip(noise(20.0, 1), tuple(Span(a * RATE, a * RATE + 4000, a % 2) for a in range(1, 19, 2)))
    room = np.zeros(2000, np.float32)
    room[0] = 1.0
    clips = [
        *(clip(noise(0.5, 2 + i), (Span(800, 3200, i),)) for i in range(2)),
        long,
        clip(noise(9.0, 5), background="_talk"),
        clip(room, background="_impulse_response"),
        clip(noise(3.0, 6), background="_noise"),
    ]
    config = WordsConfig(variants=2, talking=0.4, silent=0.2, babble=0.5, broken=0.2, background=0.4)
    material = Words(config, recognizer, clips, Supply(0, 4))
    pieces = [material.piece(lane, index) for lane in range(4) for index in range(15)]
    assert all(np.isfinite(piece.samples).all() and np.abs(piece.samples).max() <= 1.0001 for piece in pieces)
    labelled = [piece.target.any() for piece in pieces]
    assert any(labelled)
    assert not all(labelled)
    windows = list(material.suspects(0))
    material.weigh(np.linspace(0, 1, len(windows), dtype=np.float32))
    again = [material.piece(lane, index) for lane in range(4) for index in range(15)]
    assert any(not np.array_equal(one.samples, other.samples) for one, other in zip(pieces, again, strict=True))


@given(SPANS, st.integers(0, 9000), st.integers(1, 9000))
def test_a_stretch_keeps_what_reaches_into_it(made: list[tuple[int, int, int]], start: int, length: int) -> None:
    spans = tuple(Span(a, a + n, label) for a, n, label in made)
    end = min(10000, start + length)
    part = stretch(Sound(np.arange(10000, dtype=np.float32), spans), start, end)
    for label in (0, 1):
        wanted = {at for s in spans if s.label == label for at in range(max(s.start, start), min(s.end, end))}
        kept = (part.samples[span.start : span.end] for span in part.spans if span.label == label)
        assert {int(at) for samples in kept for at in samples} == wanted


def test_scratches_come_and_go_and_are_of_unit_power() -> None:
    for made in augment.scratches(np.random.default_rng(0), RATE, 2):
        assert np.isfinite(made).all()
        assert float(np.std(made)) == pytest.approx(1.0, abs=0.05)
        levels = np.sqrt(np.mean(made[: len(made) // 800 * 800].reshape(-1, 800) ** 2, axis=1))
        assert np.quantile(levels, 0.95) > 2 * np.quantile(levels, 0.2)
