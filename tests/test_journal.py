"""The journal: what was written is read again, and damage costs exactly what it hits."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.errors import DeviceError
from streamrnn.journal import MAGIC, Journal, Record, encode, scan

PAYLOADS = st.lists(st.text(max_size=40).map(str.encode), min_size=1, max_size=8)


def read(data: bytes) -> tuple[list[Record], list[int]]:
    damaged: list[int] = []
    return list(scan(data, damaged)), damaged


def segment(payloads: list[bytes]) -> bytes:
    return MAGIC + b"".join(encode(i, payload) for i, payload in enumerate(payloads))


@settings(max_examples=100, deadline=None)
@given(PAYLOADS, st.integers(0, 10**9))
def test_a_flipped_bit_makes_exactly_its_record_unreadable(payloads: list[bytes], where: int) -> None:
    data = bytearray(segment(payloads))
    whole, damaged = read(bytes(data))
    assert [each.payload for each in whole] == payloads
    assert not damaged
    bit = where % ((len(data) - len(MAGIC)) * 8)
    data[len(MAGIC) + bit // 8] ^= 1 << bit % 8
    left, damaged = read(bytes(data))
    hit = next(each.number for each in whole if len(MAGIC) + bit // 8 < each.end)
    assert left == [each for each in whole if each.number != hit]
    # The header of the last one may be damage or a torn tail: nobody can tell.
    assert len(damaged) == 1 or hit == len(payloads) - 1


@settings(max_examples=60, deadline=None)
@given(PAYLOADS, st.integers(0, 10**9), st.binary(max_size=30))
def test_a_torn_tail_costs_only_itself(payloads: list[bytes], where: int, rubbish: bytes) -> None:
    data = segment(payloads)
    whole, _ = read(data)
    cut = len(MAGIC) + where % (len(data) - len(MAGIC) + 1)
    left, _ = read(data[:cut] + rubbish)
    assert left[: len(whole)] == [each for each in whole if each.end <= cut]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_rubbish_is_read_as_nothing(data: bytes) -> None:
    assert read(MAGIC + data)[0] == []


def numbers(journal: Journal, run: str, first: int = 0) -> list[int]:
    return [each.number for each in journal.records(run, first)]


def test_runs_follow_one_another_and_a_torn_tail_is_cut_when_it_is_opened(tmp_path: Path) -> None:
    first = Journal(tmp_path, "r1", 1 << 20)
    for number in range(1, 6):
        first.append(number, b"x" * number)
    with pytest.raises(DeviceError, match="another daemon"):
        Journal(tmp_path, "r2", 1 << 20)
    first.close()
    path = tmp_path / first.segments()[0].name
    os.truncate(path, path.stat().st_size - 2)
    (tmp_path / "9-r1-1.journal.new").write_bytes(b"half")
    second = Journal(tmp_path, "r2", 1 << 20)
    assert second.cut > 0
    second.append(1, b"y")
    assert second.runs() == ["r1", "r2"]
    assert numbers(second, "r1") == [1, 2, 3, 4]
    assert numbers(second, "r1", 3) == [3, 4]
    assert numbers(second, "r2") == [1]
    assert not list(tmp_path.glob("*.new"))
    second.close()


def test_it_never_grows_beyond_its_size_and_keeps_the_newest(tmp_path: Path) -> None:
    size = 8 << 16
    for run in ("r1", "r2", "r3"):
        journal = Journal(tmp_path, run, size)
        for number in range(1, 4001):
            journal.append(number, b"x" * 200)
            if number % 50 == 0:
                assert journal.bytes() <= size
        kept = numbers(journal, run)
        assert kept == list(range(kept[0], 4001))
        assert len(kept) > 1500
        journal.close()
    assert journal.runs() == ["r3"]


def test_a_full_disk_leaves_whole_records(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "r1", 1 << 20)
    journal.append(1, b"a")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    program = f"""
import resource, signal, sys
from pathlib import Path
from streamrnn.journal import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(Path({str(tmp_path / "full")!r}), "r1", 1 << 20)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, {before[1]}))
written = []
for number in range(1, 40):
    try:
        journal.append(number, b"x" * 100)
        written.append(number)
    except OSError:
        pass
resource.setrlimit(resource.RLIMIT_FSIZE, {before})
journal.append(99, b"y")
assert [each.number for each in journal.records("r1")] == [*written, 99], written
assert 3 < len(written) < 12
assert not journal.unreadable
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=20)
    journal.close()


def test_a_folder_that_is_made_is_its_owners_alone(tmp_path: Path) -> None:
    made = tmp_path / "deep" / "journal"
    Journal(made, "r1", 1 << 20).close()
    assert made.stat().st_mode & 0o777 == 0o700
