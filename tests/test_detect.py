"""detect: the events of any recording in any form, in seconds for people and as JSON lines for programs."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from tones import RATE, write_bundle

import streamrnn
from streamrnn.events import Heard
from streamrnn.testing.signals import sentence, silence

SAID = ["low", "high", "high", "low"]


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "tones.bundle").path


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "streamrnn", *(str(word) for word in words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def talk(rate: int, channels: int = 1) -> tuple[np.ndarray, list[tuple[str, int, int]]]:
    samples, places = sentence(SAID, rate, np.random.default_rng(11))
    return np.repeat(samples, channels, axis=1), places


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


FORMS = [
    ("a.wav", "PCM_16", 1, 8000),
    ("b.wav", "PCM_24", 1, 48000),
    ("c.wav", "FLOAT", 2, 44100),
    ("d.flac", "PCM_16", 2, 16000),
]


def test_any_form_gives_the_words_at_their_places(tones: Path, tmp_path: Path) -> None:
    for name, subtype, channels, rate in FORMS:
        soundfile.write(tmp_path / name, talk(rate, channels)[0], rate, subtype=subtype)
    done = run("detect", tones, *(tmp_path / name for name, *_ in FORMS), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    for name, _, channels, rate in FORMS:
        heard = [event for event in events(done.stdout) if event["file"] == str(tmp_path / name)]
        assert [event["label"] for event in heard] == SAID
        for event, (_, start, end) in zip(heard, talk(rate, channels)[1], strict=True):
            assert event["rate"] == rate
            assert start - 0.1 * rate < event["start"] < event["end"] < end + 0.2 * rate
            assert 0.0 < event["score"] <= 1.0


def test_sensor_arrays_are_recordings_too(tones: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=talk(RATE)[0], fs=RATE)
    done = run("detect", tones, tmp_path / "a.npz", "--json")
    assert [event["label"] for event in events(done.stdout)] == SAID


def test_people_read_seconds(tones: Path, tmp_path: Path) -> None:
    samples, places = talk(RATE)
    soundfile.write(tmp_path / "talk.wav", samples, RATE)
    soundfile.write(tmp_path / "hush.wav", silence(1.0, RATE), RATE)
    done = run("detect", tones, tmp_path / "talk.wav", tmp_path / "hush.wav")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == f"{tmp_path}/talk.wav:"
    assert lines[-2:] == [f"{tmp_path}/hush.wav:", "nothing heard"]
    for line, (label, start, _) in zip(lines[1:-2], places, strict=True):
        begun, _, unit, heard, score = line.split()
        assert (unit, heard) == ("s", label)
        assert abs(float(begun) - start / RATE) < 0.15
        assert 0.0 < float(score) <= 1.0


def test_a_program_hears_the_same(tones: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", talk(RATE)[0], RATE)
    samples, rate = soundfile.read(tmp_path / "a.flac", dtype="float32")
    in_process = [event.body for event in streamrnn.load(tones).detect(samples, rate)]
    by_command = events(run("detect", tones, tmp_path / "a.flac", "--json").stdout)
    assert [Heard(**{key: event[key] for key in Heard.__struct_fields__}) for event in by_command] == in_process


def bad_files(folder: Path) -> dict[str, Path]:
    lying = folder / "lying.wav"
    soundfile.write(lying, talk(RATE)[0], RATE)
    data = bytearray(lying.read_bytes())
    struct.pack_into("<I", data, data.index(b"data") + 4, 2**30)
    lying.write_bytes(data)
    soundfile.write(folder / "empty.wav", np.zeros(0), RATE)
    soundfile.write(folder / "inf.wav", np.array([0.0, np.inf]), RATE, subtype="FLOAT")
    (folder / "text.flac").write_text("no sound")
    (folder / "cut.flac").write_bytes(b"fLaC")
    return {
        "the header promises 1073741824 bytes": lying,
        "0 samples": folder / "empty.wav",
        "sample 1 is inf": folder / "inf.wav",
        "text.flac: not readable as sound": folder / "text.flac",
        "cut.flac: not readable as sound": folder / "cut.flac",
        "No such file": folder / "gone.wav",
        "is not read; give": folder,
    }


def test_every_bad_file_is_one_line_and_exit_code_2(tones: Path, tmp_path: Path) -> None:
    for complaint, path in bad_files(tmp_path).items():
        done = run("detect", tones, path)
        assert (done.returncode, done.stdout) == (2, ""), complaint
        assert complaint in done.stderr
        assert str(path) in done.stderr
        assert done.stderr.count("\n") == 1, done.stderr


def test_a_bundle_that_is_not_there(tmp_path: Path) -> None:
    done = run("detect", "nobody", tmp_path / "a.wav")
    assert done.returncode == 2
    assert done.stderr.startswith("streamrnn detect: nobody: no file and no shipped bundle")


def test_a_reader_that_leaves_early_is_no_fault(tones: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", talk(RATE)[0], RATE)
    command = [sys.executable, "-m", "streamrnn", "detect", str(tones), str(tmp_path / "a.wav"), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0
