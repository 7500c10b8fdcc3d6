"""A stream goes on across a restart of the daemon, killed or stopped, and a word spoken across it is recognised."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import peers
import pytest
import soundfile
import zmq
from daemons import INGEST, RESULTS, Daemon, write_config
from test_service import SAID, as_event, subscriber

import streamrnn
from streamrnn import bundle, ingest, snapshot, statefile
from streamrnn.client import Subscriber
from streamrnn.engine import Engine, serving
from streamrnn.errors import DeviceError
from streamrnn.events import Event, same
from streamrnn.ingest import Credit, Data, End, Error, Start
from streamrnn.statefile import Kept, KeptStream, StateConfig, StateFile
from streamrnn.testing.signals import sentence
from streamrnn.wire import Message, Status


def spoken() -> tuple[np.ndarray, int]:
    """Five seconds of the shipped recording, `(time, 1)`, and their rate."""
    path = Path(streamrnn.__file__).parent / "recordings" / "demo.flac"
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return samples[: 5 * rate, :1], rate


class Bringer:
    """A client of the ingest wire that may go on in a run where the daemon wants it to."""

    def __init__(self, daemon: Daemon, rate: int, run: str = "r1", first: int = 0) -> None:
        self._context = peers.context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.connect(daemon.ingest)
        self.credit, self.next, self.ended = 0, -1, False
        self._send(Start("mic", rate, 1, "float32", run=run, first=first))
        while not self.credit:
            self._heed()

    def bring(self, samples: np.ndarray, start: int, end: int) -> None:
        while start < end:
            n = min(1000, end - start)
            while self.credit < n:
                self._heed()
            self._send(Data("mic", start, n), ingest.pack(samples[start : start + n], "float32"))
            self.credit, start = self.credit - n, start + n

    def end(self) -> None:
        self._send(End("mic"))
        while not self.ended:
            self._heed()

    def _send(self, header: ingest.Request, *payload: bytes) -> None:
        self._socket.send_multipart([ingest.encode_header(header), *payload])

    def _heed(self) -> None:
        assert self._socket.poll(60_000), "no answer"
        answer = ingest.decode_answer(self._socket.recv_multipart())
        assert not isinstance(answer, Error), answer
        if isinstance(answer, Credit):
            self.credit += answer.n
            if answer.next is not msgspec.UNSET:
                self.next = answer.next
        self.ended |= isinstance(answer, End)

    def close(self) -> None:
        self._socket.close(0)
        self._context.term()


def collect(listening: Subscriber, until: Any) -> list[Message]:
    heard: list[Message] = []
    while not heard or not until(heard[-1]):
        heard.append(listening.receive(60.0))
    return heard


def has(state: str) -> Any:
    return lambda message: isinstance(message.body, Status) and message.body.state == state


def events(messages: list[Message]) -> list[Event]:
    return [as_event(each) for each in messages if each.kind in ("detection", "gap")]


def kept_sample(directory: Path) -> int:
    """The sample that the state file would go on with, -1 if there is none."""
    path = directory / statefile.NAME
    if not path.exists():
        return -1
    kept = msgspec.msgpack.decode(path.read_bytes()[len(statefile.MAGIC) + 32 :], type=Kept)
    return snapshot.decode(kept.streams["mic"].snapshot).expected if "mic" in kept.streams else -1


def wait_until_kept(directory: Path, sample: int, seconds: float = 60.0) -> None:
    """Until the state file would go on with that sample, or a later one."""
    deadline = time.monotonic() + seconds
    while kept_sample(directory) < sample:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def talk(rate: int) -> np.ndarray:
    return sentence(SAID, rate, np.random.default_rng(1))[0]


@pytest.fixture
def config(tmp_path: Path, tiny_bundle: Path) -> Path:
    state = {"directory": str(tmp_path / "state"), "every_s": 0.2}
    return write_config(tmp_path / "daemon.yaml", tiny_bundle, [INGEST], [RESULTS], state=state)


@pytest.mark.parametrize(
    ("how", "rate", "workers"),
    [("killed", 8000, 1), ("stopped", 8000, 1), ("killed", 16000, 1), ("killed", 8000, 2), ("stopped", 16000, 2)],
)
def test_words_across_a_restart_are_recognised_and_nothing_is_told_twice(
    config: Path, tmp_path: Path, tiny_bundle: Path, how: str, rate: int, workers: int
) -> None:
    config.write_text(f"{config.read_text()}workers: {workers}\n")
    samples = talk(rate)
    wanted = streamrnn.load(tiny_bundle).detect(samples, rate, "mic")
    assert len(wanted) == len(SAID)
    # In the midst of the second word.
    body = wanted[1].body
    cut = (body.start + body.end) // 2  # type: ignore[union-attr]
    with Daemon(config) as daemon, subscriber(daemon) as listening:
        bringer = Bringer(daemon, rate)
        assert bringer.next == 0
        bringer.bring(samples, 0, cut)
        wait_until_kept(tmp_path / "state", cut)
        if how == "killed":
            bringer.bring(samples, cut, cut + 500)
            daemon.stop(signal.SIGKILL)
            first: list[Message] = []
            while listening._socket.poll(1000):  # what is on its way still
                first.append(listening.receive(1.0))
        else:
            assert daemon.stop() < 2.0
            first = collect(listening, lambda message: message.kind == "bye")
            assert any(has("suspended")(each) for each in first)
        bringer.close()
    with Daemon(config) as daemon, subscriber(daemon) as listening:
        bringer = Bringer(daemon, rate)
        assert bringer.next == kept_sample(tmp_path / "state")
        assert (bringer.next == cut) if how == "stopped" else (cut <= bringer.next <= cut + 500)
        bringer.bring(samples, bringer.next, len(samples))
        bringer.end()
        second = collect(listening, has("ended"))
        bringer.close()
    assert any(has("restored")(each) for each in second)
    by_id = {each.id: each for each in [*events(first), *events(second)]}
    assert list(by_id) == [each.id for each in wanted]
    assert all(same(one, other) for one, other in zip(by_id.values(), wanted, strict=True))
    assert {each.epoch for each in by_id.values()} == {0}


def test_the_shipped_digits_across_a_kill(tmp_path: Path) -> None:
    """A network with a long memory: one that had forgotten would say something else."""
    path = bundle.shipped("digits")
    samples, rate = spoken()
    wanted = streamrnn.load(path).detect(samples, rate, "mic")
    state = {"directory": str(tmp_path / "state"), "every_s": 0.2}
    config = write_config(tmp_path / "daemon.yaml", path, [INGEST], [RESULTS], state=state)
    forgetful = [
        cut
        for each in wanted
        for cut in [(each.body.start + each.body.end) // 2]
        if not alike(told_anew(path, cut), wanted)
    ]
    assert forgetful
    cut = forgetful[len(forgetful) // 2]
    with Daemon(config) as daemon, subscriber(daemon) as listening:
        bringer = Bringer(daemon, rate)
        bringer.bring(samples, 0, cut)
        wait_until_kept(tmp_path / "state", cut)
        daemon.stop(signal.SIGKILL)
        first: list[Message] = []
        while listening._socket.poll(1000):
            first.append(listening.receive(1.0))
        bringer.close()
    with Daemon(config) as daemon, subscriber(daemon) as listening:
        bringer = Bringer(daemon, rate)
        bringer.bring(samples, bringer.next, len(samples))
        bringer.end()
        second = collect(listening, has("ended"))
        bringer.close()
    by_id = {each.id: each for each in [*events(first), *events(second)]}
    assert list(by_id) == [each.id for each in wanted]
    assert all(same(one, other) for one, other in zip(by_id.values(), wanted, strict=True))


def told_anew(path: Path, cut: int) -> list[Event]:
    """What would be told if the hidden state were lost at a sample and nothing else."""
    there = bundle.read(path)
    engine, told = Engine([serving(there)]), []
    samples, rate = spoken()
    engine.open("mic", rate, 1)
    engine.push("mic", 0, samples[:cut])
    told += engine.run()
    taken = engine.snapshot("mic")
    listener = msgspec.structs.replace(taken.listeners[0], state=dict(there.initial))
    engine = Engine([serving(there)])
    engine.restore(msgspec.structs.replace(taken, listeners=(listener,)))
    engine.push("mic", cut, samples[cut:])
    engine.finish("mic")
    return told + engine.run()


def alike(left: list[Event], right: list[Event]) -> bool:
    return len(left) == len(right) and all(same(one, other) for one, other in zip(left, right, strict=True))


def test_another_run_or_lost_samples_or_another_bundle_begin_a_new_epoch(
    config: Path, tmp_path: Path, tiny_bundle: Path
) -> None:
    samples = talk(8000)
    with Daemon(config) as daemon:
        bringer = Bringer(daemon, 8000)
        bringer.bring(samples, 0, 4000)
        daemon.stop()
        bringer.close()
    # What the pusher has kept begins too late.
    with Daemon(config) as daemon, subscriber(daemon) as listening:
        bringer = Bringer(daemon, 8000, first=6000)
        assert bringer.next == 4000
        bringer.bring(samples, 6000, 8000)
        gaps = collect(listening, lambda message: message.kind == "gap" and message.body.end == 6000)  # type: ignore[union-attr]
        daemon.stop()
        bringer.close()
    assert gaps[-1].epoch == 1
    # Another decoder: nothing is missing, and all is forgotten.
    text = config.read_text().replace("bundles:\n- path:", "bundles:\n- decoder: {smooth_ms: 70}\n  path:")
    assert text != config.read_text()
    config.write_text(text)
    with Daemon(config) as daemon, subscriber(daemon) as listening:
        bringer = Bringer(daemon, 8000)
        assert bringer.next == 8000
        bringer.bring(samples, 8000, 9000)
        gap = collect(listening, lambda message: message.kind == "gap")[-1]
        daemon.stop()
        bringer.close()
    assert (gap.body.start, gap.body.end, gap.body.reason, gap.epoch) == (8000, 8000, "restart", 2)  # type: ignore[union-attr]
    # Another run counts from its own begin, in epochs that no daemon before has used.
    with Daemon(config) as daemon, subscriber(daemon) as listening:
        bringer = Bringer(daemon, 8000, run="r2")
        assert bringer.next == 0
        bringer.bring(samples, 0, len(samples))
        bringer.end()
        # The other's, which nobody goes on with, is over first.
        over = collect(listening, has("ended"))[-1]
        told = events(collect(listening, has("ended")))
        bringer.close()
    assert (over.counting, over.t.sample) == ("r1", 9000)
    assert {each.epoch for each in told} == {3 << 20}


@pytest.mark.parametrize("how", ["flipped", "truncated", "empty", "foreign"])
def test_a_damaged_state_file_is_announced_and_put_aside(tmp_path: Path, how: str) -> None:
    file = StateFile(StateConfig(str(tmp_path)))
    file.open()
    assert file.finish(Kept(3, {"mic": KeptStream("r", b"x" * 100)}), {}, 5.0) == []
    path = tmp_path / statefile.NAME
    data = bytearray(path.read_bytes())
    data[-10] ^= how == "flipped"
    path.write_bytes({"truncated": data[:-1], "empty": b"", "foreign": b"SRSTATE2\n" + data[9:]}.get(how, data))
    again = StateFile(StateConfig(str(tmp_path)))
    assert again.open() == Kept(1, {})
    assert str(path) in again.trouble
    assert (tmp_path / f"{statefile.NAME}.bad").exists()
    again.close()


def test_a_kept_state_is_read_again_and_one_directory_is_one_daemons(tmp_path: Path) -> None:
    file = StateFile(StateConfig(str(tmp_path / "a" / "b")))
    assert file.open() == Kept(1, {})
    with pytest.raises(DeviceError, match="in use by another daemon"):
        StateFile(StateConfig(str(tmp_path / "a" / "b"))).open()
    file.finish(Kept(1, {"mic": KeptStream("r", b"x")}), {}, 5.0)
    again = StateFile(StateConfig(str(tmp_path / "a" / "b")))
    assert again.open() == Kept(2, {"mic": KeptStream("r", b"x")})
    again.close()
    (tmp_path / "file").write_text("")
    with pytest.raises(DeviceError, match="choose a directory"):
        StateFile(StateConfig(str(tmp_path / "file"))).open()


def test_a_full_disk_is_told_and_the_file_before_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, os.strerror(28))

    file = StateFile(StateConfig(str(tmp_path)))
    kept = file.open()
    before = (tmp_path / statefile.NAME).read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    assert "No space left" in file.finish(Kept(kept.runs, {"mic": KeptStream("r", b"x")}), {}, 5.0)[0]
    assert (tmp_path / statefile.NAME).read_bytes() == before


def test_a_snapshot_of_many_streams_is_quick(tiny_bundle: Path) -> None:
    """Nothing is asserted of the time: that no stream is left out, and of how much there is to write."""
    engine = Engine([serving(bundle.read(tiny_bundle))])
    for i in range(200):
        engine.open(f"mic{i}", 16000, 1)
        engine.push(f"mic{i}", 0, np.zeros((5000, 1), np.float32))
    engine.run()
    size = sum(len(snapshot.encode(engine.snapshot(each))) for each in engine.streams)
    assert size < 200 * 20_000
