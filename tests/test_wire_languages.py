"""The wire from its page alone: a client in JavaScript recovers a gap, and the schema is that of the types."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from test_recovery import Station, station, topic

from streamrnn import calls, control, history, overseeing, schema, sourcing, wire
from streamrnn.clips import keeping
from streamrnn.config import parse_yaml
from streamrnn.events import KINDS
from streamrnn.history import HistoryConfig, Replay

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="session")
def node() -> Path:
    """A folder in which node finds the package zeromq."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("node or npm is not installed")
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "streamrnn-tests" / "node"
    if not (folder / "node_modules" / "zeromq").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        words = ["npm", "install", "--no-fund", "--no-audit", "--prefix", str(folder), "zeromq@6"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=100, check=False)
        if done.returncode:
            pytest.skip(f"npm cannot install zeromq: {done.stderr.splitlines()[-1:]}")
    shutil.copy(DOCS / "subscriber.mjs", folder)
    return folder


def listening(node: Path, there: Station) -> subprocess.Popen[str]:
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(["node", "subscriber.mjs", there.results], cwd=node, **pipes)
    there.greet(subscriptions=7)
    return process


def test_a_client_in_javascript_detects_gaps_and_recovers_them(node: Path) -> None:
    with station(HistoryConfig(messages=1000)) as there:
        there.say("a")  # before it is there
        with listening(node, there) as process:
            for stream, reaches in (("a", "them"), ("a", "nobody"), ("b", "nobody"), ("a", "them"), ("b", "nobody")):
                there.say(stream, reaches=reaches)
            there.beat()  # shows those of b
            there.say("a", reaches="nobody")
            there.bye()  # shows the last of a
            out, wrong = process.communicate(timeout=30)
    assert (process.returncode, wrong) == (0, "")
    came = [json.loads(line) for line in out.splitlines()]
    assert [each["seq"] for each in came if each["stream"] == "a"] == [2, 3, 4, 5]
    assert [each["seq"] for each in came if each["stream"] == "b"] == [1, 2]
    assert len(came) == 6


def test_a_client_in_javascript_finds_what_no_heartbeat_told(node: Path) -> None:
    with station() as there, listening(node, there) as process:
        there.beat()
        there.say("a", reaches="nobody")
        there.beat(reaches="nobody")
        there.beat_of_nothing()
        there.greet(subscriptions=1)
        assert process.stdout
        assert json.loads(process.stdout.readline())["seq"] == 1
        there.bye()
        _, wrong = process.communicate(timeout=30)
    assert (process.returncode, wrong) == (0, "")


def test_a_client_in_javascript_is_told_what_is_gone(node: Path) -> None:
    with station(HistoryConfig(messages=2)) as there, listening(node, there) as process:
        for reaches in ("them", "nobody", "nobody", "nobody"):
            there.say("a", reaches=reaches)
        there.bye()
        out, wrong = process.communicate(timeout=30)
    assert (process.returncode, wrong) == (0, "")
    _, last, lost = (json.loads(line) for line in out.splitlines())
    assert last["seq"] == 4
    assert lost == {"lost": topic("a"), "first": 2, "last": 3}


def test_a_client_in_javascript_gives_what_is_told_again_once_and_what_is_said_again_again(node: Path) -> None:
    with station() as before, listening(node, before) as process:
        assert process.stdout
        before.say("a", counting="c1")
        assert json.loads(process.stdout.readline())["run"] == "r1"
        results, place = before.results, before.control.place
        before.close()
        with station(run="r2", results=results, control=place) as after:
            after.greet(subscriptions=7)
            after.say("a", counting="c1")
            after.say("a", counting="c2")
            after.say("a", counting="", reaches="nobody")
            after.say("a", counting="")  # of daemons of before nothing is known to be the same
            after.bye()
            out, wrong = process.communicate(timeout=30)
    assert (process.returncode, wrong) == (0, "")
    assert [(each["run"], each["seq"], each.get("counting")) for each in map(json.loads, out.splitlines())] == [
        ("r2", 2, "c2"),
        ("r2", 3, None),
        ("r2", 4, None),
    ]


def test_what_the_page_says_of_control_is_so() -> None:
    page = (DOCS / "wire.md").read_text().split("## Control")[1]
    (shown,) = re.findall(r"```json call\n(.*?)\n```", page)
    call = calls.decode_call([shown.encode()])
    msgspec.convert(call.params, Replay)
    assert json.loads(msgspec.json.encode(call)) == json.loads(shown)
    assert f"{calls.LARGEST_CALL >> 10} KiB" in page
    assert f"at most {calls.DEEPEST} deep" in page
    told = set(re.findall(r"^\| `([a-z_]+)` \|", page.split("| code |")[1].split("| method |")[0], re.MULTILINE))
    sources = [
        Path(module.__file__ or "").read_text() for module in (calls, control, history, keeping, overseeing, sourcing)
    ]
    written = set(re.findall(r'(?:CallError|Fault)\(\s*"([a-z_]+)"', "".join(sources)))
    assert told == written
    params = set(re.findall(r"^\| `([a-z_]+)` \|", page.split("| param |")[1].split("A page")[0], re.MULTILINE))
    assert params == {field.encode_name for field in msgspec.structs.fields(Replay)}
    (config,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert msgspec.convert(parse_yaml(config)["history"], HistoryConfig) == HistoryConfig()
    assert set(parse_yaml(config)["history"]) == {field.name for field in msgspec.structs.fields(HistoryConfig)}


def test_the_schema_in_docs_is_that_of_the_types() -> None:
    assert (DOCS / "wire.schema.json").read_text() == schema.text(), (
        "write it anew: python -m streamrnn.schema > docs/wire.schema.json"
    )


def test_the_schema_tells_every_field_of_every_kind() -> None:
    made = schema.schema()
    definitions = made["$defs"]
    assert set(definitions["Envelope"]["properties"]) | {"body"} == set(wire.Message.__struct_fields__)
    assert {each["$ref"].rpartition("message.")[2] for each in made["oneOf"]} == set(KINDS)

    def references(there: Any) -> set[str]:
        if isinstance(there, dict):
            inner = set().union(*map(references, there.values())) if there else set()
            return inner | ({there["$ref"]} if isinstance(there.get("$ref"), str) else set())
        return set().union(*map(references, there)) if isinstance(there, list) and there else set()

    assert {each.removeprefix("#/$defs/") for each in references(made)} <= set(definitions)
    assert "\\Z" not in schema.text()
