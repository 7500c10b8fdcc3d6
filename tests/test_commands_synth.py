"""synth: a data folder that training reads, the same for the same seed, by espeak-ng or Piper; mistakes in a line."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamrnn.cli import main
from streamrnn.evaluation.recordings import read_folder
from streamrnn.speech.voices import _HELD_OUT

needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")

# Stands in for Piper: what all three programs of the name have in common, and a tone for a voice.
_PIPER = """\
#!{python}
import argparse, pathlib, sys, time
import numpy as np, soundfile
parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--output_dir", required=True)
parser.add_argument("--speaker", type=int)
for name in ("length_scale", "noise_scale", "noise_w"):
    parser.add_argument("--" + name, type=float)
said = parser.parse_args()
assert pathlib.Path(said.model).is_file()
for line in sys.stdin:
    if "fail" in line:
        sys.exit("no phonemes for " + line)
    assert "[[" not in line
    seconds = 0.1 * len(line.strip()) * said.length_scale
    tone = 0.3 * np.sin(2 * np.pi * (200 + 50 * said.speaker) * np.arange(int(22050 * seconds)) / 22050)
    quiet = np.zeros(2000)
    soundfile.write(f"{{said.output_dir}}/{{time.monotonic_ns()}}.wav", np.concatenate([quiet, tone, quiet]), 22050)
"""


# What is said of voices here is said of its eight hundred; the other engines have tests/test_speech_engines.py.
ESPEAK = ("--engine", "espeak-ng")


def synth(*words: object) -> int:
    return main(["synth", *(str(word) for word in words)])


def content(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def piper_voice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A voice of three speakers, and a stand-in for Piper on the path."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "piper").write_text(_PIPER.format(python=sys.executable))
    (tools / "piper").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    (tmp_path / "en.onnx").write_bytes(b"")
    (tmp_path / "en.onnx.json").write_text('{"num_speakers": 3, "audio": {"sample_rate": 22050}}')
    return tmp_path / "en.onnx"


@needs_espeak
def test_a_folder_that_training_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "lights"
    words = ("turn on the lights", "jarvis", "--near-misses", "--talk", 0.5, "--count", 20, "--out", out)
    assert synth(*words, *ESPEAK, "--json", "--rate", 8000) == 0
    document = json.loads(capsys.readouterr().out)
    recordings = read_folder(out)
    assert len(recordings) == document["recordings"] == 51
    labels = [recording.segments[0].label for recording in recordings]
    counts = {label: labels.count(label) for label in labels}
    assert counts == {"turn-on-the-lights": 20, "jarvis": 20, "_near_miss": 10, "_speech": 1}
    assert {name: label["recordings"] for name, label in document["labels"].items()} == counts
    assert document["seconds"] == pytest.approx(sum(recording.seconds for recording in recordings), abs=0.1)
    assert len({recording.group for recording in recordings}) == document["voices"] > 30
    assert {recording.split for recording in recordings} == {"train"}
    for recording in recordings:
        assert recording.rate == 8000
        sound = recording.samples()
        assert np.abs(sound).max() > 0.02
        if recording.segments[0].label == "_speech":
            assert recording.seconds == pytest.approx(30.0)
        else:
            assert 0.1 < recording.seconds < 4.0
    told = [line for line in (out / "manifest.csv").read_text().splitlines() if "_near_miss" in line]
    assert len({line.split(",")[4] for line in told}) > 8
    assert not list(tmp_path.glob(".*"))


@needs_espeak
def test_the_same_seed_gives_the_same_bytes_and_talk_changes_no_word(tmp_path: Path) -> None:
    made = {}
    for name, more in (("one", ()), ("again", ()), ("other", ("--seed", 7)), ("talk", ("--talk", 0.1))):
        assert synth("jarvis", "--near-misses", "--count", 10, "--out", tmp_path / name, *more) == 0
        made[name] = content(tmp_path / name)
    assert made["one"] == made["again"]
    waves = {path for path in made["one"] if path.endswith(".wav")}
    assert not {made["one"][path] for path in waves} & {made["other"][path] for path in waves}
    assert all(made["talk"][path] == made["one"][path] for path in waves)
    assert len(made["talk"]) == len(made["one"]) + 1


@needs_espeak
def test_held_out_voices_are_of_the_split_dev(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        synth("yes please", "--voices", "held-out", "--label", "yes", "--count", 12, *ESPEAK, "--out", tmp_path / "a")
        == 0
    )
    said = ("yes please", "--voices", "all", "--label", "yes", "--count", 60)
    assert synth(*said, *ESPEAK, "--out", tmp_path / "b") == 0
    recordings = read_folder(tmp_path / "a")
    assert {recording.split for recording in recordings} == {"dev"}
    for recording in (*recordings, *read_folder(tmp_path / "b")):
        assert recording.segments[0].label == "yes"
        assert (recording.split == "dev") == (recording.group.partition("+")[2] in _HELD_OUT)
    assert "yes" in capsys.readouterr().out


@needs_espeak
def test_progress_goes_to_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert synth("jarvis", "--count", 30, "--out", tmp_path / "a") == 0
    told = capsys.readouterr()
    assert len(told.err.splitlines()) == 10
    assert "30 of 30 recordings" in told.err
    assert told.out.startswith(f"{tmp_path}/a: 30 recordings")


@needs_espeak
def test_piper_speaks_what_is_spelled(piper_voice: Path, tmp_path: Path) -> None:
    words = ("jarvis", "--near-misses", "--talk", 0.3, "--count", 30, "--engine", "piper", "--voice", piper_voice)
    assert synth(*words, "--out", tmp_path / "a") == 0
    recordings = read_folder(tmp_path / "a")
    labels = [recording.segments[0].label for recording in recordings]
    assert (labels.count("jarvis"), labels.count("_near_miss"), labels.count("_speech")) == (30, 8, 1)
    assert {recording.group for recording in recordings} <= {"en-0", "en-1", "en-2"}
    assert len({recording.group for recording in recordings}) > 1
    jarvis = [recording.seconds for recording in recordings if recording.segments[0].label == "jarvis"]
    # Six letters at 0.1 s each, spoken at 0.8 to 1.3 of it, and the silence around them gone.
    assert 0.6 * 0.79 < min(jarvis) < max(jarvis) < 0.6 * 1.31
    assert len(set(jarvis)) > 1


def test_piper_that_fails_leaves_nothing_behind(
    piper_voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    code = synth("fail here", "--count", 3, "--engine", "piper", "--voice", piper_voice, "--out", tmp_path / "a")
    told = capsys.readouterr().err
    assert code == 2
    assert "no phonemes for fail here; is it the speech engine Piper" in told
    assert told.count("\n") == 1
    assert not (tmp_path / "a").exists()
    assert not list(tmp_path.glob(".*"))


def mistakes(folder: Path) -> dict[str, list[object]]:
    """What a user may get wrong, by a part of the line that says so."""
    (folder / "full").mkdir()
    (folder / "full" / "x").write_text("")
    (folder / "file").write_text("")
    (folder / "voice.onnx").write_text("")
    out = ["--out", folder / "new"]
    piper = ["jarvis", *out, "--engine", "piper"]
    return {
        "full: is there already and not empty": ["jarvis", "--out", folder / "full"],
        "file: is there already and not empty": ["jarvis", "--out", folder / "file"],
        "--count 0: write 1 or more": ["jarvis", *out, "--count", 0],
        "--seed -1: write 0 or more": ["jarvis", *out, "--seed", -1],
        "--talk -1: write minutes": ["jarvis", *out, "--talk", -1],
        "--talk nan: write minutes": ["jarvis", *out, "--talk", "nan"],
        "--rate 100: write 4000 to 192000 Hz": ["jarvis", *out, "--rate", 100],
        "a phrase has 200 at most": ["jarvis " * 40, *out],
        "'???': no label can be made of it": ["???", *out],
        "'???': espeak-ng says nothing for it": ["???", *out, "--label", "x", *ESPEAK],
        "'???': espeak-ng finds no word in it": ["???", *out, "--label", "x", "--near-misses"],
        "--label '': write 1 to 128 letters": ["jarvis", *out, "--label", ""],
        "--engine piper: needs a voice": piper,
        "gone.onnx: no such file": [*piper, "--voice", folder / "gone.onnx"],
        "voice.onnx.json: no such file": [*piper, "--voice", folder / "voice.onnx"],
        "--voices held-out: Piper has none": [*piper, "--voice", folder / "voice.onnx", "--voices", "held-out"],
        "is a voice of Piper; add --engine piper": ["jarvis", *out, "--voice", folder / "voice.onnx"],
    }


@needs_espeak
def test_every_mistake_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for complaint, words in mistakes(tmp_path).items():
        assert synth(*words) == 2, complaint
        told = capsys.readouterr()
        assert complaint in told.err
        assert (told.out, told.err.count("\n")) == ("", 1)
        assert not (tmp_path / "new").exists()


def test_missing_engines_are_named_with_their_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "en.onnx").write_bytes(b"")
    (tmp_path / "en.onnx.json").write_text("{}")
    assert synth("jarvis", "--out", tmp_path / "a") == 2
    assert "apt-get install espeak-ng" in capsys.readouterr().err
    assert synth("jarvis", "--out", tmp_path / "a", "--engine", "piper", "--voice", tmp_path / "en.onnx") == 2
    assert "pip install piper-tts" in capsys.readouterr().err


@needs_espeak
def test_levels_are_those_of_people(tmp_path: Path) -> None:
    assert synth("jarvis", "--count", 60, *ESPEAK, "--out", tmp_path / "a") == 0
    peaks = [np.abs(soundfile.read(path)[0]).max() for path in (tmp_path / "a").rglob("*.wav")]
    assert np.mean(np.array(peaks) > 0.99) < 0.1
    assert max(peaks) / min(peaks) > 2
