"""docs/wire.md: what it shows byte for byte is what the code reads and writes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from streamrnn import ingest, wire
from streamrnn.events import KINDS

PAGE = (Path(__file__).parents[1] / "docs" / "wire.md").read_text()
SOURCE = (Path(__file__).parents[1] / "streamrnn" / "sources" / "zeromq.py").read_text()


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)\n```", PAGE, re.DOTALL)
    assert found
    return found[1].replace("\n", "")


def test_the_message_is_written_and_read_to_the_byte() -> None:
    parts = [block("text").encode(), block("json").encode()]
    assert wire.encode(wire.decode(parts)) == parts


def test_every_field_and_kind_is_told() -> None:
    for field in wire.Message.__struct_fields__:
        assert f'"{field}":' in block("json")
    for kind in KINDS:
        assert f"`{kind}`" in PAGE


def test_every_header_is_read() -> None:
    headers = [text.encode() for text in re.findall(r'`(\{"kind".*?\})`', PAGE)]
    requests, answers = headers[:3], headers[3:]
    assert [type(ingest.decode_request([each])[0]) for each in requests] == [ingest.Start, ingest.Data, ingest.End]
    assert [type(ingest.decode_answer([each])) for each in answers] == [ingest.Credit, ingest.End, ingest.Error]
    for each in (*requests, *answers):
        decoded = ingest.decode_request([each])[0] if each in requests else ingest.decode_answer([each])
        assert json.loads(ingest.encode_header(decoded)) == json.loads(each)


def test_the_bytes_of_the_payload() -> None:
    told = re.search(r"`((?:[0-9a-f]{2} ){7}[0-9a-f]{2})`", PAGE)
    assert told
    samples = np.array([[1, -1], [2, -2]], np.float32) / 32768
    assert ingest.pack(samples, "int16") == bytes.fromhex(told[1])


def test_every_code_is_told() -> None:
    written = set(re.findall(r'(?:WireError|Error)\("([a-z_]+)"', SOURCE + Path(ingest.__file__).read_text()))
    table = set(re.findall(r"^\| `([a-z_]+)` \|", PAGE.split("| code |")[1].split("## Control")[0], re.MULTILINE))
    assert table == written | {"malformed"}  # which comes from the JSON itself
