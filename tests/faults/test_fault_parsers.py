"""Fuzzers: what comes from outside gives a value or a UserError, never another error, a hang or very much memory."""

from __future__ import annotations

import hashlib
import json
import random
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fuzz import MOST_MB, peak_mb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parsers import every
from parsing import Parser
from setting import by_form

from streamrnn import bundle, config, files, statefile
from streamrnn.daemon_config import DaemonConfig
from streamrnn.errors import BundleError, ConfigError, RecordingError, UserError
from streamrnn.evaluation.manifest import read_noise
from streamrnn.evaluation.recordings import read_data
from streamrnn.security import keys

NAMES = (
    "wire.decode",
    "ingest.decode_request",
    "ingest.decode_answer",
    "calls.decode_call",
    "calls.decode_answer",
    "snapshot.decode",
    "control request",
    "replay request",
    "answer of replay",
    "ingest, whole",
    "lines of a serial port",
    "mqtt, json",
    "mqtt, csv",
    "standard input",
    "YAML",
    "config of a daemon",
    "config of a training",
    "config file",
    "wav",
    "flac",
    "ogg",
    "npz",
    "csv",
    "label track",
    "csv of events",
    "noise.csv",
    "manifest.csv",
    "journal.scan",
    "journal's folder",
    "state file",
    "certificate",
    "allowed",
    "bundle",
)
# Of processor, for all inputs of a test: a parser that hangs takes minutes, and a busy machine makes none of us slow.
LONGEST_S = 20.0


@pytest.fixture(scope="module")
def parsers(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[dict[str, Parser]]:
    with every(tmp_path_factory.mktemp("fuzz"), tiny_bundle) as parsers:
        yield {each.name: each for each in parsers}


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    begun, before = time.process_time(), peak_mb()
    yield
    assert time.process_time() - begun < LONGEST_S * by_form(1, 250)
    assert peak_mb() < before + MOST_MB


def test_every_parser_has_its_test(parsers: dict[str, Parser]) -> None:
    assert set(parsers) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_mutated_is_read_or_refused_by_a_user_error(parsers: dict[str, Parser], name: str) -> None:
    parser = parsers[name]

    @given(st.integers(0, 2**64))
    @settings(max_examples=by_form(60, 10_000), deadline=None, database=None, derandomize=True)
    def survives(seed: int) -> None:
        parser.survives(parser.make(random.Random(seed)))

    survives()


@pytest.mark.parametrize("name", NAMES)
def test_what_was_never_right_is_read_or_refused_by_a_user_error(parsers: dict[str, Parser], name: str) -> None:
    parser = parsers[name]

    @given(st.one_of(st.binary(max_size=200), st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace"))))
    @settings(
        max_examples=by_form(30, 10_000),
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    def survives(data: bytes) -> None:
        parser.survives(data)

    survives()


# What the fuzzers found, kept.


@pytest.mark.parametrize(
    ("member", "data"),
    [("x.npy", b"no array"), ("x.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': ('<f4\n"), ("fs.npy", b"\x93NUMPY")],
)
def test_an_npz_whose_members_are_damaged_is_one_line(tmp_path: Path, member: str, data: bytes) -> None:
    path = tmp_path / "a.npz"
    np.savez(tmp_path / "b.npz", x=np.zeros((4, 2)), fs=50)
    with zipfile.ZipFile(tmp_path / "b.npz") as good, zipfile.ZipFile(path, "w") as bad:
        for name in good.namelist():
            bad.writestr(name, data if name == member else good.read(name))
    with pytest.raises(RecordingError, match=r"a\.npz"):
        files.header(path)


def test_an_npz_whose_directory_is_not_where_it_says_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=np.zeros((4, 2)), fs=50)
    whole = bytearray(path.read_bytes())
    whole[0:4] = b"\0\0\0\0"
    path.write_bytes(whole)
    with pytest.raises(RecordingError, match=r"a\.npz"):
        files.header(path)


def test_a_csv_whose_first_line_is_empty_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\n1,2\n")
    with pytest.raises(RecordingError, match="first line is empty"):
        files.header(tmp_path / "a.csv")


@pytest.mark.parametrize("name", ["9" * 400, "a/" * 2000 + "a", "a\0b"], ids=["part", "path", "zero"])
def test_a_name_that_no_file_can_have_is_one_line(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(80), 8000)
    (tmp_path / "manifest.csv").write_text(f"path,label\n{name},low\n")
    with pytest.raises(RecordingError, match="line 2"):
        read_data([tmp_path])
    (tmp_path / "noise.csv").write_text(f"path,noise,snr_db\n{name},street,10\n")
    with pytest.raises(RecordingError, match="line 2"):
        read_noise(tmp_path / "noise.csv")


def test_an_npz_of_a_zip_that_nobody_can_read_yet_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=np.zeros((4, 2)), fs=50)
    whole = bytearray(path.read_bytes())
    whole[whole.index(b"PK\x01\x02") + 6] = 110  # the version that is needed to read it
    path.write_bytes(whole)
    with pytest.raises(RecordingError, match="not an NPZ file"):
        files.header(path)


def test_a_state_that_is_nested_without_end_is_told_and_put_aside(tmp_path: Path) -> None:
    rest = b"\x81\xa1a" * 5000 + b"\xc0"
    (tmp_path / statefile.NAME).write_bytes(statefile.MAGIC + hashlib.sha256(rest).digest() + rest)
    opened = statefile.StateFile(statefile.StateConfig(str(tmp_path)))
    assert opened.open().streams == {}
    opened.close()
    assert "put aside" in opened.trouble
    assert (tmp_path / f"{statefile.NAME}.bad").exists()


def test_a_bundle_whose_passport_is_nested_without_end_is_one_line(tiny_bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tiny_bundle) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["passport.json"] = b"[" * 5000
    table = json.loads(members["bundle.json"])
    table["members"]["passport.json"] = hashlib.sha256(members["passport.json"]).hexdigest()
    members["bundle.json"] = json.dumps(table).encode()
    with zipfile.ZipFile(tmp_path / "a.bundle", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(BundleError, match="its contents do not fit this version"):
        bundle.read(tmp_path / "a.bundle")


def test_a_key_of_letters_that_stand_for_no_number_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.key_secret"
    path.touch(0o600)
    path.write_text(f'secret-key = "{"#" * 40}"\n')
    with pytest.raises(ConfigError, match="secret-key is no key"):
        keys.load(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: " + "[" * 2000, "line 1: brackets deeper than 64"),
        ('sinks:\n- "\\ud800"\n', r"line 2: '\\ud800' is no text in Unicode"),
        ('{bundles: [{path: "a\\0b"}], sources: [], sinks: []}', r"bundles\[0\].path: 'a\\x00b': no text has a zero"),
    ],
    ids=["deep", "half a character", "zero"],
)
def test_yaml_that_says_what_nobody_can_use_is_one_line(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config.convert(config.parse_yaml(text), DaemonConfig)


@given(st.text())
def test_an_error_is_one_line_that_a_terminal_can_show_whatever_it_names(value: str) -> None:
    told = str(UserError(f"{value} is wrong; mend it"))
    assert told.isprintable()
    assert told.endswith("is wrong; mend it")
