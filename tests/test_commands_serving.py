"""demo, record, config, listen, push and devices as a stranger meets them."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peers
import pytest
import soundfile
import zmq
from daemons import INGEST, RESULTS, Daemon, command, write_config
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn import config, registry
from streamrnn.bundle import locate
from streamrnn.cutting import Cutter
from streamrnn.daemon_config import DaemonConfig
from streamrnn.errors import BundleError
from streamrnn.evaluation.recordings import read_folder
from streamrnn.examples import example
from streamrnn.testing.signals import sentence
from streamrnn.training.plan import TrainingConfig

CONFIGS = Path(__file__).parents[1] / "configs"
RATE = 8000
SAID = ["low", "high", "high", "low"]


def talk(seed: int = 1) -> np.ndarray:
    return sentence(SAID, RATE, np.random.default_rng(seed))[0]


def run(*words: object, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), capture_output=True, text=True, timeout=60, check=False, **more)


def fails(*words: object, **more: Any) -> str:
    done = run(*words, **more)
    assert (done.returncode, done.stdout) == (2, ""), done
    assert done.stderr.count("\n") == 1
    return done.stderr


# demo


def test_demo_plays_any_files_prints_what_is_published_and_judges_it(tmp_path: Path, tiny_bundle: Path) -> None:
    for name, rate in (("My talk.wav", RATE), ("my talk.flac", RATE)):
        soundfile.write(tmp_path / name, talk(), rate)
    samples, places = sentence(SAID, RATE, np.random.default_rng(2))
    soundfile.write(tmp_path / "told.wav", samples, RATE)
    # One word that is not said: one is missed and one false.
    words = [(start / RATE, end / RATE, label) for label, start, end in places[:3]] + [(50.0, 51.0, "high")]
    (tmp_path / "told.labels.csv").write_text("start,end,label\n" + "".join(f"{a},{b},{c}\n" for a, b, c in words))
    done = run("demo", *sorted(tmp_path.glob("*.*a[vc]*")), "--bundle", tiny_bundle)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    heard = {
        stream: [line.split()[4] for line in lines if f" {stream} " in line]
        for stream in ("my-talk", "my-talk.2", "told")
    }
    assert heard == dict.fromkeys(heard, SAID)
    assert "My talk.wav: 4 words: low high high low" in lines
    assert "told.wav: 3 of 4 words right, 1 false" in lines


def test_demo_tells_what_of_a_recording_could_not_be_heard(tmp_path: Path, tiny_bundle: Path) -> None:
    samples = talk()
    samples[-800:-400] = np.nan
    soundfile.write(tmp_path / "holes.wav", samples, RATE, subtype="FLOAT")
    done = run("demo", tmp_path / "holes.wav", "--bundle", tiny_bundle)
    assert (done.returncode, done.stderr) == (0, "")
    assert "holes.wav: 4 words: low high high low; 0.05 s of it were not heard: " in done.stdout


def test_demo_of_the_bundled_recording() -> None:
    try:
        locate("digits")
    except BundleError:
        pytest.skip("no bundle of digits is shipped yet")
    done = run("demo", "--pace", "fastest")
    assert (done.returncode, done.stderr) == (0, "")
    summary = next(line for line in done.stdout.splitlines() if " words right" in line)
    right, _, said, *_, false, _ = summary.removeprefix("demo.flac: ").split()
    assert int(right) >= 19
    assert (said, false) == ("20", "0")
    assert "streamrnn config --example daemon" in done.stdout


def test_demo_of_a_file_that_is_not_there(tmp_path: Path, tiny_bundle: Path) -> None:
    assert "none.wav" in fails("demo", tmp_path / "none.wav", "--bundle", tiny_bundle)
    assert "none.bundle" in fails("demo", "--bundle", "none.bundle")


@pytest.mark.parametrize("numbers", [[signal.SIGTERM], [signal.SIGINT, signal.SIGINT], [signal.SIGKILL]], ids=str)
@pytest.mark.parametrize("whom", [os.kill, os.killpg])
def test_a_demo_that_is_stopped_while_its_listener_starts_takes_it_along(
    tmp_path: Path, tiny_bundle: Path, numbers: list[signal.Signals], whom: Callable[[int, int], None]
) -> None:
    soundfile.write(tmp_path / "talk.wav", np.tile(talk(), (30, 1)), RATE)
    words = command("demo", tmp_path / "talk.wav", "--bundle", tiny_bundle, "--pace", "realtime")
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, **pipes, start_new_session=True) as demo:
        assert demo.stdout
        assert demo.stdout.readline().startswith("playing")
        for number in numbers:
            time.sleep(0.05)
            whom(demo.pid, number)
        # The listener writes into the same pipes: they end when both have.
        said = demo.communicate(timeout=3.0)
    assert "Traceback" not in said[1]


# record


def test_record_makes_a_data_folder_of_clips(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "take.wav", talk(), RATE)
    for label, count in (("lights on", 3), ("_noise", 1)):
        done = run(
            "record", "--label", label, "--count", count, "--speaker", "me",
            "--out", tmp_path / "data", "--from-file", tmp_path / "take.wav",
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[-1].startswith(f"{count}/{count} ")
    rows = list(csv.DictReader((tmp_path / "data" / "manifest.csv").read_text().splitlines()))
    assert [(row["path"], row["label"], row["speaker"]) for row in rows] == [
        ("lights-on/lights-on-0001.wav", "lights on", "me"),
        ("lights-on/lights-on-0002.wav", "lights on", "me"),
        ("lights-on/lights-on-0003.wav", "lights on", "me"),
        ("_noise/_noise-0001.wav", "_noise", "me"),
    ]
    recordings = read_folder(tmp_path / "data")
    assert [each.rate for each in recordings] == [RATE] * 4
    assert all(0.3 < len(each.samples()) / RATE < 1.5 for each in recordings)


def test_record_from_a_pipe_says_when_there_were_too_few(tmp_path: Path) -> None:
    pcm = (talk() * 32767).astype("<i2").tobytes()
    words = command("record", "--label", "x", "--out", tmp_path, "--from-file", "-", "--rate", RATE)
    done = subprocess.run(words, input=pcm, capture_output=True, timeout=30, check=False)
    assert done.returncode == 1
    assert b"after 4 of 10 clips" in done.stderr


def test_record_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "take.wav", talk(), RATE)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.csv").write_text("a,b\n")
    take = ("--label", "x", "--from-file", tmp_path / "take.wav")
    assert "--count 0" in fails("record", *take, "--count", 0, "--out", tmp_path)
    assert "manifest.csv" in fails("record", *take, "--out", tmp_path / "other")
    assert "take.wav" in fails("record", *take, "--out", tmp_path / "take.wav")


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 5000), min_size=1, max_size=20), st.sampled_from([8000, 16000, 44100]))
def test_words_are_cut_the_same_for_any_chunks(sizes: list[int], rate: int) -> None:
    samples, places = sentence(SAID, rate, np.random.default_rng(5))
    whole = Cutter(rate)
    wanted = whole.push(samples) + whole.finish()
    assert len(wanted) == len(places)
    for clip, (_, start, end) in zip(wanted, places, strict=True):
        assert (end - start) / rate < len(clip) / rate < (end - start) / rate + 0.7
    cutter, given_clips, at = Cutter(rate), [], 0
    while at < len(samples):
        size = sizes[at % len(sizes)]
        given_clips += cutter.push(samples[at : at + size])
        at += size
    given_clips += cutter.finish()
    assert len(given_clips) == len(wanted)
    for a, b in zip(given_clips, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_endless_noise_is_cut_and_a_click_is_none() -> None:
    hiss = np.random.default_rng(0).standard_normal((RATE, 1)).astype(np.float32)
    loud = np.concatenate([0.001 * hiss, *[0.3 * hiss] * 10])
    assert max(len(clip) for clip in Cutter(RATE).push(loud)) <= 4.5 * RATE
    click = 0.001 * np.concatenate([hiss, hiss])
    click[RATE : RATE + 200] = 0.9
    cutter = Cutter(RATE)
    assert cutter.push(click) + cutter.finish() == []


def test_what_a_loudspeaker_plays_is_no_word() -> None:
    cutter = Cutter(RATE)
    assert len(cutter.push(talk())) >= 3
    cutter.ignore(60)
    assert cutter.push(talk()) + cutter.finish() == []


# config


@pytest.mark.parametrize(
    "kind", ["daemon", *sorted({plug.kind for role in registry.ROLES for plug in registry.plugs(role)})]
)
def test_every_example_is_a_config(kind: str, tmp_path: Path) -> None:
    text = example(kind)
    (tmp_path / "a.yaml").write_text(text)
    serves = kind == "daemon" or any(plug.kind == kind for role in ("source", "sink") for plug in registry.plugs(role))
    config.load(tmp_path / "a.yaml", DaemonConfig if serves else TrainingConfig)
    assert kind in text


def test_the_example_of_a_daemon_stands_in_configs() -> None:
    assert (CONFIGS / "daemon.yaml").read_text() == example("daemon")
    assert config.load(CONFIGS / "daemon-file.yaml", DaemonConfig).until == "finished"


def test_config_says_what_it_is_or_what_is_wrong(tmp_path: Path, tiny_bundle: Path) -> None:
    daemon = write_config(tmp_path / "d.yaml", tiny_bundle, [INGEST], [RESULTS])
    assert run("config", daemon).stdout == f"{daemon}: daemon with tones: 1 source, 1 sink; it is valid\n"
    assert "training of digits: 10 labels" in run("config", CONFIGS / "digits.yaml").stdout
    assert "did you mean 'zeromq'" in fails("config", "--example", "zeromk")
    daemon.write_text(daemon.read_text().replace("sinks", "sink"))
    assert "did you mean 'sinks'" in fails("config", daemon)
    assert "none.yaml" in fails("config", tmp_path / "none.yaml")


def test_the_file_daemon_runs() -> None:
    try:
        locate("digits")
    except BundleError:
        pytest.skip("no bundle of digits is shipped yet")
    done = run("serve", CONFIGS / "daemon-file.yaml", cwd=CONFIGS.parent)
    assert done.returncode == 0, done.stderr
    assert sum("digits" in line for line in done.stdout.splitlines()) >= 19


# listen and push


def test_listen_prints_for_people_and_programs_and_ends_when_told(tmp_path: Path, tiny_bundle: Path) -> None:
    np.savez(tmp_path / "talk.npz", x=talk(), fs=RATE)
    sink = {**RESULTS, "wait_for": 2}
    with Daemon(write_config(tmp_path / "d.yaml", tiny_bundle, [INGEST], [sink])) as daemon:
        words = command("listen", daemon.results, "--topic", "v1/detection/", "--until", "bye")
        with (
            subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as people,
            subprocess.Popen([*words, "--json"], stdout=subprocess.PIPE, text=True) as program,
        ):
            # The sources wait for both, so that none misses the first word.
            push = run("push", tmp_path / "talk.npz", "--stream", "mic", "--endpoint", daemon.ingest)
            assert push.returncode == 0, push.stderr
            assert daemon.stop() < 2.0
            said, lines = people.communicate(timeout=10)[0], program.communicate(timeout=10)[0]
        assert (people.returncode, program.returncode) == (0, 0)
    assert [line.split()[4] for line in said.splitlines()] == SAID
    assert [json.loads(line)["body"]["label"] for line in lines.splitlines()] == SAID


def test_a_name_or_endpoint_that_does_not_fit_is_one_line(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", talk(), RATE)
    assert "call it 'k-che'" in fails("push", tmp_path / "a.wav", "--stream", "Küche")
    assert "--chunk" in fails("push", tmp_path / "a.wav", "--stream", "a", "--chunk", "many")
    assert "none.wav" in fails("push", tmp_path / "none.wav", "--stream", "a")
    assert ":5561" in fails("push", tmp_path / "a.wav", "--stream", "a", "--endpoint", "nowhere")
    assert "nowhere" in fails("listen", "nowhere")
    assert "did you mean 'detection'" in fails("listen", "--topic", "v1/detektion/")


def test_pushing_nothing_is_no_success(tmp_path: Path, tiny_bundle: Path) -> None:
    with Daemon(write_config(tmp_path / "d.yaml", tiny_bundle, [INGEST], [RESULTS])) as daemon:
        done = run("push", "-", "--stream", "a", "--endpoint", daemon.ingest, stdin=subprocess.DEVNULL)
        assert done.returncode == 2
        assert "no samples came" in done.stderr


def test_push_waits_for_a_daemon_says_so_and_can_be_interrupted(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", talk(), RATE)
    words = command("push", tmp_path / "a.wav", "--stream", "a", "--endpoint", "tcp://127.0.0.1:1")
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert "no daemon answers yet; waiting 30 s" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(1.5) == 130
        assert process.stderr.read() == "streamrnn push: interrupted\n"


def test_push_refuses_a_rate_that_is_none_before_it_looks_for_a_daemon() -> None:
    assert "--rate 0: write a whole number >= 1" in fails(
        "push", "-", "--stream", "a", "--rate", 0, stdin=subprocess.DEVNULL
    )


NOBODY_YET = "streamrnn listen: tcp://127.0.0.1:{}: no daemon answers yet; waiting for one"


def test_listen_that_nobody_answers_says_so() -> None:
    with subprocess.Popen(command("listen", "tcp://127.0.0.1:1"), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert process.stderr.readline() == f"{NOBODY_YET.format(1)}\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_listen_can_be_interrupted() -> None:
    with peers.context() as context, context.socket(zmq.XPUB) as results:
        port = results.bind_to_random_port("tcp://127.0.0.1")
        listen = command("listen", f"tcp://127.0.0.1:{port}")
        with subprocess.Popen(listen, stderr=subprocess.PIPE, text=True) as process:
            assert results.poll(30_000)  # it listens
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
            assert process.stderr
            # Nobody has greeted it, and on a slow machine it says so. What a cut-off import leaves open is not ours.
            said = [line for line in process.stderr.read().splitlines() if line.startswith("streamrnn")]
            assert said in ([], [NOBODY_YET.format(port)])


@pytest.mark.parametrize("name", ["demo", "record", "serve", "listen", "push", "devices", "config"])
def test_help_has_an_example(name: str) -> None:
    done = run(name, "--help", env={**os.environ, "COLUMNS": "120"})
    assert done.returncode == 0
    assert f"streamrnn {name}" in done.stdout.split("Example:")[1]
