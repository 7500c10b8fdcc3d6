"""Who may call what where keys are asked for: real sockets and real keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamrnn.calls import CallError
from streamrnn.cli import main
from streamrnn.client import Control as Caller
from streamrnn.control import Control, ControlConfig, NoParams
from streamrnn.errors import DeviceError
from streamrnn.security import keys
from streamrnn.sources.bell import Bell


def test_each_call_is_for_those_who_have_its_role(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    for name, role in (("reader", "read"), ("bringer", "ingest"), ("boss", "admin"), ("stranger", "")):
        given = ["--role", role] if role else []
        assert main(["keygen", name, *given, "--out", str(folder)]) == 0
    bell = Bell()
    control = Control(bell)
    control.add("look", NoParams, lambda _: "seen", where="control", role="read")
    control.add("change", NoParams, lambda _: "changed", where="control")
    control.bind(ControlConfig("tcp://127.0.0.1:*", str(folder)))
    control.start()
    try:
        for name, may in (("reader", {"look"}), ("bringer", set()), ("boss", {"look", "change"})):
            with Caller(control.place, keys=str(folder / f"{name}{keys.SECRET_SUFFIX}")) as caller:
                assert "mono_ns" in caller.call("ping")
                for method in ("look", "change"):
                    if method in may:
                        assert caller.call(method) in ("seen", "changed")
                        continue
                    with pytest.raises(CallError) as caught:
                        caller.call(method)
                    assert caught.value.code == "not_allowed"
        for own in ("", str(folder / f"stranger{keys.SECRET_SUFFIX}")):
            with Caller(control.place, keys=own) as caller, pytest.raises(DeviceError):
                caller.call("ping", timeout=0.5)
    finally:
        control.close()
        bell.close()
