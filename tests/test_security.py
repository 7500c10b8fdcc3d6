"""Who is let in and who is not: real sockets, real keys, real files with real modes."""

from __future__ import annotations

import ast
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq
from daemons import INGEST, RESULTS, Daemon, write_config
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn import limits, security
from streamrnn.cli import main
from streamrnn.client import Pusher, Subscriber
from streamrnn.config import convert
from streamrnn.daemon_config import DaemonConfig
from streamrnn.errors import ConfigError, DeviceError, UserError
from streamrnn.security import keys
from streamrnn.security.connections import Subscriptions
from streamrnn.security.doors import Kind
from streamrnn.security.exposure import exposed
from streamrnn.security.standing import Standing
from streamrnn.sinks.zeromq import ZeromqConfig, ZeromqSink
from streamrnn.wire import Hello

ANY_PORT = "tcp://127.0.0.1:*"
REFUSED_S = 1.0  # that a client which must be refused is given


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys of a daemon, of a client for each role, and of a stranger whom nobody has let in."""
    made = tmp_path_factory.mktemp("site") / "keys"
    for role in security.ROLES:
        assert main(["keygen", role, "--role", role, "--out", str(made)]) == 0
    assert main(["keygen", "stranger", "--out", str(made)]) == 0
    return made


def secret(folder: Path, name: str) -> str:
    return str(folder / f"{name}{keys.SECRET_SUFFIX}") if name else ""


@contextmanager
def door(folder: Path, kind: Kind) -> Iterator[tuple[zmq.Socket[bytes], security.Door, str]]:
    # Ended by term, as the daemon does: the porter's sockets are the porter's.
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    try:
        router.linger = 0
        made = security.secure(router, context, kind, ANY_PORT, keys=str(folder), largest=1 << 20)
        router.bind(ANY_PORT)
        yield router, made, router.getsockopt_string(zmq.LAST_ENDPOINT)
    finally:
        router.close(0)
        context.term()


def knock(router: zmq.Socket[bytes], at: str, own: str, *, size: int = 5) -> frozenset[str]:
    """The roles with which a client is heard; none if it is not."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        security.introduce(dealer, own)
        dealer.connect(at)
        dealer.send(bytes(size))
        if not router.poll(10_000 if own and "stranger" not in own and size != 6 else round(REFUSED_S * 1000)):
            return frozenset()
        _, frame = router.recv_multipart(copy=False)
        return Standing(str(Path(own).parent) if own else "").roles_of(frame)


ENTER = [
    ("results", "read", True),
    ("results", "ingest", False),
    ("results", "admin", True),
    ("ingest", "read", False),
    ("ingest", "ingest", True),
    ("ingest", "admin", True),
    ("control", "read", True),
    ("control", "ingest", True),
    ("control", "admin", True),
]


@pytest.mark.parametrize("kind", ["results", "ingest", "control"])
def test_each_door_lets_in_its_roles_and_no_one_else(folder: Path, kind: Kind) -> None:
    with door(folder, kind) as (router, made, at):
        for name, enters in [(name, enters) for where, name, enters in ENTER if where == kind]:
            roles = knock(router, at, secret(folder, name), size=5 if enters else 6)
            assert (name in roles) == enters, name
            if enters:
                assert ("ingest" in roles) == (name != "read")
        for name in ("stranger", ""):
            assert not knock(router, at, secret(folder, name))
        assert made.turned_away["refused key"]


def test_a_key_that_is_taken_out_of_the_list_is_refused_from_the_next_handshake_on(tmp_path: Path) -> None:
    made = tmp_path / "keys"
    main(["keygen", "ann", "--role", "ingest", "--out", str(made)])
    with door(made, "ingest") as (router, _, at):
        assert knock(router, at, secret(made, "ann"))
        allowed = (made / keys.ALLOWED).read_text()
        (made / keys.ALLOWED).write_text(keys._COMMENT)
        assert not knock(router, at, secret(made, "ann"), size=6)
        (made / keys.ALLOWED).write_text(allowed)
        assert knock(router, at, secret(made, "ann"))


@pytest.mark.parametrize("harm", ["gone", "malformed", "writable"])
def test_a_list_that_cannot_be_trusted_lets_nobody_in(tmp_path: Path, harm: str) -> None:
    made = tmp_path / "keys"
    main(["keygen", "ann", "--role", "ingest", "--out", str(made)])
    with door(made, "ingest") as (router, _, at):
        path = made / keys.ALLOWED
        if harm == "gone":
            path.unlink()
        elif harm == "malformed":
            path.write_text(path.read_text() + "ingest everyone\n")
        else:
            path.chmod(0o666)
        assert not knock(router, at, secret(made, "ann"), size=6)


def test_without_its_porter_a_door_is_shut(folder: Path) -> None:
    with door(folder, "ingest") as (router, _, _), zmq.Context() as alone, alone.socket(zmq.ROUTER) as bare:
        bare.linger = router.linger = 0
        pair = keys.load_server(folder)
        bare.curve_secretkey, bare.curve_server = pair.secret, 1
        bare.setsockopt_string(zmq.ZAP_DOMAIN, "ingest")
        bare.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, router.getsockopt(zmq.ZAP_ENFORCE_DOMAIN))
        bare.bind(ANY_PORT)
        assert not knock(bare, bare.getsockopt_string(zmq.LAST_ENDPOINT), secret(folder, "admin"), size=6)


def test_the_largest_part_goes_through_encrypted_and_what_is_larger_does_not(folder: Path) -> None:
    with door(folder, "ingest") as (router, _, at):
        assert knock(router, at, secret(folder, "ingest"), size=limits.LARGEST_MESSAGE)
        with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
            dealer.linger = 0
            security.introduce(dealer, secret(folder, "ingest"))
            dealer.connect(at)
            dealer.send(bytes(limits.LARGEST_MESSAGE + 4 * limits.CURVE_BYTES))
            assert not router.poll(500)


# A whole daemon.


def test_a_daemon_with_keys_serves_who_has_them(folder: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "d.yaml", tiny_bundle, [INGEST], [RESULTS], security={"keys": str(folder)})
    with Daemon(config) as daemon:
        with Subscriber(daemon.results, timeout=5.0, keys=secret(folder, "read")) as listening:
            assert isinstance(listening.receive(10.0).body, Hello)
            with Pusher(daemon.ingest, stream="mic", rate=8000, keys=secret(folder, "ingest"), timeout=10.0) as pusher:
                pusher.push(np.zeros(8000, np.float32))
        for own in ("read", "stranger", ""):
            with pytest.raises(DeviceError, match="let this key in" if own else "if it asks for keys"):
                Pusher(daemon.ingest, stream="other", rate=8000, keys=secret(folder, own), timeout=10.0)
        for own in ("ingest", "stranger", ""):
            with (
                Subscriber(daemon.results, keys=secret(folder, own)) as listening,
                pytest.raises(DeviceError, match="let this key in" if own else "if it asks for keys"),
            ):
                listening.receive(10.0)
        assert daemon.stop() < 4


@pytest.mark.parametrize("seconds", [600.0 if os.environ.get("STREAMRNN_FAULTS") == "long" else 3.0])
def test_strangers_at_every_port_cost_no_restart_and_no_memory(
    tiny_bundle: Path, tmp_path: Path, folder: Path, seconds: float
) -> None:
    from hostile import harass

    more = {"security": {"keys": str(folder)}, "health": {"endpoint": "http://127.0.0.1:*"}}
    config = write_config(tmp_path / "d.yaml", tiny_bundle, [INGEST], [RESULTS], **more)
    with Daemon(config) as daemon:
        ports = [int(line.rpartition(":")[2]) for line in daemon.said if "//127.0.0.1:" in line]
        assert len(ports) == 4  # results, ingest, control and health
        harass(ports, 1.0, seed=1)  # what is allocated once
        before = daemon.memory_mb()
        times = harass(ports, seconds, seed=2)
        print(f"{times} strangers in {seconds:g} s: {daemon.memory_mb() - before:+.1f} MB")
        assert times > 100
        assert daemon.memory_mb() - before < 5
        assert daemon.process.poll() is None
        with Pusher(daemon.ingest, stream="mic", rate=8000, keys=secret(folder, "ingest"), timeout=10.0) as pusher:
            pusher.push(np.zeros(800, np.float32))


# Connections and subscriptions.


def test_one_who_subscribes_without_end_is_cut_off_and_no_other(tmp_path: Path) -> None:
    sink = ZeromqSink(ZeromqConfig(endpoint=ANY_PORT))
    before = _memory_mb()
    with zmq.Context() as context, context.socket(zmq.SUB) as good, context.socket(zmq.SUB) as endless:
        good.linger = endless.linger = 0
        good.connect(sink.place)
        good.subscribe("v1/")
        _attend_until(sink, lambda: bool(sink._subscriptions._held))
        endless.sndhwm = 0
        endless.reconnect_ivl = -1
        endless.connect(sink.place)
        for number in range(50_000):
            endless.subscribe(f"v1/{number:0100d}")
        _attend_until(sink, lambda: bool(sink._subscriptions.cut_off))
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            sink.attend()
        # What was on its way when it was cut off may be counted once more.
        assert sink._subscriptions.cut_off >= 1
        assert sink.door.connections == 1
        sink._socket.send_multipart([b"v1/x", b"{}"])
        assert good.poll(5000)
        # The 50,000 take some 20 MB in the subscriber, which is here too, and 250 MB in a daemon without bounds.
        assert _memory_mb() - before < 60
    sink.close(0.0)


def test_more_connections_than_allowed_are_cut_off(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr("streamrnn.security.doors.MOST_CONNECTIONS", 4)
    with door(folder, "ingest") as (router, made, at):
        port = int(at.rpartition(":")[2])
        held = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(12)]
        _wait(lambda: made.turned_away["too many connections"] >= 8 and made.connections <= 4)
        for each in held:
            each.close()
        _wait(lambda: made.connections == 0)
        assert knock(router, at, secret(folder, "ingest"))


def test_a_half_handshake_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr("streamrnn.security.doors.HANDSHAKE_MS", 200)
    with door(folder, "ingest") as (_, made, at), socket.socket() as half:
        half.connect(("127.0.0.1", int(at.rpartition(":")[2])))
        half.sendall(b"\xff\0\0\0\0\0\0\0\1\x7f\3")
        half.settimeout(5)
        while half.recv(100):
            pass
        _wait(lambda: made.connections == 0)


_FLOOD = """
import sys, zmq
context = zmq.Context()
dealer = context.socket(zmq.DEALER)
dealer.sndhwm = 0
dealer.connect(sys.argv[1])
for _ in range(20_000):
    dealer.send(bytes(1000))
print("sent", flush=True)
sys.stdin.read()
"""
_SERVER = """
import sys, time, zmq
from streamrnn import security
context = zmq.Context()
router = context.socket(zmq.ROUTER)
router.rcvhwm = 10
router.setsockopt(zmq.HEARTBEAT_IVL, 100)  # as someone may who does not know
router.setsockopt(zmq.HEARTBEAT_TIMEOUT, 10_000)
door = security.secure(router, context, "ingest", "tcp://127.0.0.1:*", keys="", largest=1 << 20)
router.bind("tcp://127.0.0.1:*")
print(router.getsockopt_string(zmq.LAST_ENDPOINT), flush=True)
sys.stdin.readline()
time.sleep(0.5)
print("here", flush=True)
"""


def test_a_peer_that_dies_while_its_messages_fill_the_queue_does_not_end_the_daemon() -> None:
    """libzmq 4.3.5 ends the process by an assertion if heartbeats are on: issues 3937 and 4767 of libzmq."""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", _SERVER], **pipes) as server:
        assert server.stdout
        assert server.stdin
        at = server.stdout.readline().strip()
        with subprocess.Popen([sys.executable, "-c", _FLOOD, at], **pipes) as flood:
            assert flood.stdout
            flood.stdout.readline()
            time.sleep(0.5)  # for the queue to fill, which nothing tells
            flood.kill()
        server.stdin.write("\n")
        server.stdin.flush()
        assert server.stdout.readline() == "here\n"
        server.kill()


def test_a_porter_leaves_with_its_socket(folder: Path) -> None:
    with door(folder, "control"):
        assert any(each.name == "control door" for each in threading.enumerate())
    _wait(lambda: not any(each.name == "control door" for each in threading.enumerate()))


# What a config may say.


@pytest.mark.parametrize(
    ("endpoint", "far"),
    [
        ("tcp://127.0.0.1:5560", False),
        ("tcp://127.1.2.3:*", False),
        ("tcp://[::1]:5560", False),
        ("tcp://localhost:5560", False),
        ("ipc:///run/streamrnn/results", False),
        ("tcp://*:5560", True),
        ("tcp://0.0.0.0:5560", True),
        ("tcp://[::]:5560", True),
        ("tcp://192.168.1.2:5560", True),
        ("tcp://eth0:5560", True),
        ("tcp://127.0.0.1.example.org:5560", True),
        ("tcp://[::ffff:10.0.0.1]:5560", True),
        ("ws://0.0.0.0:80/x", True),
        ("pgm://eth0;239.192.1.1:5555", True),
    ],
)
def test_what_the_network_can_reach_needs_keys(endpoint: str, far: object, folder: Path) -> None:
    assert exposed(endpoint) == far
    document = {
        "bundles": [{"path": "digits"}],
        "sources": [{"kind": "stdin", "rate": 8000}],
        "sinks": [{"kind": "console"}, {"kind": "zeromq", "endpoint": endpoint}],
    }
    if not far:
        convert(document, DaemonConfig)
    else:
        known = endpoint.startswith("tcp://")  # what else reaches the network no config names at all
        with pytest.raises(ConfigError, match=rf"sinks\[1\].endpoint: .*{'keygen' if known else 'no endpoint'}"):
            convert(document, DaemonConfig)
        with pytest.raises(ConfigError, match="reached from the network"):
            ZeromqSink(ZeromqConfig(endpoint=endpoint))
    document["security"] = {"keys": str(folder)}
    if far and not known:
        return
    with_keys = convert(document, DaemonConfig)
    assert isinstance(with_keys.sinks[1], ZeromqConfig)
    assert with_keys.sinks[1].keys == str(folder)


def test_serve_refuses_to_be_reached_from_the_network_without_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    open_to_all = {**RESULTS, "endpoint": "tcp://0.0.0.0:5560"}
    config = write_config(tmp_path / "d.yaml", Path("digits"), [INGEST], [open_to_all])
    assert main(["serve", str(config)]) == 2
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1
    assert "sinks[0].endpoint" in told
    assert "tcp://0.0.0.0:5560" in told


# Keys in files.


def test_secrets_are_for_their_owner_and_nothing_is_overwritten(folder: Path) -> None:
    for path in folder.glob(f"*{keys.SECRET_SUFFIX}"):
        assert path.stat().st_mode & 0o777 == 0o600
        assert keys.load(path).secret.decode() not in repr(keys.load(path))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    for words in (["read", "--role", "read"], ["read"], ["server"]):
        assert main(["keygen", *words, "--out", str(folder)]) == 2
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_secret_that_others_can_read_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    path = keys.write(tmp_path, "ann", keys.generate(b"x" * 40))
    path.chmod(0o640)
    with pytest.raises(ConfigError, match=f"mode 0640.*chmod 600 {path}"):
        Subscriber("tcp://127.0.0.1:1", keys=str(path))
    path.chmod(0o600)
    Subscriber("tcp://127.0.0.1:1", keys=str(path)).close()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no secret-key"),
        ('secret-key = "short"', "no Z85 key"),
        ('public-key = "' + "a" * 40 + '"\nsecret-key = "' + "b" * 40 + '"', "not that of secret-key"),
    ],
)
def test_a_certificate_that_is_none_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "x.key_secret"
    path.touch(0o600)
    path.write_text(text)
    with pytest.raises(ConfigError, match=told):
        keys.load(path)


_ANY_LINE = st.text(st.characters(codec="utf-8"), max_size=80)


@settings(deadline=None, max_examples=30)
@given(st.lists(_ANY_LINE, max_size=4))
def test_whatever_a_list_says_it_is_read_or_refused_in_one_line(lines: list[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as made:
        (Path(made) / keys.ALLOWED).write_text("\n".join(lines), encoding="utf-8")
        told, clients = "", {}
        try:
            clients = dict(keys.read_allowed(Path(made)))
        except UserError as error:
            told = str(error)
        assert "\n" not in told
        assert all(len(key) == 40 and client.roles <= set(security.ROLES) for key, client in clients.items())


# The house.


def test_nothing_is_unpickled_and_yaml_is_loaded_safely() -> None:
    package = Path(security.__file__).parents[1]
    wrong = []
    for path in package.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if not re.search(r"load|pickle|marshal|shelve|dill|eval\(|exec\(", text):
            continue
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
                if {"pickle", "marshal", "shelve", "dill", "cloudpickle"} & {str(name).split(".")[0] for name in names}:
                    wrong.append(f"{path.name}:{node.lineno}")
            elif isinstance(node, ast.Call):
                called, keywords = ast.unparse(node.func), {each.arg: ast.unparse(each.value) for each in node.keywords}
                unsafe = called in ("yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "eval", "exec")
                unsafe |= called == "yaml.load" and keywords.get("Loader") != "_Loader"
                unsafe |= called == "torch.load" and keywords.get("weights_only") != "True"
                unsafe |= keywords.get("allow_pickle") == "True"
                if unsafe:
                    wrong.append(f"{path.name}:{node.lineno}: {called}")
    assert not wrong


def test_the_page_tells_every_limit() -> None:
    page = (Path(__file__).parents[1] / "docs" / "security.md").read_text(encoding="utf-8").replace(",", "")
    known = {name: value for name, value in vars(limits).items() if name.isupper()}
    missing = {name: value for name, value in known.items() if f"| `{name}` | {value} |" not in page}
    assert not missing


def test_counts_stay_right_when_subscriptions_end() -> None:
    counted = Subscriptions()
    with zmq.Context() as context, context.socket(zmq.XPUB) as xpub, context.socket(zmq.SUB) as sub:
        xpub.setsockopt(zmq.XPUB_VERBOSER, 1)
        xpub.linger = sub.linger = 0
        port = xpub.bind_to_random_port("tcp://127.0.0.1")
        sub.connect(f"tcp://127.0.0.1:{port}")
        for _ in range(3 * limits.MOST_SUBSCRIPTIONS):
            sub.subscribe("v1/status/")
            sub.unsubscribe("v1/status/")
        sub.subscribe("v1/end/")
        while xpub.poll(2000):
            if counted.admit(xpub.recv(copy=False), f"tcp://127.0.0.1:{port}") == b"\1v1/end/":
                break
        assert not counted.cut_off


def _attend_until(sink: ZeromqSink, done: object) -> None:
    def attended() -> bool:
        sink._socket.poll(50)
        sink.attend()
        return bool(done())  # type: ignore[operator]

    _wait(attended)


def _wait(done: object, seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not done():  # type: ignore[operator]
        assert time.monotonic() < until
        time.sleep(0.01)


def _memory_mb() -> float:
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) / 1024


def test_limits_of_a_config_are_frozen() -> None:
    assert msgspec.structs.asdict(ZeromqConfig())["keys"] == ""
