"""The daemon: real processes, real sockets, real signals."""

from __future__ import annotations

import json
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import peers
import pytest
import soundfile
import zmq
from daemons import INGEST, RESULTS, Daemon, command, write_config

import streamrnn
from streamrnn import ingest
from streamrnn.client import Pusher, Subscriber
from streamrnn.events import Event, Heard, Lost, same
from streamrnn.testing.signals import sentence
from streamrnn.wire import Hello, Message, Status

RATE = 8000
SAID = ["low", "high", "high", "low"]


def talk(seed: int) -> np.ndarray:
    samples, _ = sentence(SAID, RATE, np.random.default_rng(seed))
    # To int16 and back, so that every path carries the same bits.
    return ingest.unpack(ingest.pack(samples, "int16"), len(samples), 1, "int16")


def subscriber(daemon: Daemon, *topics: str) -> Subscriber:
    """One that hears all from now on: it has been greeted."""
    made = Subscriber(daemon.results, topics or ("v1/",), timeout=5.0)
    while not isinstance(made.receive(5.0).body, Hello):
        pass
    return made


def until_ended(listening: Subscriber, streams: int) -> list[Message]:
    heard: list[Message] = []
    while streams:
        message = listening.receive(10.0)
        heard.append(message)
        streams -= isinstance(message.body, Status) and message.body.state in ("ended", "failed")
    return heard


def as_event(message: Message) -> Event:
    assert isinstance(message.body, Heard | Lost)
    moment = message.t
    return Event(
        message.kind,
        message.stream,
        message.bundle,
        message.epoch,
        moment.sample,
        moment.rate,
        message.readiness,
        message.id,
        message.body,
    )


@pytest.fixture
def config(tmp_path: Path, tiny_bundle: Path) -> Path:
    return write_config(tmp_path / "daemon.yaml", tiny_bundle, [INGEST], [RESULTS])


@pytest.mark.parametrize("streams", [1, 7, 64])
def test_any_chunks_of_any_number_of_streams_give_what_detect_gives(
    config: Path, tiny_bundle: Path, streams: int
) -> None:
    chance = random.Random(streams)
    talks = {f"s{i}": talk(i) for i in range(streams)}
    with Daemon(config) as daemon, subscriber(daemon) as listening:
        pushers = {
            name: Pusher(daemon.ingest, stream=name, rate=RATE, dtype=chance.choice(["int16", "float32"]))
            for name in talks
        }
        places = dict.fromkeys(talks, 0)
        while places:
            name = chance.choice(list(places))
            size = chance.randint(1, 5000)
            pushers[name].push(talks[name][places[name] : places[name] + size])
            places[name] += size
            if places[name] >= len(talks[name]):
                pushers[name].end()
                del places[name]
        heard = until_ended(listening, streams)
        assert listening.lost == 0
    detector = streamrnn.load(tiny_bundle)
    for name, samples in talks.items():
        wanted = detector.detect(samples, RATE, name)
        given = [as_event(each) for each in heard if each.stream == name and each.kind != "status"]
        assert len(given) == len(wanted) == len(SAID)
        assert all(same(a, b) for a, b in zip(given, wanted, strict=True))
        assert [each.id for each in given] == [each.id for each in wanted]


def test_push_by_command_in_real_time_and_sample_by_sample(config: Path, tmp_path: Path, tiny_bundle: Path) -> None:
    samples = talk(3)[: 2 * RATE]
    soundfile.write(tmp_path / "talk.wav", samples, RATE)
    wanted = [each.body for each in streamrnn.load(tiny_bundle).detect(samples, RATE)]
    with Daemon(config) as daemon, subscriber(daemon, "v1/detection/", "v1/status/") as listening:
        for more in (["--realtime"], ["--chunk", "1"], ["--chunk", "random"]):
            push = command("push", tmp_path / "talk.wav", "--stream", "talk", "--endpoint", daemon.ingest, *more)
            begun = time.monotonic()
            done = subprocess.run(push, capture_output=True, text=True, timeout=30, check=False)
            assert done.returncode == 0, done.stderr
            assert more != ["--realtime"] or time.monotonic() - begun >= 1.9
            heard = until_ended(listening, 1)
            assert [each.body for each in heard if each.kind == "detection"] == wanted


def test_a_name_that_comes_again_gets_new_ids(config: Path) -> None:
    with Daemon(config) as daemon, subscriber(daemon) as listening:
        ids = []
        for _ in range(2):
            with Pusher(daemon.ingest, stream="again", rate=RATE) as pusher:
                pusher.push(talk(1))
            ids.append({each.id for each in until_ended(listening, 1) if each.kind == "detection"})
        assert ids[0]
        assert not ids[0] & ids[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_time_whoever_hangs(tmp_path: Path, tiny_bundle: Path, number: int) -> None:
    sources = [INGEST, {"kind": "stdin", "rate": RATE}]
    # An output that nobody reads, and a subscriber that has stalled.
    config = write_config(tmp_path / "daemon.yaml", tiny_bundle, sources, [RESULTS, {"kind": "jsonl"}])
    context = peers.context()
    with Daemon(config, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as daemon:
        stalled = context.socket(zmq.SUB)
        stalled.setsockopt(zmq.RCVHWM, 1)
        stalled.setsockopt(zmq.RCVBUF, 1024)
        stalled.subscribe(b"")
        stalled.connect(daemon.results)
        with subscriber(daemon) as listening:
            pusher = Pusher(daemon.ingest, stream="endless", rate=RATE)
            samples = np.concatenate([talk(2)] * 100)  # more lines than a pipe holds
            pusher.push(samples)
            assert daemon.stop(number) < 2.0
            while listening.receive(2.0).kind != "bye":
                pass
            assert listening.lost == 0
        assert daemon.process.returncode == 0
        assert "stopped (SIG" in daemon.said[-1]
        assert any("lines lost" in line for line in daemon.said)
        pusher.close()
    stalled.close(0)
    context.term()


def test_the_second_signal_ends_it_at_once_and_time_ends_it_anyway() -> None:
    stuck = """
import time
from streamrnn.stopping import heed_signals
with heed_signals(lambda name: None):
    print("on", flush=True)
    while True:
        time.sleep(9)
"""
    for signals, code, least, most in ((1, 1, 1.5, 2.0), (2, 128 + signal.SIGTERM, 0.0, 0.5)):
        with subprocess.Popen([sys.executable, "-c", stuck], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout
            process.stdout.readline()
            begun = time.monotonic()
            for _ in range(signals):
                process.send_signal(signal.SIGTERM)
                time.sleep(0.1)
            assert process.wait(5) == code
            assert least < time.monotonic() - begun < most


def test_onnx_needs_no_torch_and_little_memory(config: Path) -> None:
    with Daemon(config) as daemon, subscriber(daemon) as listening:
        with Pusher(daemon.ingest, stream="mic", rate=48000) as pusher:
            pusher.push(np.repeat(talk(4), 6, axis=0))
        until_ended(listening, 1)
        loaded = Path(f"/proc/{daemon.process.pid}/maps").read_text()
        assert "onnxruntime" in loaded
        assert "torch" not in loaded
        assert daemon.memory_mb() < 110


def fails(*words: object) -> str:
    """The one line of a command that fails by its user's mistake."""
    done = subprocess.run(command(*words), capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (2, ""), done
    *before, line = done.stderr.splitlines()
    assert not before
    assert line.startswith(f"streamrnn {words[0]}: ")
    return line


def test_a_taken_port_is_one_line_with_the_endpoint(tmp_path: Path, tiny_bundle: Path) -> None:
    with peers.context() as context, context.socket(zmq.REP) as taken:
        port = taken.bind_to_random_port("tcp://127.0.0.1")
        plug = {"kind": "zeromq", "endpoint": f"tcp://127.0.0.1:{port}"}
        for sources, sinks in (([INGEST], [plug]), ([plug], [RESULTS])):
            line = fails("serve", write_config(tmp_path / "daemon.yaml", tiny_bundle, sources, sinks))
            assert f"tcp://127.0.0.1:{port}" in line
            assert "taken" in line


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"sources": [{"kind": "zeromq", "endpoint": "tcp://nowhere"}]}, "tcp://nowhere"),
        ({"sources": [{"kind": "wav", "path": "none.wav", "stream": "a"}]}, "none.wav"),
        ({"sources": [{"kind": "csv", "path": "none.csv", "stream": "a"}]}, "none.csv"),
        ({"sources": [{"kind": "wav", "path": "none.wav", "stream": "A b"}]}, "sources[0].stream"),
        ({"sources": [{"kind": "wave"}]}, "did you mean 'wav'"),
        ({"sources": [{**INGEST, "endpont": "x"}]}, "did you mean 'endpoint'"),
        ({"sources": [{**INGEST, "bundles": ["tone"]}]}, "did you mean 'tones'"),
        ({"sources": []}, "sources: empty"),
        ({"sinks": [{"kind": "jsonl", "path": "/nowhere/x"}]}, "/nowhere/x"),
        ({"until": "forever"}, "until"),
        ({"bundles": [{"path": "none.bundle"}]}, "none.bundle"),
        ({"bundles": [{"path": "nodigits"}]}, "nodigits"),
    ],
)
def test_a_mistake_in_the_config_is_one_line(
    tmp_path: Path, tiny_bundle: Path, wrong: dict[str, object], says: str
) -> None:
    document = {"sources": [INGEST], "sinks": [RESULTS], **wrong}
    assert says in fails("serve", write_config(tmp_path / "daemon.yaml", tiny_bundle, **document))


def test_settings_of_a_decoder_and_names_of_bundles_are_the_configs_own(tmp_path: Path, tiny_bundle: Path) -> None:
    path = str(tiny_bundle)
    twice = [{"path": path}, {"path": path, "name": "deaf", "decoder": {"enter": 1.0, "leave": 1.0}}]
    soundfile.write(tmp_path / "talk.wav", talk(5), RATE)
    source = {"kind": "wav", "path": str(tmp_path / "talk.wav"), "stream": "talk", "pace": "fastest"}
    sink = {"kind": "jsonl", "path": str(tmp_path / "out.jsonl")}
    config = write_config(tmp_path / "d.yaml", tiny_bundle, [source], [sink], bundles=twice, until="finished")
    subprocess.run(command("serve", config), check=True, capture_output=True, timeout=30)
    heard = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {each["bundle"]["name"] for each in heard if each["kind"] == "detection"} == {"tones"}
    assert [each["kind"] for each in heard][-1] == "bye"
    for wrong, says in (([twice[0], twice[0]], "'tones'"), ([{"path": path, "decoder": {"entr": 1}}], "'enter'")):
        broken = write_config(tmp_path / "e.yaml", tiny_bundle, [source], [sink], bundles=wrong)
        assert says in fails("serve", broken)


def test_a_source_that_fails_on_the_way_touches_no_other(tmp_path: Path, tiny_bundle: Path) -> None:
    samples = np.concatenate([talk(i) for i in range(10)])
    soundfile.write(tmp_path / "good.flac", samples, RATE)
    soundfile.write(tmp_path / "cut.flac", samples, RATE)
    whole = (tmp_path / "cut.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) // 2])  # its header promises all of it
    sources = [
        {"kind": "wav", "path": str(tmp_path / f"{name}.flac"), "stream": name, "pace": "fastest"}
        for name in ("good", "cut")
    ]
    sink = {"kind": "jsonl", "path": str(tmp_path / "out.jsonl")}
    config = write_config(tmp_path / "d.yaml", tiny_bundle, sources, [sink], until="finished")
    done = subprocess.run(command("serve", config), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "cut.flac" in done.stderr
    assert "Traceback" not in done.stderr
    said = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    states = {(each["stream"], each["body"]["state"]) for each in said if each["kind"] == "status"}
    assert {("good", "ended"), ("cut", "failed")} <= states
    assert sum(each["kind"] == "detection" and each["stream"] == "good" for each in said) == 10 * len(SAID)


def test_two_sources_of_one_name_are_refused(tmp_path: Path, tiny_bundle: Path) -> None:
    soundfile.write(tmp_path / "talk.wav", talk(5), RATE)
    source = {"kind": "wav", "path": str(tmp_path / "talk.wav"), "stream": "talk"}
    line = fails("serve", write_config(tmp_path / "d.yaml", tiny_bundle, [source, source], [RESULTS]))
    assert "sources[1].stream" in line
    # Which names clients take is known only when they come.
    config = write_config(tmp_path / "d.yaml", tiny_bundle, [source, INGEST], [RESULTS])
    with Daemon(config) as daemon:
        with pytest.raises(streamrnn.errors.StreamError, match="already open"):
            Pusher(daemon.ingest, stream="talk", rate=RATE)
        with Pusher(daemon.ingest, stream="other", rate=RATE) as pusher:
            pusher.push(talk(1))


class Client:
    """A DEALER that sends whatever it likes."""

    def __init__(self, endpoint: str) -> None:
        self.context = peers.context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.connect(endpoint)

    def send(self, *parts: bytes | dict[str, object]) -> None:
        self.socket.send_multipart([part if isinstance(part, bytes) else json.dumps(part).encode() for part in parts])

    def answer(self) -> dict[str, object]:
        until = time.monotonic() + 5
        while time.monotonic() < until and self.socket.poll(5000):
            answer = json.loads(self.socket.recv())
            if answer.get("n") != 0:  # which only asks whether we are there
                return dict(answer)
        raise AssertionError("no answer")

    def close(self) -> None:
        self.socket.close(0)
        self.context.term()


def test_every_fault_of_a_client_has_its_code_and_touches_nobody(config: Path, tiny_bundle: Path) -> None:
    samples = talk(6)
    start = {"kind": "start", "stream": "bad", "rate": RATE, "dtype": "int16"}
    data = {"kind": "data", "stream": "bad", "start": 0, "n": 2}
    faults: list[tuple[list[bytes | dict[str, object]], str]] = [
        ([b""], "malformed"),
        ([b"{" * 4000], "malformed"),
        ([b"{" * 5000], "too_large"),
        ([b"\xff\xfe", b"x"], "malformed"),
        ([b"a", b"b", b"c", b"d"], "parts"),
        ([{"kind": "data", "stream": "nobody", "start": 0, "n": 1}, b"\0\0"], "unknown_stream"),
        ([{**data, "stream": "good"}, b"\0\0\0\0"], "unknown_stream"),
        ([{"kind": "end", "stream": "good"}], "unknown_stream"),
        ([{**start, "stream": "good"}], "duplicate_stream"),
        ([start], "duplicate_stream"),
        ([{**start, "stream": "x", "dtype": "int12"}], "dtype"),
        ([{**start, "stream": "X"}], "malformed"),
        ([{**start, "stream": "x", "rate": 0}], "malformed"),
        ([data, b"\0\0"], "size"),
        ([data], "size"),
        ([{**data, "n": 60000}, bytes(120000)], "credit"),
    ]
    with Daemon(config) as daemon, subscriber(daemon) as listening:
        good, bad = Pusher(daemon.ingest, stream="good", rate=RATE), Client(daemon.ingest)
        bad.send(start)
        assert bad.answer() == {"kind": "credit", "stream": "bad", "n": 2 * RATE}
        for i, (parts, code) in enumerate(faults):
            bad.send(*parts)
            answer = bad.answer()
            assert (answer["kind"], answer["code"]) == ("error", code)
            assert answer["text"]
            good.push(samples[i * 1000 : (i + 1) * 1000])
        good.push(samples[len(faults) * 1000 :])
        good.end()
        # What it does right is still taken.
        bad.send(data, b"\0\0\0\0")
        assert bad.answer() == {"kind": "credit", "stream": "bad", "n": 2}
        bad.send({"kind": "end", "stream": "bad"})
        assert bad.answer() == {"kind": "end", "stream": "bad"}
        bad.close()
        heard = until_ended(listening, 2)
    wanted = streamrnn.load(tiny_bundle).detect(samples, RATE, "good")
    given = [as_event(each) for each in heard if each.kind == "detection"]
    assert all(same(a, b) for a, b in zip(given, wanted, strict=True))


def test_random_bytes_and_half_handshakes_on_every_port(config: Path) -> None:
    chance = random.Random(7)
    with Daemon(config) as daemon, subscriber(daemon) as listening:
        for endpoint in (daemon.ingest, daemon.results):
            host, port = endpoint.removeprefix("tcp://").split(":")
            for greeting in (b"", b"\xff\0\0\0\0\0\0\0\x01\x7f", b"GET / HTTP/1.1\r\n\r\n"):
                for _ in range(5):
                    with socket.create_connection((host, int(port)), 2) as plain:
                        plain.sendall(greeting + chance.randbytes(chance.randint(0, 2000)))
        client = Client(daemon.ingest)
        for _ in range(300):
            client.send(*(chance.randbytes(chance.randint(0, 300)) for _ in range(chance.randint(1, 4))))
        client.send(bytes(2 * ingest.LARGEST_MESSAGE))
        client.close()
        with Pusher(daemon.ingest, stream="good", rate=RATE) as pusher:
            pusher.push(talk(1))
        heard = [each.body.label for each in until_ended(listening, 1) if isinstance(each.body, Heard)]
        assert heard == SAID
        assert listening.malformed == 0


def test_samples_that_are_no_numbers_or_went_back_in_time_are_published_gaps(config: Path, tiny_bundle: Path) -> None:
    samples = talk(8)
    broken = samples.copy()
    broken[20000:20100] = np.nan
    with Daemon(config) as daemon, subscriber(daemon) as listening:
        good, bad = (Pusher(daemon.ingest, stream=name, rate=RATE) for name in ("good", "bad"))
        for at in range(0, len(samples), 999):
            good.push(samples[at : at + 999])
            bad.push(broken[at : at + 999])
        bad.skip(500)
        bad.push(samples[:100])
        good.end()
        bad.end()
        back = Client(daemon.ingest)
        back.send({"kind": "start", "stream": "back", "rate": RATE, "dtype": "int16"})
        assert back.answer()["kind"] == "credit"
        for begin in (0, 50):
            back.send({"kind": "data", "stream": "back", "start": begin, "n": 100}, bytes(200))
        error = next(answer for answer in iter(back.answer, None) if answer["kind"] == "error")
        assert error["code"] == "overlap"
        back.send({"kind": "end", "stream": "back"})
        heard = until_ended(listening, 3)
        back.close()
    gaps = [(each.stream, each.body, each.gap, each.epoch) for each in heard if isinstance(each.body, Lost)]
    end = len(samples)
    assert gaps == [
        ("bad", Lost(20000, 20100, RATE, "not finite"), 100, 1),
        ("bad", Lost(end, end + 500, RATE, "missing"), 600, 2),
        ("back", Lost(50, 100, RATE, "overlap"), 0, 0),
    ]
    wanted = streamrnn.load(tiny_bundle).detect(samples, RATE, "good")
    given = [as_event(each) for each in heard if each.kind == "detection" and each.stream == "good"]
    assert all(same(a, b) for a, b in zip(given, wanted, strict=True))


def test_a_client_that_vanishes_frees_its_name(config: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "talk.wav", np.concatenate([talk(1)] * 20), RATE)
    with Daemon(config) as daemon, subscriber(daemon) as listening:
        push = command("push", tmp_path / "talk.wav", "--stream", "mic", "--endpoint", daemon.ingest, "--realtime")
        with subprocess.Popen(push) as process:
            while listening.receive(5.0).kind != "detection":
                pass
            process.kill()
        killed = time.monotonic()
        status = until_ended(listening, 1)[-1].body
        assert status == Status("ended", "the client vanished")
        assert time.monotonic() - killed < 3
        with Pusher(daemon.ingest, stream="mic", rate=RATE) as pusher:
            pusher.push(talk(1))
        heard = [each.body.label for each in until_ended(listening, 1) if isinstance(each.body, Heard)]
        assert heard == SAID


def test_more_streams_than_it_takes_are_refused(tmp_path: Path, tiny_bundle: Path) -> None:
    few = write_config(tmp_path / "d.yaml", tiny_bundle, [INGEST], [RESULTS], engine={"max_streams": 2})
    with Daemon(few) as daemon:
        pushers = [Pusher(daemon.ingest, stream=f"s{i}", rate=RATE) for i in range(2)]
        with pytest.raises(streamrnn.errors.StreamError, match="max_streams"):
            Pusher(daemon.ingest, stream="s2", rate=RATE)
        pushers[0].end()
        Pusher(daemon.ingest, stream="s2", rate=RATE).end()
        pushers[1].end()


@pytest.mark.parametrize("kind", ["wav", "csv", "npz", "stdin"])
def test_every_finite_source_is_played_to_its_end(tmp_path: Path, tiny_bundle: Path, kind: str) -> None:
    samples = talk(9)
    path = tmp_path / f"a.{kind}"
    source: dict[str, object] = {"kind": kind, "path": str(path), "stream": "a", "pace": "fastest"}
    pcm = b""
    if kind == "wav":
        soundfile.write(path, samples, RATE, subtype="FLOAT")
    elif kind == "npz":
        np.savez(path, x=samples, fs=RATE)
        source["kind"] = "csv"
    elif kind == "csv":
        path.write_text("time,x\n" + "".join(f"{i / RATE:.6f},{x}\n" for i, x in enumerate(samples[:, 0].tolist())))
    else:
        source, pcm = {"kind": "stdin", "stream": "a", "rate": RATE}, ingest.pack(samples, "int16")
    config = write_config(tmp_path / "d.yaml", tiny_bundle, [source], [{"kind": "jsonl"}], until="finished")
    done = subprocess.run(command("serve", config), input=pcm, capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    bodies = [each["body"] for each in said if each["kind"] == "detection"]
    wanted = [msgspec.to_builtins(each.body) for each in streamrnn.load(tiny_bundle).detect(samples, RATE)]
    assert bodies == wanted
    assert len(wanted) == len(SAID)
    assert b"1 stream, 4 detections" in done.stderr


def test_an_idle_daemon_sleeps_and_streams_that_come_and_go_leave_nothing(config: Path) -> None:
    def ticks() -> int:
        fields = Path(f"/proc/{daemon.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    with Daemon(config) as daemon:
        before = ticks()
        time.sleep(2.0)
        assert ticks() - before <= 4  # hundredths of a second
        for rounds in (50, 200):
            first = daemon.memory_mb()
            for i in range(rounds):
                with Pusher(daemon.ingest, stream=f"s{i}", rate=RATE) as pusher:
                    pusher.push(np.zeros(400))
        assert daemon.memory_mb() - first < 2
