"""What the doctor finds: a line each, with its repair, and the exit code that it comes to."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from daemons import RESULTS, write_config

from streamrnn import doctor
from streamrnn.cli import main
from streamrnn.doctor import Finding, verdict
from streamrnn.errors import DeviceError

STDIN = {"kind": "stdin", "rate": 8000}


def findings(capsys: pytest.CaptureFixture[str], config: Path) -> tuple[int, dict[str, Any]]:
    code = main(["doctor", str(config), "--json"])
    return code, {each["what"]: each for each in json.loads(capsys.readouterr().out)}


def config_of(folder: Path, sinks: list[Any], **more: Any) -> Path:
    return write_config(folder / "d.yaml", Path("digits"), [STDIN], sinks, **more)


def test_each_finding_is_one_line_of_the_same_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = config_of(tmp_path, [RESULTS, {"kind": "jsonl", "path": str(tmp_path / "a.jsonl")}])
    code = main(["doctor", str(config)])
    lines = capsys.readouterr().out.splitlines()
    assert all(re.fullmatch(r"(ok  |warn|fail) \S[^:]*: \S.*", line) for line in lines), lines
    grades = {line.split()[0] for line in lines}
    assert code == (2 if "fail" in grades else 1 if "warn" in grades else 0)
    assert any(line.startswith("ok   bundle digits: ") for line in lines)
    assert any("GB free" in line for line in lines)


def test_the_example_is_what_it_looks_at_without_a_config(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) in (0, 1, 2)
    assert "bundle digits" in capsys.readouterr().out


def test_a_port_that_is_held_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        config = config_of(tmp_path, [{**RESULTS, "endpoint": f"tcp://127.0.0.1:{port}"}])
        _, found = findings(capsys, config)
        assert found["sinks[0].endpoint"]["grade"] == "warn"
        assert str(port) in found["sinks[0].endpoint"]["text"]
    _, found = findings(capsys, config)
    assert found["sinks[0].endpoint"]["grade"] == "ok"


def test_keys_that_others_can_read_are_told_with_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = tmp_path / "keys"
    assert main(["keygen", "ann", "--role", "read", "--out", str(keys)]) == 0
    config = config_of(tmp_path, [RESULTS], security={"keys": str(keys)})
    _, found = findings(capsys, config)
    assert found[f"keys {keys}"]["grade"] == "ok"
    assert "move ann.key_secret" in found[f"keys {keys}"]["text"]
    (keys / "server.key_secret").chmod(0o644)
    code, found = findings(capsys, config)
    assert code == 2
    assert f"chmod 600 {keys / 'server.key_secret'}" in found[f"keys {keys}"]["text"]


def test_a_bundle_that_cannot_be_trusted_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.bundle").write_bytes(b"no bundle")
    config = write_config(tmp_path / "d.yaml", tmp_path / "x.bundle", [STDIN], [RESULTS])
    code, found = findings(capsys, config)
    assert code == 2
    assert found[f"bundle {tmp_path / 'x.bundle'}"]["grade"] == "fail"


def test_a_machine_without_microphones_fails_only_who_asks_for_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_there() -> list[dict[str, Any]]:
        raise DeviceError("microphone: the PortAudio library is missing; apt-get install libportaudio2")

    monkeypatch.setattr(doctor, "devices", none_there)
    _, found = findings(capsys, config_of(tmp_path, [RESULTS]))
    assert found["microphone"]["grade"] == "warn"
    config = write_config(tmp_path / "d.yaml", Path("digits"), [{"kind": "microphone"}], [RESULTS])
    code, found = findings(capsys, config)
    assert code == 2
    assert "apt-get" in found["microphone"]["text"]


@pytest.mark.parametrize(("jump", "grade"), [(0.0, "ok"), (86_400.0, "warn"), (-86_400.0, "warn")])
def test_a_wall_clock_that_jumps_is_told(monkeypatch: pytest.MonkeyPatch, jump: float, grade: str) -> None:
    walls = iter([2e9, 2e9 + jump])
    monkeypatch.setattr(doctor.time, "sleep", lambda _: None)
    monkeypatch.setattr(doctor.time, "time", lambda: next(walls))
    assert next(iter(doctor._clocks())).grade == grade


@pytest.mark.parametrize(("grades", "code"), [(["ok"], 0), (["ok", "warn"], 1), (["warn", "fail", "ok"], 2)])
def test_the_worst_finding_is_the_exit_code(grades: list[Any], code: int) -> None:
    assert verdict([Finding(grade, "x", "y") for grade in grades]) == code
