"""The shipped voice activity hears speech made from text in voices that training does not use, and no noise for it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
import yaml
from daemons import command

import streamrnn
from streamrnn import bundle, config
from streamrnn.cli import main
from streamrnn.events import Event
from streamrnn.speech import espeak
from streamrnn.speech.engines import EspeakNg
from streamrnn.speech.speaking import speak
from streamrnn.testing.signals import noise

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "streamrnn" / "recordings" / "demo.flac"
RATE = 16000
TEXTS = [
    "Could somebody open the window, please?",
    "I have not seen her since the end of October.",
    "Seven of them arrived on the early train this morning.",
    "That is what we said last time, and nobody listened.",
]


def heard(events: list[Event], samples: int) -> np.ndarray:
    """(samples,): where it says that somebody speaks."""
    inside = np.zeros(samples, np.bool_)
    for event in events:
        inside[event.body.start : event.body.end] = True
    return inside


def spoken(snr_db: float) -> tuple[np.ndarray, np.ndarray]:
    """Sentences between pauses of two seconds under white noise: samples (time,), and where somebody speaks."""
    random = np.random.default_rng(4)
    pause = np.zeros(2 * RATE, np.float32)
    parts, truth = [pause], [np.zeros(len(pause), np.bool_)]
    for sentence in speak(TEXTS, random, RATE, EspeakNg("held-out")):
        level = np.float32(0.05 / np.sqrt(np.mean(sentence**2)))
        parts += [sentence * level, pause]
        truth += [np.ones(len(sentence), np.bool_), np.zeros(len(pause), np.bool_)]
    samples, said = np.concatenate(parts), np.concatenate(truth)
    under = noise(len(samples) / RATE, RATE, random, 1.0).astype(np.float32)[: len(samples)].reshape(-1)
    return samples + under / under.std() * np.float32(0.05 * 10 ** (-snr_db / 20)), said


spoken_by_espeak = pytest.mark.skipif(
    not espeak.available(), reason="espeak-ng makes the speech of this test and is not installed"
)


@spoken_by_espeak
@pytest.mark.parametrize("snr_db", [30.0, 10.0])
def test_sentences_between_pauses_are_found_under_noise(snr_db: float) -> None:
    samples, said = spoken(snr_db)
    found = heard(streamrnn.load("voice").detect(samples, RATE), len(samples))
    assert (found & said).sum() >= 0.75 * said.sum()
    assert (found & said).sum() >= 0.9 * found.sum()


@pytest.mark.parametrize("gain", [0.001, 0.03, 0.3])
def test_noise_is_not_speech(gain: float) -> None:
    samples = noise(20.0, RATE, np.random.default_rng(2), gain).astype(np.float32)
    found = heard(streamrnn.load("voice").detect(samples, RATE), len(samples))
    assert found.mean() <= 0.03


def test_silence_is_not_speech() -> None:
    assert streamrnn.load("voice").detect(np.zeros((10 * RATE, 1), np.float32), RATE) == []


def test_the_law_and_the_golden_answer_hold(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "voice", "--audio", str(DEMO)]) == 0, capsys.readouterr().out


@spoken_by_espeak
def test_eval_judges_its_segments_frame_by_frame(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples, said = spoken(20.0)
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    edges = np.flatnonzero(np.diff(said.astype(np.int8))) / RATE
    rows = [f"a.wav,speech,{start},{end}" for start, end in zip(edges[::2], edges[1::2], strict=True)]
    (tmp_path / "manifest.csv").write_text("\n".join(["path,label,start,end", *rows, ""]))
    assert main(["eval", "voice", "--data", str(tmp_path), "--json"]) == 0
    judged = json.loads(capsys.readouterr().out)
    assert judged["frame_precision"] >= 0.9
    assert judged["frame_recall"] >= 0.75
    assert judged["frame_f1"] >= 0.83


def test_it_is_what_its_recipe_says() -> None:
    from streamrnn.training.plan import TrainingConfig

    described = bundle.read(bundle.shipped("voice")).recognizer.config
    assert msgspec.to_builtins(config.load(ROOT / "configs" / "voice.yaml", TrainingConfig).recognizer) == (
        msgspec.to_builtins(described)
    )


def test_a_daemon_tells_segments_beside_the_words_that_are_said_in_them(tmp_path: Path) -> None:
    import subprocess

    document = yaml.safe_load((ROOT / "configs" / "daemon-voice.yaml").read_text())
    document["sinks"] = [{"kind": "jsonl", "path": str(tmp_path / "events.jsonl")}]
    (tmp_path / "daemon.yaml").write_text(yaml.safe_dump(document))
    done = subprocess.run(
        command("serve", tmp_path / "daemon.yaml"), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    segments = [each["body"] for each in events if each["kind"] == "segment"]
    words = [each["body"] for each in events if each["kind"] == "detection"]
    assert len(segments) >= 5
    assert {each["label"] for each in segments} == {"speech"}
    inside = [any(s["start"] < w["end"] and w["start"] < s["end"] for s in segments) for w in words]
    assert len(words) >= 15
    assert sum(inside) >= 0.9 * len(words)
