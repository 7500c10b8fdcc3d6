"""Keys that are taken out of the list while their connections are there: real sockets, real keys."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import peers
import pytest
import zmq

from streamrnn import ingest, security
from streamrnn.calls import CallError
from streamrnn.chunk import Chunk, Ended, Item
from streamrnn.cli import main
from streamrnn.client import Control as Caller
from streamrnn.control import Control, ControlConfig
from streamrnn.security import keys, standing
from streamrnn.sources.bell import Bell
from streamrnn.sources.zeromq import ZeromqConfig, ZeromqSource

ANY_PORT = "tcp://127.0.0.1:*"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keys of two who bring streams and may ask; the list is looked at with each message, not only each second."""
    monkeypatch.setattr(standing, "_LOOK_S", 0.0)
    made = tmp_path / "keys"
    for name in ("ann", "bob"):
        assert main(["keygen", name, "--role", "ingest", "--out", str(made)]) == 0
    return made


def secret(folder: Path, name: str) -> str:
    return str(folder / f"{name}{keys.SECRET_SUFFIX}")


def revoke(folder: Path, name: str) -> str:
    """What the list was before."""
    path = folder / keys.ALLOWED
    before = path.read_text()
    path.write_text("".join(line for line in before.splitlines(keepends=True) if not line.endswith(f" {name}\n")))
    return before


class Bringer:
    """A stream of a name, brought with the key of that name."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], folder: Path, name: str, at: str) -> None:
        self.name, self.at, self.socket = name, 0, context.socket(zmq.DEALER)
        security.introduce(self.socket, secret(folder, name))
        self.socket.connect(at)
        self.socket.send(ingest.encode_header(ingest.Start(name, 8000)))

    def wait_for_credit(self) -> None:
        """As a client must: what comes before it is refused."""
        while self.socket.poll(5000):
            answer = ingest.decode_answer(self.socket.recv_multipart())
            if isinstance(answer, ingest.Credit) and answer.n:
                return
        raise AssertionError("no credit")

    def bring(self) -> None:
        self.socket.send_multipart([ingest.encode_header(ingest.Data(self.name, self.at, 100)), bytes(200)])
        self.at += 100

    def error(self) -> ingest.Error:
        while self.socket.poll(5000):
            answer = ingest.decode_answer(self.socket.recv_multipart())
            if isinstance(answer, ingest.Error):
                return answer
        raise AssertionError("no error")


def both_heard(
    context: zmq.Context[zmq.Socket[bytes]],
    folder: Path,
    source: ZeromqSource,
    said: queue.Queue[Item],
    *,
    seconds: float,
) -> tuple[Bringer, Bringer]:
    """Ann and bob, each of whom a first chunk was heard."""
    ann, bob = (Bringer(context, folder, name, source.place) for name in ("ann", "bob"))
    opened = {said.get(timeout=seconds).stream for _ in range(2)}
    assert opened == {"ann", "bob"}
    for each in (ann, bob):
        each.wait_for_credit()
        each.bring()
        assert chunk(said, seconds) == each.name
    return ann, bob


def chunk(said: queue.Queue[Item], seconds: float) -> str:
    """The stream of the next item, which is a chunk."""
    item = said.get(timeout=seconds)
    assert isinstance(item, Chunk)
    return item.stream


@contextmanager
def served(folder: Path) -> Iterator[tuple[ZeromqSource, queue.Queue[Item]]]:
    source = ZeromqSource(ZeromqConfig(endpoint=ANY_PORT, keys=str(folder)))
    said: queue.Queue[Item] = queue.Queue()

    def run() -> None:
        for item in source.items():
            said.put(item)
            source.taken(item)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield source, said
    finally:
        source.stop()
        thread.join()
        source.close()


def test_a_stream_ends_with_its_key_and_no_other_does(folder: Path) -> None:
    with served(folder) as (source, said), peers.context() as context:
        ann, bob = both_heard(context, folder, source, said, seconds=5)
        before = revoke(folder, "ann")
        ann.bring()
        assert said.get(timeout=5) == Ended("ann", "its key was revoked")
        assert ann.error().code == "revoked"
        bob.bring()
        item = said.get(timeout=5)
        assert isinstance(item, Chunk)
        assert item.stream == "bob"
        # Nor does it begin anew, until it is listed once more.
        ann.socket.send(ingest.encode_header(ingest.Start("ann", 8000)))
        assert ann.error() == ingest.Error("revoked", "the key is no longer let in to ingest", "ann")
        assert source.errors["revoked"] == 2
        (folder / keys.ALLOWED).write_text(before)
        ann.socket.send(ingest.encode_header(ingest.Start("ann", 8000)))
        assert said.get(timeout=5) == ingest.opened(ingest.Start("ann", 8000))
        for each in (ann, bob):
            each.socket.close(0)


def test_a_key_that_lost_its_role_brings_nothing(folder: Path) -> None:
    with served(folder) as (source, said), peers.context() as context:
        ann = Bringer(context, folder, "ann", source.place)
        said.get(timeout=5)
        path = folder / keys.ALLOWED
        path.write_text(path.read_text().replace("ingest", "read"))
        ann.bring()
        assert said.get(timeout=5) == Ended("ann", "its key was revoked")
        ann.socket.close(0)


def test_calls_end_with_the_key(folder: Path) -> None:
    bell = Bell()
    control = Control(bell)
    control.bind(ControlConfig(ANY_PORT, str(folder)))
    control.start()
    try:
        with (
            Caller(control.place, keys=secret(folder, "ann")) as ann,
            Caller(control.place, keys=secret(folder, "bob")) as bob,
        ):
            assert ann.call("ping")
            before = revoke(folder, "ann")
            with pytest.raises(CallError, match="no longer in the daemon's list") as caught:
                ann.call("ping")
            assert caught.value.code == "not_allowed"
            assert bob.call("ping")
            (folder / keys.ALLOWED).write_text(before)
            assert ann.call("ping")
    finally:
        control.close()
        bell.close()


def test_a_list_that_is_being_saved_ends_nobody_and_one_that_stays_unreadable_everybody(folder: Path) -> None:
    with served(folder) as (source, said), peers.context() as context:
        ann = Bringer(context, folder, "ann", source.place)
        said.get(timeout=5)
        path = folder / keys.ALLOWED
        before = path.read_text()
        path.unlink()
        ann.bring()
        assert isinstance(said.get(timeout=5), Chunk)
        path.write_text(before)
        path.chmod(0o600)
        ann.bring()
        assert isinstance(said.get(timeout=5), Chunk)
        path.unlink()
        ann.bring()
        assert isinstance(said.get(timeout=5), Chunk)
        ann.bring()
        assert said.get(timeout=5) == Ended("ann", "its key was revoked")
        ann.socket.close(0)
