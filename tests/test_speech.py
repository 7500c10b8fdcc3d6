"""Speech from text: voices that differ, near misses that are not the phrase, talk without it, the same each time."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.errors import SpeechError
from streamrnn.speech import accents, espeak, talk, vocabulary, voices
from streamrnn.speech.engines import EspeakNg
from streamrnn.speech.espeak import Utterance
from streamrnn.speech.near_misses import near_misses
from streamrnn.speech.phonemes import CONSONANTS, VOWELS, bare, difference, distance, nearest, plain, total
from streamrnn.speech.sentences import sentences
from streamrnn.speech.speaking import speak
from streamrnn.speech.spelling import spelled
from streamrnn.speech.voices import ENGLISH, FOREIGN, Voice

RATE = 16000
PHRASES = ("jarvis", "alexa", "turn on the lights", "go")
needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
SOUND = st.sampled_from([*CONSONANTS, *VOWELS, *(f"'{vowel}" for vowel in VOWELS)])
SOUNDS = st.lists(SOUND, max_size=12).map(tuple)


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def sounds(text: str, voice: str = "en-us") -> tuple[str, ...]:
    (words,) = espeak.pronounce([text], voice)
    return plain(sum(words, ()))


# What is near and what is far.


@given(SOUNDS, SOUNDS)
def test_the_distance_of_sounds_is_one(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert distance(one, one) == 0.0
    assert distance(one, other) == pytest.approx(distance(other, one))
    assert 0.0 <= distance(one, other) <= total(one) + total(other) + 1e-9
    assert distance(one, ()) == pytest.approx(total(one))
    assert nearest(one, other) <= distance(one, other) + 1e-9


@given(SOUNDS, SOUNDS, SOUNDS)
def test_a_phrase_is_found_wherever_it_stands(
    phrase: tuple[str, ...], one: tuple[str, ...], two: tuple[str, ...]
) -> None:
    assert nearest(phrase, one + phrase + two) == pytest.approx(0.0)


def test_what_is_made_alike_is_near() -> None:
    nearer = [("p", "b", "m"), ("s", "z", "t"), ("i:", "I", "A:"), ("k", "g", "l"), ("T", "f", "dZ"), ("E", "a", "u:")]
    for sound, near, far in nearer:
        assert difference(sound, near) < difference(sound, far)
    assert difference("p", "a") > max(difference("p", other) for other in CONSONANTS)


# Voices.


def test_the_demo_speaks_in_a_voice_that_training_never_hears() -> None:
    source = (Path(__file__).parent / "golden" / "make_demo.py").read_text()
    tracts = re.findall(r'"espeak-ng", "-v", "en-[a-z]+\+(\w+)"', source)
    assert tracts
    assert set(tracts) <= set(voices._HELD_OUT)
    assert not set(voices._TRAINING) & set(voices._HELD_OUT)


@needs_espeak
def test_a_group_has_its_voices_and_no_others() -> None:
    for group in ("training", "held-out"):
        drawn = [voices.draw(random(seed), group) for seed in range(200)]
        assert {each.tract for each in drawn} <= set(voices.tracts(group))
        assert {voices.is_held_out(each) for each in drawn} == {group == "held-out"}
        assert len({each.accent for each in drawn}) > 8
        assert len({each.name for each in drawn}) > 60


@needs_espeak
def test_every_vocal_tract_sounds_like_no_other() -> None:
    said = {}
    for tract in voices.tracts("all"):
        voice = Voice("en-us", tract, 160, 50, 0, 60)
        (sound,), rate = espeak.render(voice.options, [Utterance("jarvis, turn on the lights")])
        assert 0.5 < len(sound) / rate < 4.0
        windows = sound[: len(sound) // 512 * 512].reshape(-1, 512) * np.hanning(512)
        energy = (np.abs(np.fft.rfft(windows)) ** 2).mean(axis=0)[1:241].reshape(24, 10).sum(axis=1)
        said[tract] = 10 * np.log10(energy / energy.sum() + 1e-6)
    names = list(said)
    held_out = set(voices.tracts("held-out"))
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            apart = float(np.sqrt(np.mean((said[one] - said[other]) ** 2)))
            assert apart > (1.0 if {one, other} & held_out else 0.3), (one, other)


@needs_espeak
@pytest.mark.parametrize("accent", [*ENGLISH, *FOREIGN])
def test_no_accent_leaves_a_sound_of_a_phrase_out(accent: str) -> None:
    for text in ("jarvis", "turn on the lights", "could you measure the third bird", "fire the boy"):
        (words,) = espeak.pronounce([text])
        wanted = [sum(bool(plain((s,))) for s in accents.render(word, accent)) for word in words]
        (given_to_it,) = accents.spoken_by([accents.in_brackets(words)], accent)
        (said,) = espeak.pronounce([given_to_it], accent)
        assert len(said) == len(words)
        for word, count in zip(said, wanted, strict=True):
            assert sum(map(bool, plain(word))) >= count - 1, (text, said)


# Speaking.


@needs_espeak
def test_the_same_seed_speaks_the_same_in_many_voices() -> None:
    texts = ["jarvis"] * 30 + ["[[dZ|'A@|m|I|s]]"] * 10
    one, again, other = (speak(texts, random(seed), RATE) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert len({sound.tobytes() for sound in one}) == len(texts)
    for sound in one:
        peak = np.abs(sound).max()
        assert 0.2 < len(sound) / RATE < 1.5
        assert 0.02 < peak <= 1.0
        assert min(abs(sound[0]), abs(sound[-1])) > 0.005 * peak
        assert sound.dtype == np.float32


@needs_espeak
@settings(max_examples=8, deadline=None)
@given(
    st.lists(
        st.sampled_from(["no!", "Well, then; go!", "One. Two. Three!", "[[t|'u:]]?", "a & b < c:"]),
        min_size=1,
        max_size=9,
    )
)
def test_many_texts_of_a_process_come_apart_as_they_went_in(texts: list[str]) -> None:
    options = Voice("en-us", "f4", 110, 50, 2, 70).options
    together, rate = espeak.render(options, [Utterance(text, rate=90) for text in texts])
    assert len(together) == len(texts)
    for text, sound in zip(texts, together, strict=True):
        (alone,), _ = espeak.render(options, [Utterance(text, rate=90)])
        assert abs(len(alone) - len(sound)) < 0.15 * rate


@needs_espeak
def test_what_cannot_be_said_is_a_plain_sentence() -> None:
    for wrong in (lambda: speak(["..."], random(), RATE), lambda: near_misses("??", random(), 3)):
        with pytest.raises(SpeechError, match=r"espeak-ng (says nothing|finds no word)"):
            wrong()


def test_a_missing_engine_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not espeak.available()
    with pytest.raises(SpeechError, match="apt-get install espeak-ng"):
        speak(["jarvis"], random(), RATE)


# Near misses.


@needs_espeak
@pytest.mark.parametrize("phrase", PHRASES)
def test_near_misses_are_many_different_and_none_is_the_phrase(phrase: str) -> None:
    found = near_misses(phrase, random(3), 60)
    assert len(found) == len(set(found)) == 60
    assert found == near_misses(phrase, random(3), 60)
    assert found != near_misses(phrase, random(4), 60)
    own = sounds(phrase)
    # Near, unless it is a part of the phrase; and heard as espeak-ng itself reads it.
    apart = [distance(sounds(text), own) for text in found[:20]]
    assert np.median(apart) < 0.6 * total(own)


@needs_espeak
@pytest.mark.parametrize("phrase", PHRASES)
def test_no_accent_makes_the_phrase_of_a_near_miss(phrase: str) -> None:
    found = near_misses(phrase, random(5), 40)
    for accent in ENGLISH:
        own = sounds(phrase, accent)
        for text, words in zip(found, espeak.pronounce(found, accent), strict=True):
            assert nearest(own, plain(sum(words, ()))) > 0.2, (accent, text)


@needs_espeak
def test_near_misses_of_one_phrase_are_not_another() -> None:
    other = sounds("lights off")
    assert all(nearest(other, sounds(text)) > 0.3 for text in near_misses("lights on", random(), 60, ["lights off"]))


@needs_espeak
def test_near_misses_are_pieces_of_it_and_words_like_it_too() -> None:
    found = {spelled(text) for text in near_misses("jarvis", random(), 120)}
    assert "jar" in found
    assert any(text.startswith("jar") and len(text) > 3 for text in found)
    assert any(text.endswith("vis") and not text.startswith("jar") for text in found)
    common = {spelled(accents.in_brackets((sum(words, ()),))) for words in espeak.pronounce(vocabulary.words())}
    assert found & common


# Sentences and talk.


@needs_espeak
def test_no_sentence_has_the_phrase_in_it() -> None:
    avoid = ("turn on the lights", "harvest", "jarvis")
    told = sentences(random(), 200, avoid)
    assert len(told) == 200
    assert told == sentences(random(), 200, avoid)
    assert len(set(told)) > 150
    every = [plain(sum(words, ())) for words in espeak.pronounce(told)]
    for phrase in avoid:
        own = sounds(phrase)
        assert min(nearest(own, said) for said in every) > 0.15 * total(own)
    assert not any("harvest" in text.lower() for text in told)
    assert any("harvest" in text.lower() for text in sentences(random(), 2000))


@needs_espeak
def test_a_phrase_that_is_everywhere_cannot_be_avoided() -> None:
    with pytest.raises(SpeechError, match="choose a longer phrase"):
        sentences(random(), 50, ["uh", "eh", "ee", "ah", "oo", "er", "ay", "oh", "i"])


@settings(max_examples=30)
@given(st.floats(0.5, 4000.0), st.integers(0, 99))
def test_talk_is_as_long_as_was_asked_for(seconds: float, seed: int) -> None:
    lengths = talk._lengths(seconds, random(seed))
    assert sum(lengths) == pytest.approx(seconds)
    assert max(lengths) <= 60.0
    assert min(lengths) >= min(20.0, seconds) - 1e-9


@needs_espeak
def test_talk_goes_on_in_one_voice() -> None:
    plan = talk.plan(50.0, random(), ["jarvis"], EspeakNg("held-out"))
    (told, sound), *more = talk.tell(plan, 8000)
    assert not more
    assert told.take.held_out
    assert len(sound) == 50 * 8000
    loud = np.abs(sound[: 49 * 8000].reshape(-1, 400)).max(axis=1) > 0.02 * np.abs(sound).max()
    assert 0.4 < loud.mean() < 0.95


def test_phonemes_are_spelled_for_people() -> None:
    assert spelled("hey [[dZ|'A@|m|I|s]]!") == "hey jarmis!"
    assert all(bare(sound) == sound for sound in (*CONSONANTS, *VOWELS))
