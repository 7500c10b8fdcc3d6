"""Comparing two bundles: the published interval, an exact test, and one line for what cannot be compared."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from tones import HOP, RATE

from streamrnn import bundle, engine
from streamrnn.cli import main
from streamrnn.engine import Serving
from streamrnn.errors import ConfigError
from streamrnn.evaluation.comparing import compare, even_chance, lines, paired
from streamrnn.evaluation.recordings import read_folder
from streamrnn.evaluation.run import evaluate
from streamrnn.testing.signals import noise, sentence, tone_word, write_tone_words

COUNT = st.integers(0, 60)


def deaf_to_high(serving: Serving) -> Serving:
    """The same bundle, whose posterior of "high" is always nothing."""

    def step(samples: np.ndarray, state: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        said, after = serving.step(samples, state)
        return said * np.array([1.0, 1.0, 0.0], np.float32), after

    return dataclasses.replace(serving, name="deaf", step=step)


def nervous(serving: Serving) -> Serving:
    """The same bundle, which takes every silence for "low"."""

    def step(samples: np.ndarray, state: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        said, after = serving.step(samples, state)
        quiet = np.abs(samples).reshape(len(samples), -1, HOP).max(axis=2) < 0.01
        return np.where(quiet[..., None], np.array([0.1, 0.8, 0.1], np.float32), said), after

    return dataclasses.replace(serving, name="nervous", step=step)


def test_the_interval_is_the_published_one() -> None:
    # Newcombe (1998), the first example of his table: 36 both, 12 and 2 only one, 0 neither.
    found = paired(12, 2, 36, 0)
    assert (round(found.value, 4), round(found.low, 4), round(found.high, 4)) == (0.2, 0.0569, 0.3404)


@given(COUNT, COUNT, COUNT, COUNT)
def test_exchanging_the_bundles_turns_the_difference_round(one: int, other: int, both: int, neither: int) -> None:
    if not one + other + both + neither:
        return
    there, back = paired(one, other, both, neither), paired(other, one, both, neither)
    assert there.value == -back.value
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.low <= there.value <= there.high
    assert there.chance == back.chance


@given(COUNT, COUNT)
def test_the_chance_is_that_of_a_fair_coin(one: int, other: int) -> None:
    wanted = binomtest(one, one + other).pvalue if one + other else 1.0
    assert even_chance(one, other) == pytest.approx(wanted)


@pytest.mark.parametrize("shares", [(0.1, 0.05, 0.8, 0.05), (0.2, 0.1, 0.3, 0.4), (0.02, 0.1, 0.85, 0.03)])
def test_the_interval_covers_the_truth_as_often_as_it_says(shares: tuple[float, ...]) -> None:
    random = np.random.default_rng(0)
    found = [paired(*(int(n) for n in random.multinomial(40, shares))) for _ in range(600)]
    assert np.mean([each.low <= shares[0] - shares[1] <= each.high for each in found]) > 0.93


def test_clips_are_paired(serving: Serving, tmp_path: Path) -> None:
    write_tone_words(tmp_path, speakers=("ann", "bob"), clips=10)
    recordings = read_folder(tmp_path)
    first, second = evaluate(serving, recordings), evaluate(deaf_to_high(serving), recordings)
    document = compare(first, second, deaf_to_high(serving))
    accuracy = document["compared"]["accuracy"]
    of = len(first.clips)
    assert (accuracy["this"]["count"], accuracy["against"]["count"]) == (of, of // 2)
    assert (accuracy["difference"]["only_first"], accuracy["difference"]["only_second"]) == (of // 2, 0)
    assert accuracy["difference"]["low"] > 0
    assert any(
        "100.0% here, 50.0% there: +50.0" in line and "more than chance (p < 0.001)" in line for line in lines(document)
    )
    same = compare(first, first, serving)["compared"]["accuracy"]["difference"]
    assert (same["value"], same["chance"]) == (0.0, 1.0)


def test_streams_have_misses_and_false_accepts(serving: Serving, tmp_path: Path) -> None:
    samples, places = sentence(["low", "high"] * 8, RATE, np.random.default_rng(3), pause_s=1.5)
    soundfile.write(tmp_path / "talk.wav", samples, RATE)
    rows = [f"{start / RATE},{end / RATE},{label}" for label, start, end in places]
    (tmp_path / "talk.labels.csv").write_text("\n".join(["start,end,label", *rows, ""]))
    (tmp_path / "manifest.csv").write_text("path,label,labels\ntalk.wav,,talk.labels.csv\n")
    recordings = read_folder(tmp_path)
    results = {each.name: evaluate(each, recordings) for each in (serving, deaf_to_high(serving), nervous(serving))}
    deaf = compare(results["tones"], results["deaf"], deaf_to_high(serving))["compared"]
    assert deaf["miss_rate"]["difference"]["value"] == pytest.approx(-0.5)
    assert deaf["false_accepts_per_hour"]["difference"]["chance"] == 1.0
    wild = compare(results["tones"], results["nervous"], nervous(serving))["compared"]["false_accepts_per_hour"]
    assert wild["difference"]["value"] < 0
    assert wild["difference"]["low"] <= wild["difference"]["value"] <= wild["difference"]["high"]
    assert wild["difference"]["chance"] < 0.05


def test_frames_are_drawn_anew_by_recording(serving: Serving, tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    for number in range(6):
        samples, places = sentence(["low", "high"] * 2, RATE, random)
        y = np.full(len(samples), "nothing", "<U8")
        for label, start, end in places:
            y[start:end] = label
        np.savez(tmp_path / f"{number}.npz", x=samples, fs=RATE, y=y)
    (tmp_path / "manifest.csv").write_text("path,label\n" + "".join(f"{n}.npz,\n" for n in range(6)))
    recordings = read_folder(tmp_path)
    first, second = evaluate(serving, recordings), evaluate(deaf_to_high(serving), recordings)
    score = compare(first, second, serving)["compared"]["macro_f1"]
    assert score["difference"]["low"] > 0
    assert score["difference"]["chance"] < 0.05


def test_other_labels_cannot_be_compared(serving: Serving, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone_word("low", RATE, np.random.default_rng(1)), RATE)
    (tmp_path / "manifest.csv").write_text("path,label\na.wav,low\n")
    recordings = read_folder(tmp_path)
    digits = engine.serving(bundle.read(bundle.locate("digits")))
    with pytest.raises(ConfigError, match="knows other labels"):
        compare(evaluate(serving, recordings), evaluate(digits, recordings), digits)


def test_the_command_shows_both(tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(2)
    for label in ("low", "high"):
        (tmp_path / "data" / label).mkdir(parents=True)
        soundfile.write(tmp_path / "data" / label / "a.wav", tone_word(label, RATE, random), RATE)
    (tmp_path / "data" / "_noise").mkdir()
    soundfile.write(tmp_path / "data" / "_noise" / "a.wav", noise(1.0, RATE, random, 0.01), RATE)
    words = ["eval", str(tiny_bundle), "--data", str(tmp_path / "data"), "--against", str(tiny_bundle)]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "against tones" in told
    assert "may be chance (p 1.000)" in told
    assert main([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["against"]["compared"]["accuracy"]["difference"]["of"] == 2
    assert main([*words[:-1], "digits"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
