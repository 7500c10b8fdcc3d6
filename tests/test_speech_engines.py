"""The engines beside espeak-ng: each says words of a sane length and level, the same for the same seed; together."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.cli import main
from streamrnn.errors import SpeechError
from streamrnn.evaluation.recordings import read_folder
from streamrnn.speech import accents, espeak, flite, pico, together, xsampa
from streamrnn.speech.engines import Engine, EspeakNg, Flite, Pico, Take
from streamrnn.speech.near_misses import near_misses
from streamrnn.speech.phonemes import CONSONANTS, VOWELS
from streamrnn.speech.speaking import speak, trim
from streamrnn.speech.together import Together
from streamrnn.speech.voices import Group
from streamrnn.training.plan import SpeechConfig

needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
needs_pico = pytest.mark.skipif(not pico.available(), reason="ttspico is not installed (streamrnn[speech])")
needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")
OTHERS = [pytest.param(Pico, marks=(needs_espeak, needs_pico)), pytest.param(Flite, marks=(needs_espeak, needs_flite))]
Make = Callable[[Group], Engine]


def random(seed: int = 5) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("make", OTHERS)
@pytest.mark.parametrize("group", ["training", "held-out"])
def test_words_have_the_length_and_level_of_people(make: Make, group: Group) -> None:
    for word, least, most in (("jarvis", 0.35, 1.4), ("alexa", 0.3, 1.4), ("seven", 0.25, 1.3)):
        sounds = speak([word] * 12, random(), 16000, make(group))
        for sound in sounds:
            assert least < len(sound) / 16000 < most
            assert 0.15 < np.abs(sound).max() < 0.95
            assert len(trim(sound)) == len(sound)
        assert len({len(sound) for sound in sounds}) > 6


@pytest.mark.parametrize("make", OTHERS)
def test_the_same_seed_gives_the_same_sounds(make: Make) -> None:
    texts = ["turn on the lights", "alexa", *near_misses("jarvis", random(), 6)]
    one, again, other = (speak(texts, random(seed), 8000, make("training")) for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("make", OTHERS)
def test_no_voice_is_in_both_groups(make: Make) -> None:
    heard = {}
    for group in ("training", "held-out", "all"):
        takes = make(group).deal(["no"] * 120, random())
        assert {take.engine for take in takes} == {make(group).name()}
        assert {take.held_out for take in takes} == {"training": {False}, "held-out": {True}}.get(group, {False, True})
        heard[group] = {take.voice for take in takes}
        assert len(heard[group]) > (group != "held-out")
    assert not heard["training"] & heard["held-out"]
    assert heard["all"] == heard["training"] | heard["held-out"]


@pytest.mark.parametrize("make", OTHERS)
def test_one_voice_says_all(make: Make) -> None:
    texts = ["the lights are on", "where is it", "good morning"]
    take = make("held-out").one_voice(texts, random())
    assert (take.held_out, take.places) == (True, (0, 1, 2))
    sounds, _ = take.say()
    assert len(sounds) == 3
    assert max(np.abs(sound).max() for sound in sounds) < 0.9


@needs_espeak
@needs_flite
def test_flite_says_phonemes_as_it_says_the_word() -> None:
    manner = flite.Manner(1.0, 120)
    for word in ("seven", "jarvis", "hotel"):
        (phonemes,) = accents.in_phonemes([word])
        (said, rate), (read, _) = (flite.render("awb", manner, text) for text in (word, phonemes))
        assert len(trim(said)) == pytest.approx(len(trim(read)), rel=0.15)
        assert rate == 16000


@needs_espeak
@needs_pico
@pytest.mark.parametrize("language", pico.TRAINING + pico.HELD_OUT)
def test_pico_says_every_phoneme(language: str) -> None:
    # What a language does not know changes nothing: a consonant before a vowel, a vowel between two consonants.
    manner = pico.Manner(100, 100)

    def said(*sounds: str) -> bytes:
        return pico.render(language, manner, accents.in_brackets((sounds,)))[0].tobytes()

    silent = {sound for sound in CONSONANTS if said(sound, "'i:") == said("'i:")}
    silent |= {sound for sound in VOWELS if said("b", f"'{sound}", "t") == said("b", "t")}
    # French and Italian have no h; nobody writes a glottal stop.
    assert silent <= {"?", "h", *(("x",) if language == "it-IT" else ())}


@needs_espeak
@needs_pico
@pytest.mark.parametrize("language", pico.TRAINING + pico.HELD_OUT)
def test_nothing_is_heard_after_what_pico_says(language: str) -> None:
    # The pause after a call is longer; a click in it would count as speech.
    for text in accents.in_phonemes(["jarvis", "alexa"]):
        said, called = (trim(pico.render(language, pico.Manner(80, 110), ended)[0]) for ended in (text, f"{text}!"))
        assert 0.4 * 16000 < len(said) < 16000
        assert len(called) == pytest.approx(len(said), rel=0.05)


@given(st.sampled_from(sorted(xsampa.KNOWN)), st.lists(st.sampled_from(sorted([*CONSONANTS, *VOWELS]))))
def test_what_is_transcribed_is_known(language: str, sounds: list[str]) -> None:
    symbols = xsampa.transcribed(tuple(sounds), language).replace('"', "").split()
    assert xsampa.KNOWN[language].issuperset(symbols)


class Tones:
    """An engine that is everywhere: a tone for each text, as long as the text."""

    def __init__(self, pitch: float) -> None:
        self._pitch = pitch

    def name(self) -> str:
        return f"tones of {self._pitch:g} Hz"

    def deal(self, texts: list[str], random: np.random.Generator) -> list[Take]:
        return [self._take(texts, tuple(range(first, len(texts), 2))) for first in range(min(2, len(texts)))]

    def one_voice(self, texts: list[str], random: np.random.Generator) -> Take:
        return self._take(texts, tuple(range(len(texts))))

    def _take(self, texts: list[str], places: tuple[int, ...]) -> Take:
        tones = [np.ones(int(texts[place]), np.float32) for place in places]
        return Take(self.name(), "tone", held_out=False, places=places, say=lambda: (tones, 8000))


@given(st.integers(1, 4), st.integers(0, 30))
def test_engines_together_say_every_text_once_and_in_turn(engines: int, count: int) -> None:
    made = Together(tuple(Tones(pitch) for pitch in range(engines)))
    texts = [str(100 + place) for place in range(count)]
    takes = made.deal(texts, random())
    assert sorted(place for take in takes for place in take.places) == list(range(count))
    for take in takes:
        assert {place % engines for place in take.places} <= {int(take.engine.split()[2])}
    assert [len(sound) for sound in speak(texts, random(), 8000, made)] == list(range(100, 100 + count))


def test_one_engine_alone_is_what_it_was() -> None:
    assert together.as_one([EspeakNg()]) == EspeakNg()
    with pytest.raises(SpeechError, match="name one"):
        together.as_one([])


@needs_espeak
def test_without_other_engines_espeak_speaks_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "espeak-ng").symlink_to(str(shutil.which("espeak-ng")))
    monkeypatch.setenv("PATH", str(tmp_path))
    there = together.installed()
    assert "espeak-ng" in there
    assert "flite" not in there
    assert together.named(("espeak-ng",), "held-out") == EspeakNg("held-out")
    with pytest.raises(SpeechError, match="flite is not installed; apt-get install flite, or leave it out"):
        together.named(("espeak-ng", "flite"), "training")


def test_nothing_is_installed_without_espeak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert together.installed() == ()
    for names in ((), ("pico",), ("flite",)):
        with pytest.raises(SpeechError, match="espeak-ng is not installed"):
            together.named(names, "training")


def test_a_config_names_engines() -> None:
    made = msgspec.convert({"texts": {}, "engines": ["pico", "espeak-ng"]}, SpeechConfig)
    assert made.engines == ("pico", "espeak-ng")
    with pytest.raises(msgspec.ValidationError, match="engines"):
        msgspec.convert({"texts": {}, "engines": ["festival"]}, SpeechConfig)


@needs_espeak
@needs_pico
@needs_flite
def test_synth_says_who_spoke(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["synth", "jarvis", "--near-misses", "--talk", "0.1", "--count", "12"]
    for out in ("a", "b"):
        assert main([*words, "--out", str(tmp_path / out)]) == 0
    told = capsys.readouterr().out
    versions = (espeak.version(), pico.version(), flite.version())
    assert all(version in told for version in versions)
    with (tmp_path / "a" / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    engines = Counter((row["label"], row["engine"]) for row in rows)
    assert [engines["jarvis", version] for version in versions] == [4, 4, 4]
    assert [engines["_near_miss", version] for version in versions] == [1, 1, 1]
    assert {row["speaker"] for row in rows if row["engine"] == flite.version()} <= {
        f"flite-{v}" for v in flite.TRAINING
    }
    for one, other in zip(read_folder(tmp_path / "a"), read_folder(tmp_path / "b"), strict=True):
        assert np.array_equal(one.samples(), other.samples())
    assert main([*words, "--engine", "flite", "--voices", "held-out", "--out", str(tmp_path / "c")]) == 0
    assert {(each.group, each.split) for each in read_folder(tmp_path / "c")} == {("flite-rms", "dev")}
