"""Fuzzers: what comes from outside gives a value or a UserError, never another error, a hang or very much memory."""

from __future__ import annotations

import random
import time
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

from streamrnn import files
from streamrnn.errors import RecordingError
from streamrnn.evaluation.manifest import read_noise
from streamrnn.evaluation.recordings import read_data

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
    import zipfile

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
