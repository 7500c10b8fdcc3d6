"""A config whose parts could not live together, or lack what they need, is one line, to `config` and `serve` alike."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from daemons import ANY_PORT

from streamrnn.cli import main
from streamrnn.config import convert
from streamrnn.daemon_config import DaemonConfig

INGEST = {"kind": "zeromq", "endpoint": ANY_PORT}
RESULTS = {"kind": "zeromq", "endpoint": "tcp://127.0.0.1:5560"}
PORT = "tcp://127.0.0.1:5560"


def document(bundle: Path, folder: Path, changes: dict[str, Any]) -> dict[str, Any]:
    """A daemon's config with other sections; FOLDER stands for one that is there and can be written."""
    whole = {
        "bundles": [{"path": str(bundle)}],
        "sources": [INGEST],
        "sinks": [RESULTS],
        "control": {"endpoint": "off"},
    }
    text = yaml.safe_dump({**whole, **changes}).replace("FOLDER", str(folder))
    read: dict[str, Any] = yaml.safe_load(text)
    return read


IN_THE_WAY = "FOLDER/file/inside"
CANNOT = {
    "control on a sink's port": ({"control": {"endpoint": PORT}}, f"control.endpoint: {PORT} is that of sinks[0].endp"),
    "health on a sink's port": (
        {"health": {"endpoint": "http://localhost:5560"}},
        f"health.endpoint: http://localhost:5560 is that of sinks[0].endpoint, {PORT}, already; choose another port",
    ),
    "ingest on a sink's port": (
        {"sources": [{"kind": "zeromq", "endpoint": PORT}]},
        f"sinks[0].endpoint: {PORT} is that of sources[0].endpoint already; choose another port",
    ),
    "control on the port of ingest, whatever the name": (
        {
            "sources": [{"kind": "zeromq", "endpoint": "tcp://localhost:7001"}],
            "control": {"endpoint": "tcp://127.0.0.1:7001"},
        },
        "control.endpoint: tcp://127.0.0.1:7001 is that of sources[0].endpoint, tcp://localhost:7001, already",
    ),
    "two sinks on one port": ({"sinks": [RESULTS, RESULTS]}, f"sinks[1].endpoint: {PORT} is that of sinks[0].endpoint"),
    "a stream twice": (
        {"sources": [{"kind": "stdin", "rate": 8000, "stream": "a"}, {"kind": "wav", "path": "x", "stream": "a"}]},
        "sources[1].stream: 'a' is another source's; choose another name",
    ),
    "state in the journal's folder": (
        {"state": {"directory": "FOLDER/a"}, "history": {"journal": "FOLDER/b/../a"}},
        "history.journal: FOLDER/b/../a is that of state.directory already; choose another",
    ),
    "clips in the folder of the state": (
        {"state": {"directory": "FOLDER/a"}, "clips": {"directory": "FOLDER/a/"}},
        "clips.directory: FOLDER/a is that of state.directory already; choose another",
    ),
    "a sink's file in the journal's folder": (
        {"history": {"journal": "FOLDER"}, "sinks": [RESULTS, {"kind": "jsonl", "path": "FOLDER/a.jsonl"}]},
        "sinks[1].path: FOLDER/a.jsonl lies in the folder of history.journal, which is for the files of that alone; ch",
    ),
    "two sinks into one file": (
        {"sinks": [{"kind": "jsonl", "path": "FOLDER/a"}, {"kind": "jsonl", "path": "FOLDER/./a"}]},
        "sinks[1].path: FOLDER/a is that of sinks[0].path already",
    ),
    "the journal where a file is": (
        {"history": {"journal": IN_THE_WAY}},
        f"history.journal: {IN_THE_WAY} cannot be made, for FOLDER/file is a file; choose another folder",
    ),
    "the state where a file is": (
        {"state": {"directory": "FOLDER/file"}},
        "state.directory: FOLDER/file cannot be made",
    ),
    "clips where a file is": ({"clips": {"directory": IN_THE_WAY}}, f"clips.directory: {IN_THE_WAY} cannot be made"),
    "the state where nothing may be written": (
        {"state": {"directory": "FOLDER/closed/state"}},
        "FOLDER/closed/state: this user may not write to FOLDER/closed; run: sudo install -d -o $(id -u) FOLDER/",
    ),
    "a sink's file that may not be written": (
        {"sinks": [{"kind": "jsonl", "path": "FOLDER/closed/a.jsonl"}]},
        "sinks[0].path: FOLDER/closed/a.jsonl: this user may not write to FOLDER/closed; ch",
    ),
    "a sink's file in no folder": (
        {"sinks": [{"kind": "jsonl", "path": "FOLDER/none/a.jsonl"}]},
        "sinks[0].path: FOLDER/none/a.jsonl: there is no folder FOLDER/none; run: mkdir -p FOLDER/none",
    ),
    "a sink's file that is a folder": (
        {"sinks": [{"kind": "jsonl", "path": "FOLDER"}]},
        "sinks[0].path: FOLDER is a folder; name a file in it",
    ),
    "keys that are not there": (
        {"security": {"keys": "FOLDER/keys"}},
        "security.keys: FOLDER/keys: there is no such folder; run: streamrnn keygen server --out FOLDER/keys",
    ),
    "keys of a sink, without the daemon's own": (
        {"sinks": [{**RESULTS, "keys": "FOLDER"}]},
        "sinks[0].keys: FOLDER: has no server.key_secret; run: streamrnn keygen server --out FOLDER",
    ),
    "a bundle that is not there": (
        {"bundles": [{"path": "FOLDER/x.bundle"}]},
        "bundles[0].path: FOLDER/x.bundle: No such file or directory; give the path of a bundle",
    ),
    "a shadow that is not there": (
        {"shadows": [{"path": "FOLDER/x.bundle"}]},
        "shadows[0].path: FOLDER/x.bundle: No such file or directory; give the path of a bundle",
    ),
}


@pytest.mark.parametrize("case", CANNOT)
def test_what_cannot_work_is_one_line_to_config_and_serve_alike(
    case: str, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes, says = CANNOT[case]
    (tmp_path / "file").write_text("")
    (tmp_path / "closed").mkdir(0o500)
    if "closed" in says and os.access(tmp_path / "closed", os.W_OK):
        pytest.skip("this user may write everywhere")
    path = tmp_path / "d.yaml"
    path.write_text(yaml.safe_dump(document(tiny_bundle, tmp_path, changes)))
    told = []
    for command in ("config", "serve"):
        assert main([command, str(path)]) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.count("\n") == 1
        told.append(shown.err.removeprefix(f"streamrnn {command}: {path}: "))
        assert says.replace("FOLDER", str(tmp_path)) in told[-1]
    assert told[0] == told[1]
    left = {each.name for each in tmp_path.iterdir()}
    assert left == {"file", "closed", "d.yaml"}, "nothing is made by what is refused"


@pytest.mark.parametrize(
    "changes",
    [
        {"control": {"endpoint": "tcp://127.0.0.2:5560"}},
        {"control": {"endpoint": ANY_PORT}, "sinks": [{**RESULTS, "endpoint": ANY_PORT}]},
        {"sinks": [{**RESULTS, "endpoint": "ipc:///tmp/a:1"}, {**RESULTS, "endpoint": "ipc:///tmp/b:1"}]},
        {
            "state": {"directory": "FOLDER/a"},
            "history": {"journal": "FOLDER/a/journal"},
            "clips": {"directory": "FOLDER"},
        },
        {"sinks": [{"kind": "jsonl"}, {"kind": "jsonl"}, {"kind": "jsonl", "path": "FOLDER/file"}]},
    ],
    ids=["another address", "any port", "sockets in files", "folders in folders", "standard output, and a file"],
)
def test_what_can_work_is_valid(
    changes: dict[str, Any], tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "d.yaml"
    path.write_text(yaml.safe_dump(document(tiny_bundle, tmp_path, changes)))
    assert main(["config", str(path)]) == 0
    assert "it is valid" in capsys.readouterr().out


def test_the_network_and_this_machine_are_one_port(tiny_bundle: Path, tmp_path: Path) -> None:
    changes = {
        "security": {"keys": "FOLDER"},
        "sinks": [{**RESULTS, "endpoint": "tcp://*:5560"}],
        "sources": [{"kind": "zeromq", "endpoint": PORT}],
    }
    with pytest.raises(Exception, match=r"sinks\[0\].endpoint: tcp://\*:5560 is that of sources\[0\].endpoint"):
        convert(document(tiny_bundle, tmp_path, changes), DaemonConfig)
