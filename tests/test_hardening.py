"""Mistakes and attacks that newcomers found: each is refused in one line, and nothing is passed over in silence."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
from daemons import INGEST, RESULTS, write_config
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn import calls, doctor, ingest
from streamrnn.cli import main
from streamrnn.config import convert, load, override_key, parse_yaml
from streamrnn.daemon_config import DaemonConfig
from streamrnn.errors import ConfigError, RecordingError
from streamrnn.files import arrays, sound
from streamrnn.testing.signals import noise
from streamrnn.wire import WireError

RATE = 8000


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """The one line of a command that must not run."""
    assert main([str(word) for word in words]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    return told


def wav(path: Path, length: int, tail: bytes = b"") -> Path:
    """A second of noise whose header promises another length; -1: the right one."""
    soundfile.write(path, noise(1.0, RATE, np.random.default_rng(0)), RATE, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 4
    if length >= 0:
        data[place : place + 4] = struct.pack("<I", length)
    path.write_bytes(bytes(data) + tail)
    return path


@given(promised=st.integers(0, 2 * RATE - 600))
@settings(max_examples=30, deadline=None)
def test_a_wav_whose_recorder_was_killed_is_told_whatever_its_header_says(
    tmp_path_factory: pytest.TempPathFactory, promised: int
) -> None:
    path = wav(tmp_path_factory.mktemp("killed") / "a.wav", promised)
    with pytest.raises(RecordingError, match="more stand behind") as caught:
        sound.header(path)
    assert str(path) in str(caught.value)
    assert "ffmpeg -ignore_length 1" in str(caught.value)


@pytest.mark.parametrize(
    "tail",
    [
        b"",
        b"LIST" + struct.pack("<I", 4) + b"INFO",
        b"id3 " + struct.pack("<I", 3) + b"abc\0",
        b"ID3" + bytes(range(256)) * 10,
        b"TAG" + b"x" * 125,
        b"\0" * 5000,
        b"\n",
    ],
)
def test_what_may_stand_behind_the_samples_of_a_wav_is_left_alone(tmp_path: Path, tail: bytes) -> None:
    assert sound.header(wav(tmp_path / "a.wav", -1, tail)).length == RATE


def test_a_recording_without_an_end_is_one_line_of_every_command(
    tmp_path: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "more stand behind" in refused(capsys, "detect", tiny_bundle, wav(tmp_path / "a.wav", 0))


@pytest.mark.parametrize(("fs", "rate"), [(16000, 16000), (np.float32(52.0), 52), (1 / 0.02, 50), (16000.5, 0)])
def test_a_rate_that_is_no_whole_number_is_refused(tmp_path: Path, fs: float, rate: int) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones((10, 1)), fs=fs)
    if rate:
        assert arrays.npz_header(tmp_path / "a.npz").rate == rate
        return
    with pytest.raises(RecordingError, match=r"fs is 16000\.5; it must be a whole number of Hz"):
        arrays.npz_header(tmp_path / "a.npz")


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text, a number and parts."""

    text: str = "t"
    number: int = 1
    inner: dict[str, int] = {}


class Whole(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parts."""

    part: Part = Part()
    parts: tuple[Part, ...] = ()


def test_nothing_behind_the_equals_sign_is_the_empty_text_where_a_text_may_stand() -> None:
    document = override_key({"parts": [{"text": "a"}]}, "parts.0.text=", Whole)
    override_key(document, "part.text=", Whole)
    whole = convert(document, Whole)
    assert (whole.part.text, whole.parts[0].text) == ("", "")
    assert override_key({}, "part=", Whole) == {"part": None}
    with pytest.raises(ConfigError, match="number"):
        convert(override_key({}, "part.number=", Whole), Whole)


def test_all_mistakes_of_a_config_are_told_at_once() -> None:
    wrong = {"part": {"number": "x", "txt": 1}, "parts": [{"number": 1}, {"number": 1.5, "text": 3}], "more": 1}
    with pytest.raises(ConfigError) as caught:
        convert(wrong, Whole)
    told = [each.split(":")[0] for each in str(caught.value).split("; also ")]
    assert told == [
        "more",
        "part.txt",
        "part.number",
        "parts[1].text",
        "parts[1].number",
    ]
    with pytest.raises(ConfigError, match=r"x5: .*; and 15 more$") as caught:
        convert({f"x{i}": 1 for i in range(1, 21)}, Whole)
    assert "\n" not in str(caught.value)


def test_one_mistake_is_told_as_before(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("part: {numbre: 1}\n")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "a.yaml", Whole)
    assert str(caught.value) == f"{tmp_path / 'a.yaml'}: part.numbre: unknown key; did you mean 'number'?"


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)


@pytest.mark.parametrize("text", [LAUGHS, "a: &a [*a]\n", "a: &a {b: *a}\n", "a: &a {b: [1, *a]}\n"])
def test_aliases_that_stand_for_billions_of_values_are_refused_at_once(text: str) -> None:
    begun = time.monotonic()
    with pytest.raises(ConfigError, match=r"aliases stand for more than|unconstructable recursive"):
        parse_yaml(text)
    assert time.monotonic() - begun < 1.0


def test_aliases_of_people_are_taken() -> None:
    assert parse_yaml("a: &a {x: 1}\nb: [*a, *a]\n") == {"a": {"x": 1}, "b": [{"x": 1}, {"x": 1}]}


def test_yaml_that_is_nested_without_end_is_one_line() -> None:
    for text in ("[" * 1200, "a: " + "{a: " * 1200):
        with pytest.raises(ConfigError):
            parse_yaml(text)


BAD_ENDPOINTS = [
    "tcp://127.0.0.1:99999",
    "tcp://127.0.0.1:65536",
    "tcp://127.0.0.1",
    "tcp://127.0.0.1:",
    "tcp://127.0.0.1:http",
    "tcp://127.0.0.1:-1",
    "tcp://127.0.0.1:٣",
    "tcp://:5560",
    "tcp://",
    "inproc://here",
    "inproc://",
    "ipc://",
    f"ipc:///{'x' * 200}",
    "udp://127.0.0.1:5560",
    "127.0.0.1:5560",
    "5560",
    "",
]


@pytest.mark.parametrize("endpoint", BAD_ENDPOINTS)
def test_an_endpoint_that_nobody_could_use_is_refused_where_the_config_is_checked(
    tmp_path: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str], endpoint: str
) -> None:
    for key, sources, sinks, more in (
        ("sources[0]", [{**INGEST, "endpoint": endpoint}], [RESULTS], {}),
        ("sinks[0]", [INGEST], [{**RESULTS, "endpoint": endpoint}], {}),
        ("control", [INGEST], [RESULTS], {"control": {"endpoint": endpoint}}),
    ):
        config = write_config(tmp_path / "d.yaml", tiny_bundle, sources, sinks, **more)
        assert f"{key}.endpoint: {endpoint!r} is no endpoint" in refused(capsys, "config", config)


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:*", "tcp://127.0.0.1:0", "tcp://[::1]:5560", "ipc:///tmp/a"])
def test_an_endpoint_that_can_be_used_is_taken(tmp_path: Path, tiny_bundle: Path, endpoint: str) -> None:
    config = write_config(tmp_path / "d.yaml", tiny_bundle, [INGEST], [{**RESULTS, "endpoint": endpoint}])
    assert load(config, DaemonConfig)
    for word in ("auto", "off"):
        assert load(config, DaemonConfig, [f"control.endpoint={word}"]).control.endpoint == word


@pytest.mark.parametrize("endpoint", ["http://0.0.0.0:9464", "http://192.0.2.1:9464", "http://*:9464", "9464"])
def test_probes_that_other_machines_could_reach_are_refused_where_the_config_is_checked(
    tmp_path: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str], endpoint: str
) -> None:
    config = write_config(tmp_path / "d.yaml", tiny_bundle, [INGEST], [RESULTS], health={"endpoint": endpoint})
    assert "health.endpoint" in refused(capsys, "config", config)


@given(depth=st.sampled_from([1, 17, 500, 800, 5000, 100_000]), what=st.sampled_from([b"[", b'{"a":', b'[{"a":']))
@settings(max_examples=12, deadline=None)
def test_json_that_is_nested_without_end_is_malformed_and_no_more(depth: int, what: bytes) -> None:
    nested = what * depth
    for message in (
        nested,
        b'{"id":1,"method":"ping","params":{"a":' + nested,
        b'{"kind":"end","stream":"a","x":' + nested,
    ):
        for decode in (ingest.decode_request, ingest.decode_answer, calls.decode_call, calls.decode_answer):
            with pytest.raises(WireError):
                decode([message])
        assert calls.id_of([message]) is None
        ingest.stream_of([message])


@pytest.mark.parametrize("rate", ["0", "-1", "999", "400000"])
def test_nothing_is_recorded_at_a_rate_that_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rate: str
) -> None:
    assert f"--rate {rate}" in refused(capsys, "record", "--label", "a", "--out", tmp_path, "--rate", rate)


def test_data_without_a_label_of_the_bundle_is_judged_and_said_to_be_none(
    tmp_path: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for label, told in (("_noise", 1), ("low", 0)):
        (tmp_path / label / label).mkdir(parents=True)
        wav(tmp_path / label / label / "a.wav", -1)
        assert main(["eval", str(tiny_bundle), "--data", str(tmp_path / label), "--json"]) == 0
        printed = capsys.readouterr()
        json.loads(printed.out)
        assert printed.err.count("has no label of the bundle: all of it is judged") == told
        assert str(tmp_path / label) in printed.err or not told


def test_a_machine_that_is_brought_its_streams_needs_no_microphone(
    tmp_path: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "devices", list)
    microphone = {"kind": "microphone"}
    for sources, grade in (([INGEST], "ok"), ([microphone], "fail"), ([], "warn")):
        asked = [str(write_config(tmp_path / "d.yaml", tiny_bundle, sources, [RESULTS]))] if sources else []
        code = main(["doctor", *asked, "--json"])
        (found,) = [each for each in json.loads(capsys.readouterr().out) if each["what"] == "microphone"]
        assert found["grade"] == grade
        assert code == 2 or grade != "fail"
        # Each way out is named where something is amiss.
        assert grade == "ok" or ("plug one in" in found["text"] and "zeromq, stdin or wav" in found["text"])
