"""Sources: what each says of its streams obeys the law, and what cannot be opened is one line."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import peers
import pytest
import soundfile
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st
from listed import Listed

from streamrnn import ingest, sources
from streamrnn.chunk import Chunk, Ended, Gap, Item, Opened
from streamrnn.client import Pusher
from streamrnn.errors import DeviceError, StreamError, UserError
from streamrnn.intake import TOO_SLOW, Closed, Entry, Intake
from streamrnn.sources import Source, SourceConfig, WhenFull
from streamrnn.sources.csv import CsvConfig
from streamrnn.sources.microphone import Capture, MicrophoneConfig
from streamrnn.sources.wav import WavConfig
from streamrnn.sources.zeromq import ZeromqConfig, ZeromqSource
from streamrnn.testing.signals import noise
from streamrnn.testing.source import check_source


def samples_of(items: list[Item]) -> np.ndarray:
    return np.concatenate([item.samples for item in items if isinstance(item, Chunk)])


def sound(seconds: float = 1.0, rate: int = 8000, channels: int = 1) -> np.ndarray:
    return noise(seconds, rate, np.random.default_rng(1), channels=channels)


@pytest.mark.parametrize(
    ("form", "rate", "channels", "within"),
    [
        (("a.wav", "PCM_16"), 8000, 1, 2**-15),
        (("a.wav", "PCM_24"), 48000, 2, 2**-23),
        (("a.wav", "FLOAT"), 44100, 1, 0),
        (("a.wav", "PCM_U8"), 8000, 1, 2**-7),
        (("a.flac", "PCM_16"), 16000, 3, 2**-15),
        (("a.ogg", "VORBIS"), 16000, 1, 1),
    ],
)
def test_a_sound_file_is_its_samples(
    tmp_path: Path, form: tuple[str, str], rate: int, channels: int, within: float
) -> None:
    name, subtype = form
    wanted = sound(0.3, rate, channels)
    soundfile.write(tmp_path / name, wanted, rate, subtype=subtype)
    config = WavConfig(path=str(tmp_path / name), stream="a", pace="fastest", chunk=777)
    items = check_source(sources.build(config).items)
    assert items[0] == Opened("a", rate, channels)
    assert np.abs(samples_of(items) - wanted).max() <= within
    assert {len(item.samples) for item in items[1:-2] if isinstance(item, Chunk)} == {777}


@pytest.mark.parametrize("fault", ["missing", "empty", "no sound", "no samples", "lying", "folder"])
def test_a_sound_file_that_cannot_be_played_is_one_line(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "a.wav"
    if fault == "empty":
        path.write_bytes(b"")
    elif fault == "no sound":
        path.write_bytes(b"hello" * 100)
    elif fault == "no samples":
        soundfile.write(path, np.zeros(0), 8000)
    elif fault == "lying":
        soundfile.write(path, sound(), 8000)
        path.write_bytes(path.read_bytes()[:5000])
    elif fault == "folder":
        path.mkdir()
    with pytest.raises(UserError) as caught:
        sources.build(WavConfig(path=str(path), stream="a"))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_real_time_takes_its_time_and_stops_when_told(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sound(0.4), 8000)
    begun = time.monotonic()
    check_source(sources.build(WavConfig(path=str(tmp_path / "a.wav"), stream="a")).items)
    assert 0.39 < time.monotonic() - begun < 1.0
    soundfile.write(tmp_path / "long.wav", sound(30), 8000)
    source = sources.build(WavConfig(path=str(tmp_path / "long.wav"), stream="a"))
    threading.Timer(0.3, source.stop).start()
    begun = time.monotonic()
    items = check_source(source.items)
    assert time.monotonic() - begun < 1.0
    assert len(samples_of(items)) < 8000


def test_sensor_rows_are_samples(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((100, 3)).astype(np.float32)
    np.savez(tmp_path / "a.npz", x=x, fs=50)
    rows = "\n".join(f"{i / 50},{a!r},{b!r},{c!r}" for i, (a, b, c) in enumerate(x.astype(float).tolist()))
    (tmp_path / "a.csv").write_text(f"time,x,y,z\n{rows}\n")
    for name in ("a.npz", "a.csv"):
        for rate, wanted in ((0, 50), (25, 25)):
            config = CsvConfig(path=str(tmp_path / name), stream="a", pace="fastest", rate=rate)
            items = check_source(sources.build(config).items)
            assert items[0] == Opened("a", wanted, 3, names=("x", "y", "z") if name == "a.csv" else ())
            np.testing.assert_array_equal(samples_of(items), x)


@pytest.mark.parametrize("text", ["", "time,x\n", "a,b\n1,2\n", "time,x\n0,1\n1\n", "time,x\n0,yes\n"])
def test_a_table_that_is_none_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UserError) as caught:
        sources.build(CsvConfig(path=str(tmp_path / "a.csv"), stream="a"))
    assert "a.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


STDIN = """
import sys
from streamrnn import sources
from streamrnn.sources.stdin import StdinConfig
from streamrnn.testing.source import check_source
items = check_source(sources.build(StdinConfig(rate=8000, channels=2, format=sys.argv[1])).items)
print(sum(len(item.samples) for item in items[1:-1]), sum(float(item.samples.sum()) for item in items[1:-1]))
"""


@pytest.mark.parametrize(("form", "kind", "scale"), [("s16le", "<i2", 32768), ("f32le", "<f4", 1)])
def test_raw_samples_come_in_by_pipe_cut_anywhere(form: str, kind: str, scale: int) -> None:
    values = np.arange(2000).astype(kind)
    data = values.tobytes() + b"\x01"  # and half a sample
    with subprocess.Popen(
        [sys.executable, "-c", STDIN, form], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        for at in range(0, len(data), 777):
            process.stdin.write(data[at : at + 777])
            process.stdin.flush()
        said, _ = process.communicate(timeout=20)
    count, total = said.split()
    assert (int(count), float(total)) == (1000, pytest.approx(values.astype(float).sum() / scale, rel=1e-5))


def time_of(seconds: float) -> SimpleNamespace:
    return SimpleNamespace(inputBufferAdcTime=seconds)


def test_what_portaudio_loses_is_missing_in_the_count() -> None:
    capture = Capture(8000, 2)
    fine, overflow = SimpleNamespace(input_overflow=False), SimpleNamespace(input_overflow=True)
    block = np.ones((80, 1), np.float32)
    capture(block, 80, time_of(1.0), fine)
    block[:] = 2.0  # PortAudio fills its buffer again
    capture(block, 80, time_of(1.035), overflow)  # 25 ms late
    capture(block, 80, time_of(1.045), fine)  # no room
    _, start, samples = capture.read(0)
    assert (start, samples.max()) == (0, 1.0)
    assert capture.read(0)[1] == 80 + 200
    capture(block, 80, time_of(1.055), fine)
    assert capture.read(0)[1] == 80 + 200 + 80 + 80
    capture(block, 80, time_of(0.0), overflow)  # a driver without a clock
    assert capture.read(0)[1] == 80 + 200 + 80 + 80 + 80 + 1


def test_a_machine_without_microphone_says_so() -> None:
    with pytest.raises(DeviceError) as caught:
        sources.build(MicrophoneConfig(device="a microphone that nobody has"))
    assert "\n" not in str(caught.value)


def test_without_portaudio_the_repair_is_named(tmp_path: Path) -> None:
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    done = subprocess.run(
        [sys.executable, "-m", "streamrnn", "devices"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "apt-get install libportaudio2" in done.stderr


class Broken(Listed):
    def items(self) -> Iterator[Item]:
        yield from self._items
        raise ZeroDivisionError("on purpose")


def chunks(sizes: list[int]) -> list[Item]:
    starts = np.cumsum([0, *sizes])
    made = [
        Chunk("a", int(at), np.full((n, 1), i, np.float32))
        for i, (at, n) in enumerate(zip(starts, sizes, strict=False))
    ]
    return [Opened("a", 8000, 1), *made, Ended("a")]


def run(source: Source, take_after_s: float = 0.0, when_full: WhenFull = "block") -> list[Entry]:
    intake = Intake()
    intake.add(source, SourceConfig(queue_ms=1.0, when_full=when_full))  # 8192 samples in fact
    intake.start()
    time.sleep(take_after_s)
    taken: list[Entry] = []
    while not taken or not isinstance(taken[-1], Closed):
        taken += [entry for _, entry in intake.take()]
        time.sleep(0.001)
    intake.bell.close()
    return taken


SIZES = st.lists(st.integers(1, 9000), min_size=1, max_size=30)


@settings(max_examples=20, deadline=None)
@given(SIZES)
def test_a_file_waits_for_room_and_loses_nothing(sizes: list[int]) -> None:
    assert repr(run(Listed(chunks(sizes)))[:-1]) == repr(chunks(sizes))


@settings(max_examples=20, deadline=None)
@given(SIZES)
def test_a_live_source_declares_what_found_no_room(sizes: list[int]) -> None:
    entries = run(Listed(chunks(sizes)), take_after_s=0.01, when_full="drop_newest")
    items = [entry for entry in entries if not isinstance(entry, Closed)]
    assert check_source(lambda: items)[-1] == Ended("a")
    assert {item.reason for item in items if isinstance(item, Gap)} <= {TOO_SLOW}
    heard = sum(len(item.samples) for item in items if isinstance(item, Chunk))
    lost = sum(item.end - item.start for item in items if isinstance(item, Gap))
    assert heard + lost == sum(sizes)
    assert heard <= max(8192, sizes[0])


def test_a_source_that_breaks_says_what_broke() -> None:
    last = run(Broken([Opened("a", 8000, 1)]))[-1]
    assert isinstance(last, Closed)
    assert "ZeroDivisionError: on purpose" in last.error


def test_a_source_that_waits_for_room_stops_when_told() -> None:
    intake = Intake()
    intake.add(Listed(chunks([8000] * 100)), SourceConfig())
    intake.start()
    time.sleep(0.05)
    intake.stop()
    time.sleep(0.05)
    assert isinstance(intake.take()[-1][1], Chunk | Closed)
    intake.bell.close()


def test_an_hour_of_a_file_leaves_turns_to_others() -> None:
    intake = Intake()
    busy = [Opened("a", 8000, 1), *(Chunk("a", i * 8000, np.zeros((8000, 64), np.float32)) for i in range(50))]
    for items in (busy, chunks([10])):
        intake.add(Listed(items), SourceConfig(queue_ms=1e6))
    intake.start()
    time.sleep(0.1)
    first = [entry for inlet, entry in intake.take() if inlet is intake.inlets[1]]
    assert repr(first[:-1]) == repr(chunks([10]))
    assert intake.inlets[0].filled
    intake.bell.close()


@contextmanager
def served(source: Source) -> Iterator[queue.Queue[Item]]:
    """What a source says, as it says it; closed whatever becomes of the test."""
    said: queue.Queue[Item] = queue.Queue()
    thread = threading.Thread(target=lambda: [said.put(item) for item in source.items()])
    thread.start()
    try:
        yield said
    finally:
        source.stop()
        thread.join()
        source.close()


def test_ingest_speaks_as_a_source_must() -> None:
    source = sources.build(ZeromqConfig(endpoint="tcp://127.0.0.1:*"))
    assert isinstance(source, ZeromqSource)

    def clients() -> None:
        for name in ("one", "two"):
            with Pusher(source.place, stream=name, rate=8000) as pusher:
                pusher.push(np.zeros(100))
                pusher.skip(50)
                pusher.push(np.ones((20000, 1)))
        with pytest.raises(StreamError, match="no"):
            Pusher(source.place, stream="refuse-me", rate=8000)
        source.stop()

    def played() -> Iterator[Item]:
        for item in source.items():
            yield item
            # What the engine's thread does.
            if item.stream == "refuse-me":
                source.refused(item.stream, StreamError("no"))
            else:
                source.taken(item)

    thread = threading.Thread(target=clients)
    thread.start()
    try:
        items = [item for item in played() if item.stream != "refuse-me"]
    finally:
        source.stop()
        thread.join()
        source.close()
    check_source(lambda: items)
    assert [item for item in items if isinstance(item, Gap)] == [
        Gap(name, 100, 150, "missing") for name in ("one", "two")
    ]
    assert len(samples_of(items)) == 2 * 20100


def test_an_error_names_its_stream_where_it_can_be_read_and_speaks_plainly() -> None:
    source = sources.build(ZeromqConfig(endpoint="tcp://127.0.0.1:*"))
    answers = []
    with served(source), peers.context() as context:
        client = context.socket(zmq.DEALER)
        client.connect(source.place)
        for header in (b'{"kind":"start","stream":"mic","rate":0}', b'{"kind":"start","stream":"Mic"}', b"nonsense"):
            client.send(header)
            assert client.poll(5000)
            answers.append(ingest.decode_answer(client.recv_multipart()))
        client.close(0)
    assert [answer.stream for answer in answers] == ["mic", "", ""]
    assert all(isinstance(answer, ingest.Error) and answer.code == "malformed" for answer in answers)
    assert "use 1 to 64 of a-z 0-9 _ . -" in answers[1].text
    assert not any("regex" in answer.text for answer in answers)


def test_what_is_told_of_a_client_that_vanished_is_not_given_to_the_next_of_its_name() -> None:
    source = sources.build(ZeromqConfig(endpoint="tcp://127.0.0.1:*"))
    start = ingest.encode_header(ingest.Start("mic", 8000))
    with served(source) as said, peers.context() as context:
        first, second = context.socket(zmq.DEALER), context.socket(zmq.DEALER)
        first.connect(source.place)
        first.send(start)
        before = [said.get(timeout=5)]
        source.taken(before[0])
        assert first.poll(5000)
        first.send_multipart([ingest.encode_header(ingest.Data("mic", 0, 1000)), bytes(2000)])
        before = [said.get(timeout=5)]
        first.close(0)
        before.append(said.get(timeout=5))
        assert before[-1] == Ended("mic", "the client vanished")
        second.connect(source.place)
        second.send(start)
        opened = said.get(timeout=5)
        # The engine is behind: only now it takes what the first one brought.
        for item in (*before, opened):
            source.taken(item)
        answers = []
        until = time.monotonic() + 2.5
        while time.monotonic() < until and second.poll(500):
            answers.append(ingest.decode_answer(second.recv_multipart()))
        assert [each for each in answers if each != ingest.Credit("mic", 0)] == [ingest.Credit("mic", 16000)]
        second.close(0)


def test_credit_is_what_the_engine_has_taken() -> None:
    source = sources.build(ZeromqConfig(endpoint="tcp://127.0.0.1:*", queue_ms=1.0))  # 8192 samples in fact
    with served(source) as said, peers.context() as context, context.socket(zmq.DEALER) as client:
        client.connect(source.place)

        def answer() -> ingest.Answer:
            while client.poll(5000):
                given = ingest.decode_answer(client.recv_multipart())
                if given != ingest.Credit("mic", 0):
                    return given
            raise AssertionError("no answer")

        def bring(start: int) -> None:
            client.send_multipart([ingest.encode_header(ingest.Data("mic", start, 5000)), bytes(10000)])

        client.send(ingest.encode_header(ingest.Start("mic", 8000)))
        source.taken(said.get(timeout=5))
        assert answer() == ingest.Credit("mic", 8192)
        bring(0)
        bring(5000)
        refused = answer()
        assert isinstance(refused, ingest.Error)
        assert refused.code == "credit"
        source.taken(said.get(timeout=5))
        assert answer() == ingest.Credit("mic", 5000)
        bring(5000)
        chunk = said.get(timeout=5)
        assert isinstance(chunk, Chunk)
        assert chunk.start == 5000
