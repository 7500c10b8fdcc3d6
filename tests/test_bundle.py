"""Bundles from hell: truncated, flipped, altered, too new, nothing at all; each is one line and never a traceback."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamrnn.bundle import SCHEMA, Bundle, Contents, locate, open_step, prove, read, shipped, write
from streamrnn.cli import main
from streamrnn.errors import BundleError

GENTLE = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "broken.bundle"


def refused(place: Path, match: str = ".") -> None:
    with pytest.raises(BundleError, match=match) as caught:
        read(place)
    assert str(place) in str(caught.value)


def rewritten(source: Path, place: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The same archive with its members changed; its own checksums are right."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    place.write_bytes(memory.getvalue())
    return place


@GENTLE
@given(st.floats(0, 1, exclude_max=True))
def test_a_truncated_bundle_is_refused(tiny_bundle: Path, place: Path, share: float) -> None:
    data = tiny_bundle.read_bytes()
    place.write_bytes(data[: int(share * len(data))])
    refused(place)


@GENTLE
@given(st.floats(0, 1, exclude_max=True), st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_changes_nothing(tiny_bundle: Path, place: Path, share: float, bit: int) -> None:
    data = bytearray(tiny_bundle.read_bytes())
    data[int(share * len(data))] ^= 1 << bit
    place.write_bytes(data)
    try:
        got = read(place)
    except BundleError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert "\n" not in refusal
        assert str(place) in refusal
        return
    # Bits of the archive's own bookkeeping, such as dates, are not content.
    wanted = read(tiny_bundle)
    assert got.sha == wanted.sha
    assert got.graph == wanted.graph
    assert got.recognizer == wanted.recognizer


@GENTLE
@given(st.binary(max_size=200))
def test_any_bytes_are_refused(place: Path, data: bytes) -> None:
    place.write_bytes(data)
    refused(place)


@GENTLE
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["schema", "members", "x"]), inner),
    )
)
def test_any_table_of_members_is_refused(tiny_bundle: Path, place: Path, table: object) -> None:
    def change(members: dict[str, bytes]) -> None:
        members["bundle.json"] = json.dumps(table).encode()

    refused(rewritten(tiny_bundle, place, change))


@pytest.mark.parametrize("name", ["recognizer.json", "graph.onnx", "initial.safetensors", "passport.json"])
def test_an_altered_or_missing_member_is_refused(tiny_bundle: Path, place: Path, name: str) -> None:
    def alter(members: dict[str, bytes]) -> None:
        members[name] = members[name][:-1] + bytes([members[name][-1] ^ 1])

    refused(rewritten(tiny_bundle, place, alter), f"sha256 of {name} differs")
    refused(rewritten(tiny_bundle, place, lambda members: members.pop(name) and None))


def resealed(source: Path, place: Path, name: str, data: bytes) -> Path:
    """The same bundle with another member, of which its table tells the right sha."""

    def change(members: dict[str, bytes]) -> None:
        members[name] = data
        table = json.loads(members["bundle.json"])
        if name != "bundle.json":
            table["members"][name] = hashlib.sha256(data).hexdigest()
            members["bundle.json"] = json.dumps(table).encode()

    return rewritten(source, place, change)


@pytest.mark.parametrize(
    "changes",
    [
        {"hop": 1},
        {"hop": 0},
        {"hop": -200},
        {"delay": -1},
        {"columns": ["_background", "low"]},
        {"columns": ["_background", "low", "low"]},
        {"columns": ["_background", "low", "high", "more"]},
        {"columns": ["a", "b", "c"]},
        {"columns": []},
    ],
    ids=str,
)
def test_a_recognizer_that_does_not_fit_the_other_members_is_refused(
    tiny_bundle: Path, place: Path, changes: dict[str, object]
) -> None:
    with zipfile.ZipFile(tiny_bundle) as archive:
        recognizer = json.loads(archive.read("recognizer.json"))
    data = json.dumps({**recognizer, **changes}).encode()
    refused(resealed(tiny_bundle, place, "recognizer.json", data), "its contents do not fit")


@pytest.mark.parametrize("data", [b"[]", b"1", b"null", b'"x"', b"nonsense"])
def test_a_passport_that_is_no_mapping_is_refused(tiny_bundle: Path, place: Path, data: bytes) -> None:
    refused(resealed(tiny_bundle, place, "passport.json", data), "its contents do not fit")


@pytest.mark.parametrize("schema", [True, False, 0, -1, "1", 1.0, None, [1]])
def test_a_schema_that_is_no_number_from_1_up_is_refused(tiny_bundle: Path, place: Path, schema: object) -> None:
    with zipfile.ZipFile(tiny_bundle) as archive:
        table = json.loads(archive.read("bundle.json"))
    refused(resealed(tiny_bundle, place, "bundle.json", json.dumps({**table, "schema": schema}).encode()), "is none")


def test_a_newer_schema_says_upgrade(tiny_bundle: Path, place: Path) -> None:
    def change(members: dict[str, bytes]) -> None:
        table = json.loads(members["bundle.json"])
        table["schema"] = SCHEMA + 1
        members["bundle.json"] = json.dumps(table).encode()

    refused(rewritten(tiny_bundle, place, change), "newer .* upgrade")


def contents(bundle: Bundle, **changes: object) -> Contents:
    fields = {field.name: getattr(bundle, field.name) for field in dataclasses.fields(Contents)}
    return Contents(**{**fields, **changes})


def test_contents_of_which_the_table_is_right_and_the_graph_is_not(tiny_bundle: Path, place: Path) -> None:
    bundle = read(tiny_bundle)
    with pytest.raises(BundleError, match="graph does not load"):
        open_step(write(place, contents(bundle, graph=b"nonsense")), "onnx")
    with pytest.raises(BundleError, match="is not its initial state"):
        open_step(write(place, contents(bundle, initial={"other": np.zeros((1, 3), np.float32)})), "onnx")
    with pytest.raises(BundleError, match="backend 'onx' is unknown; did you mean 'onnx'"):
        open_step(bundle, "onx")
    prove(bundle, open_step(bundle, "onnx"))


def test_writing_reads_the_same_back_and_the_same_contents_are_the_same_file(tiny_bundle: Path, place: Path) -> None:
    # Numbers are floats once a config has been read.
    bundle = write(place, contents(read(tiny_bundle)))
    again = write(place.with_name("again.bundle"), contents(read(place)))
    assert again.path.read_bytes() == place.read_bytes()
    assert again.sha == bundle.sha
    assert write(place, contents(bundle, passport={"seed": 1})).sha != bundle.sha


def test_a_place_that_cannot_be_written(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="cannot be written"):
        write(tmp_path / "file" / "x.bundle", contents(read(tiny_bundle)))


def test_places_and_names_that_are_no_bundle(tmp_path: Path) -> None:
    for place in (tmp_path / "none.bundle", tmp_path):
        refused(place)
    with pytest.raises(BundleError, match="no shipped bundle"):
        shipped("digts")
    assert locate("a/b") == Path("a/b")


def test_a_broken_bundle_is_one_line_of_a_command(
    tiny_bundle: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place.write_bytes(tiny_bundle.read_bytes()[:500])
    assert main(["detect", str(place), "x.wav"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert str(place) in said.err


@pytest.mark.parametrize("name", ["digits", "voice", "wakeword"])
def test_what_is_shipped_proves_itself_and_names_its_licences(name: str) -> None:
    bundle = read(shipped(name))
    prove(bundle, open_step(bundle, "onnx"))
    assert all(each["licence"] != "not stated" for each in bundle.passport["data"])
