"""eval: the clip rule, streams and frames through the one engine, and one line for every mistake of a user."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
from tones import HOP, RATE, write_bundle

from streamrnn import bundle, decoders, engine
from streamrnn.decoders import SegmentsConfig
from streamrnn.engine import Serving
from streamrnn.evaluation import playing
from streamrnn.evaluation.page import page
from streamrnn.evaluation.progress import Lines
from streamrnn.evaluation.recordings import read_data, read_folder
from streamrnn.evaluation.report import report
from streamrnn.evaluation.run import evaluate, frame_labels, is_clip
from streamrnn.events import same
from streamrnn.recognizer import BACKGROUND
from streamrnn.testing.signals import noise, sentence, silence, tone, tone_word, write_tone_words


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "tones.bundle").path


@pytest.fixture(scope="session")
def serving(tones: Path) -> Serving:
    return engine.serving(bundle.read(tones))


def streamrnn(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "streamrnn", *(str(word) for word in words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype="PCM_16")
    return path


def stream_folder(folder: Path, said: Sequence[str], written: Sequence[str]) -> Path:
    """Twelve seconds and more of tone words, with labels that may say something else."""
    samples, places = sentence(said, RATE, np.random.default_rng(3), pause_s=0.8)
    write(folder / "talk.wav", samples)
    rows = [f"{start / RATE},{end / RATE},{label}" for (_, start, end), label in zip(places, written, strict=True)]
    (folder / "talk.labels.csv").write_text("start,end,label\n" + "\n".join(rows) + "\n")
    (folder / "manifest.csv").write_text("path,label,labels\ntalk.wav,,talk.labels.csv\n")
    return folder


def test_clips_are_judged_by_the_clip_rule(serving: Serving, tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    low, high, pause = tone_word("low", RATE, random), tone_word("high", RATE, random), silence(0.6, RATE)
    write(tmp_path / "low" / "right.wav", low)
    write(tmp_path / "low" / "twice.wav", np.concatenate([low, pause, low]))
    write(tmp_path / "low" / "nothing.wav", noise(0.5, RATE, random, 0.01))
    write(tmp_path / "low" / "other.wav", high)
    write(tmp_path / "high" / "right.wav", high)
    write(tmp_path / "_noise" / "hiss.wav", noise(2.0, RATE, random, 0.05))
    result = evaluate(serving, read_folder(tmp_path))
    heard = {clip.recording.path.name: clip.heard for clip in result.clips if clip.said == "low"}
    assert heard == {"right.wav": ("low",), "twice.wav": ("low", "low"), "nothing.wav": (), "other.wav": ("high",)}
    document = report(result, serving, "", [])
    assert document["accuracy"] == pytest.approx(2 / 5)
    assert document["clip_accuracy"] >= 3 / 5
    assert document["confusion"]["clips"] == {
        "high": {"high": 1},
        "low": {"(nothing)": 1, "(several)": 1, "high": 1, "low": 1},
    }
    assert document["false_accepts_per_hour"] == 0.0
    assert document["estimates"]["accuracy"]["of"] == 5


def test_a_clip_is_played_between_half_seconds_of_silence(serving: Serving, tmp_path: Path) -> None:
    write(tmp_path / "low" / "a.wav", tone_word("low", RATE, np.random.default_rng(12)))
    write(tmp_path / "_noise" / "b.wav", noise(0.5, RATE, np.random.default_rng(12), 0.1))
    clip, background = sorted(read_folder(tmp_path), key=lambda recording: recording.path.name)
    for recording, margin in ((clip, RATE // 2), (background, 0)):
        heard: list[np.ndarray] = []

        def listening(
            samples: np.ndarray, state: dict[str, np.ndarray], heard: list[np.ndarray] = heard
        ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
            heard.append(samples[0, :, 0].copy())  # the engine puts the next batch into the same array
            return serving.step(samples, state)

        evaluate(dataclasses.replace(serving, step=listening), [recording])
        played = np.concatenate(heard)[: 2 * margin + recording.length]
        np.testing.assert_array_equal(played[margin : len(played) - margin], recording.samples()[:, 0])
        assert not played[:margin].any()
        assert not played[len(played) - margin :].any()


def test_a_stream_has_misses_confusions_and_false_accepts(serving: Serving, tmp_path: Path) -> None:
    said = ["low", "high", "low", "high", "low", "high", "low", "high"]
    written = ["low", "high", "high", "_cough", "l", "high", "low", "high"]
    (recording,) = read_folder(stream_folder(tmp_path, said, written))
    document = report(evaluate(serving, [recording]), serving, "", [])
    assert document["miss_rate"] == pytest.approx(1 / 7)
    assert document["estimates"]["false_accepts_per_hour"]["count"] == 2
    assert document["false_accepts_per_hour"] == pytest.approx(2 * 3600 / recording.seconds)
    assert document["confusion"]["streams"]["high"]["low"] == 1
    assert document["confusion"]["streams"]["(nothing)"] == {"high": 1}
    assert -0.35 < document["delay_s"]["p50"] < 0.2
    assert "accuracy" not in document


def test_labels_a_sample_are_judged_frame_by_frame(serving: Serving, tmp_path: Path) -> None:
    samples, places = sentence(["low", "high"] * 10, RATE, np.random.default_rng(4))
    y = np.full(len(samples), 1)
    for label, start, end in places:
        y[start:end] = {"low": 2, "high": 3}[label]
    y[: len(y) // 4] = 0  # nobody knows
    for name in ("a", "b"):
        np.savez(tmp_path / f"{name}.npz", x=samples, y=y, fs=RATE)
    (tmp_path / "classes.csv").write_text("label_id,label\n0,UNLABELLED\n1,_none\n2,low\n3,high\n")
    (tmp_path / "manifest.csv").write_text("path,label,subject\na.npz,,ann\nb.npz,,bob\n")
    recordings = read_folder(tmp_path)
    document = report(evaluate(serving, recordings), serving, "", [])
    assert document["accuracy"] == document["frame_accuracy"] > 0.9
    assert document["macro_f1"] > 0.85
    assert document["measured_on"]["accuracy"] == "frames"
    assert document["estimates"]["frame_accuracy"]["of"] == pytest.approx(2 * 0.75 * len(samples) / HOP, rel=0.02)
    assert set(document["groups"]) == {"ann", "bob"}
    assert set(document["confusion"]["frames"]) <= {BACKGROUND, "low", "high"}


def test_a_frame_says_what_held_at_the_last_sample_it_has_heard(serving: Serving, tmp_path: Path) -> None:
    samples = np.zeros((4 * HOP, 1), np.float32)
    y = np.repeat([0, 1, 1, 0], HOP)
    np.savez(tmp_path / "a.npz", x=samples, y=y, fs=RATE)
    (tmp_path / "classes.csv").write_text("label_id,label\n0,_rest\n1,low\n")
    (tmp_path / "manifest.csv").write_text("path,label\na.npz,\n")
    (recording,) = read_folder(tmp_path)
    recognizer = serving.recognizer
    assert frame_labels(recognizer, recording, 5) == [BACKGROUND, "low", "low", BACKGROUND, ""]
    held = msgspec.structs.replace(recognizer, delay=3 * HOP)
    assert frame_labels(held, recording, 5) == [BACKGROUND, "low", "low", BACKGROUND, ""]
    late = dataclasses.replace(recording, rate=2 * RATE)
    assert frame_labels(recognizer, late, 2) == ["low", BACKGROUND]


def test_what_is_a_clip(serving: Serving, tmp_path: Path) -> None:
    write(tmp_path / "low" / "short.wav", silence(10.0, RATE) + 0.1)
    write(tmp_path / "low" / "long.wav", silence(10.1, RATE) + 0.1)
    write(tmp_path / "_noise" / "noise.wav", silence(1.0, RATE) + 0.1)
    config = serving.recognizer.config
    assert {r.path.name for r in read_folder(tmp_path) if is_clip(r, config)} == {"short.wav"}


@pytest.mark.parametrize("chunk_s", [0.0003, 0.0101, 0.31])
def test_chunks_and_company_change_no_event(serving: Serving, tmp_path: Path, chunk_s: float) -> None:
    random = np.random.default_rng(6)
    for rate in (8000, 11025, 16000):
        samples, _ = sentence(["low", "high", "low"], rate, random)
        write(tmp_path / "_talk" / f"{rate}.wav", np.repeat(samples, 2, axis=1), rate)
    plays = [playing.Play(recording, 100) for recording in read_folder(tmp_path)]
    ended: list[playing.Play] = []
    together = playing.play(serving, plays, chunk_s, ended.append)
    alone = [playing.play(serving, [each], playing.BLOCK_S, ended.append)[0] for each in plays]
    assert len(ended) == 2 * len(plays)
    for here, there in zip(together, alone, strict=True):
        assert len(here) == len(there) == 3
        # The streams are numbered as they are played, and their events named after them.
        assert all(same(a, msgspec.structs.replace(b, stream=a.stream)) for a, b in zip(here, there, strict=True))


def test_more_recordings_than_streams_at_once(serving: Serving, tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    for number in range(70):
        label = ("low", "high")[number % 2]
        write(tmp_path / label / f"{number}.wav", tone_word(label, RATE, random))
    document = report(evaluate(serving, read_folder(tmp_path)), serving, "", [])
    assert document["recordings"] == 70
    assert document["accuracy"] == 1.0


def test_the_page_stands_alone_and_escapes_names(serving: Serving, tmp_path: Path) -> None:
    random = np.random.default_rng(8)
    write(tmp_path / "low" / "<b>.wav", noise(0.5, RATE, random, 0.01))
    html = page(report(evaluate(serving, read_data([tmp_path]).recordings), serving, "", []))
    assert "&lt;b&gt;.wav" in html
    assert "<b>" not in html
    assert "http" not in html
    assert "<svg" in html


# From here on in a process of its own, as a user meets it.


def test_the_command_prints_one_document_and_writes_a_report(tones: Path, tmp_path: Path) -> None:
    write_tone_words(tmp_path / "data", speakers=("ann", "bob"), clips=3)
    done = streamrnn(
        "eval", tones, "--data", tmp_path / "data", "--split", "dev", "--json", "--report", tmp_path / "out"
    )
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert (document["accuracy"], document["clip_accuracy"], document["miss_rate"]) == (1.0, 1.0, 0.0)
    assert document["estimates"]["accuracy"]["of"] == 4
    assert set(document["groups"]) == {"ann", "bob"}
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == document
    assert (tmp_path / "out" / "report.html").read_text().startswith("<!doctype html>")


def test_the_command_reads_several_folders_and_names_what_it_leaves_out(tones: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(9)
    write(tmp_path / "one" / "low" / "a.wav", tone_word("low", RATE, random))
    write(tmp_path / "one" / "low" / "empty.wav", silence(0.0, RATE))
    write(tmp_path / "two" / "high" / "b.wav", tone_word("high", RATE, random))
    write(tmp_path / "two" / "sneeze" / "c.wav", noise(0.5, RATE, random))
    done = streamrnn("eval", tones, "--data", tmp_path / "one", "--data", tmp_path / "two")
    assert done.returncode == 0
    assert done.stderr == "streamrnn eval: sneeze: unknown to the bundle, must not be detected as anything\n"
    assert "100.0% (34.2% to 100.0%; 2 of 2)" in done.stdout
    assert f"left out: {tmp_path}/one/low/empty.wav: 0 samples" in done.stdout


def test_the_chunk_length_changes_nothing(tones: Path, tmp_path: Path) -> None:
    folder = stream_folder(tmp_path, ["low", "high", "low"] * 3, ["low", "high", "low"] * 3)
    whole = streamrnn("eval", tones, "--data", folder, "--json")
    pieces = streamrnn("eval", tones, "--data", folder, "--json", "--chunk-ms", "0.7")
    assert whole.returncode == pieces.returncode == 0
    assert whole.stdout == pieces.stdout


def mistakes(folder: Path, tones: Path) -> dict[str, list[object]]:
    """What a user may get wrong, by a part of the line that says so."""
    random = np.random.default_rng(10)
    good = folder / "good"
    write(good / "low" / "a.wav", tone_word("low", RATE, random))
    unknown = folder / "unknown"
    write(unknown / "cat" / "a.wav", tone_word("low", RATE, random))
    (folder / "empty").mkdir()
    missing = folder / "missing"
    missing.mkdir()
    (missing / "manifest.csv").write_text("path,label\ngone.wav,low\n")
    nan = folder / "nan"
    (nan / "low").mkdir(parents=True)
    soundfile.write(nan / "low" / "a.wav", np.array([0.1, np.nan, 0.1] * 900), RATE, subtype="FLOAT")
    three = folder / "three"
    (three / "low").mkdir(parents=True)
    np.savez(three / "low" / "a.npz", x=np.zeros((10, 0)), fs=10)
    (folder / "file").write_text("")
    torn = folder / "torn.bundle"
    torn.write_bytes(tones.read_bytes()[:-40])
    return {
        "no recordings; put a folder per label": [tones, "--data", folder / "empty"],
        "no such folder": [tones, "--data", folder / "gone"],
        "not a folder": [tones, "--data", folder / "file"],
        "gone.wav, which is missing": [tones, "--data", missing],
        "sample 1 is nan": [tones, "--data", nan],
        "no samples": [tones, "--data", three],
        "labels cat are all unknown to the recognizer, which knows low, high": [tones, "--data", unknown],
        "--split dev: no recording is in it; there are (none)": [tones, "--data", good, "--split", "dev"],
        "not a bundle, or damaged": [torn, "--data", good],
        "gone.bundle: No such file": [folder / "gone.bundle", "--data", good],
        "--report": [tones, "--data", good, "--report", folder / "file"],
    }


def test_every_mistake_is_one_line_and_exit_code_2(tones: Path, tmp_path: Path) -> None:
    for complaint, words in mistakes(tmp_path, tones).items():
        done = streamrnn("eval", *words)
        assert done.returncode == 2, complaint
        assert done.stdout == "", complaint
        assert complaint in done.stderr
        assert done.stderr.count("\n") == 1, done.stderr


def test_states_are_played_without_silence_and_none_is_made_of_what_is_behind_their_end(
    serving: Serving, tmp_path: Path
) -> None:
    decoder = SegmentsConfig(smooth_ms=100.0)
    config = msgspec.structs.replace(serving.recognizer.config, decoder=decoder)
    recognizer = msgspec.structs.replace(serving.recognizer, config=config, delay=10 * HOP)

    def zeros_are_low(samples: np.ndarray, state: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        said, after = serving.step(samples, state)
        quiet = np.abs(samples).reshape(len(samples), -1, HOP).max(axis=2) == 0
        return np.where(quiet[..., None], np.array([0.1, 0.8, 0.1], np.float32), said), after

    states = dataclasses.replace(
        serving, recognizer=recognizer, step=zeros_are_low, decoder=decoders.build(decoder, recognizer)
    )
    write(tmp_path / "high" / "a.wav", tone(2200, 1.0, RATE))
    (clip,) = evaluate(states, read_folder(tmp_path)).clips
    assert clip.heard == ("high",)


def test_long_work_tells_in_lines_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with Lines(4, "recordings", every_s=0.0) as every, Lines(4, "recordings") as seldom:
        for _ in range(4):
            every.update()
            seldom.update()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"{i} of 4 recordings" for i in (1, 2, 3)]
