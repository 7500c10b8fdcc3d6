"""The shipped digits, spoken by a Pusher to a daemon that is killed or stopped in words, and heard by a Subscriber."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import judge
import numpy as np
import pytest
import soundfile
from setting import Setting, by_form, free_endpoint

import streamrnn
from streamrnn import bundle
from streamrnn.chunk import Samples
from streamrnn.client import Pusher, Subscriber
from streamrnn.events import Event, Heard
from streamrnn.wire import Message, Status

DIGITS = bundle.shipped("digits")
KILLS = 3


def spoken() -> tuple[Samples, int]:
    """The shipped recording, `(time, 1)`, and its rate."""
    path = Path(streamrnn.__file__).parent / "recordings" / "demo.flac"
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.concatenate([samples] * by_form(1, 10)), rate


def speak(pusher: Pusher, samples: Samples, rate: int) -> None:
    """Ten times as fast as it was said."""
    for at in range(0, len(samples), rate // 10):
        pusher.push(samples[at : at + rate // 10])
        time.sleep(0.01)


def midst(event: Event) -> int:
    """A sample in the middle of a word."""
    assert isinstance(event.body, Heard)
    return (event.body.start + event.body.end) // 2


@contextlib.contextmanager
def hearing(setting: Setting) -> Iterator[list[Message]]:
    """All that a Subscriber hears until the stream has ended, by a thread that is there all the while."""
    heard: list[Message] = []
    with Subscriber(setting.results, timeout=20.0) as subscriber:
        while subscriber.receive(20.0).kind != "hello":
            pass

        def hear() -> None:
            while not heard or not isinstance(heard[-1].body, Status) or heard[-1].body.state != "ended":
                heard.append(subscriber.receive(20.0))

        thread = threading.Thread(target=hear)
        thread.start()
        yield heard
        thread.join()
        print(f"{subscriber.duplicates} told again, {subscriber.recovered} recovered")
        assert not subscriber.take_losses()


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    """State is kept, and the journal has what a subscriber missed."""
    state = {"directory": str(tmp_path / "state"), "every_s": 0.2}
    control, history = {"endpoint": free_endpoint()}, {"journal": str(tmp_path / "journal")}
    with Setting(tmp_path, DIGITS, state=state, control=control, history=history) as made:
        yield made


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_words_across_restarts_are_heard_once_as_if_there_had_been_none(setting: Setting, how: signal.Signals) -> None:
    samples, rate = spoken()
    wanted = streamrnn.load(DIGITS).detect(samples, rate, "mic")
    cuts = [midst(each) for each in wanted[2 :: len(wanted) // KILLS]]
    daemon, at = setting.start(), 0
    with hearing(setting) as heard, Pusher(setting.ingest, stream="mic", rate=rate, timeout=20.0) as pusher:
        for cut in cuts:
            speak(pusher, samples[at:cut], rate)
            at = cut
            daemon.stop(how)
            daemon = setting.start()
        speak(pusher, samples[at:], rate)
    assert pusher.restarts == len(cuts) >= KILLS
    restored = [each for each in heard if isinstance(each.body, Status) and each.body.state == "restored"]
    words = [each for each in heard if each.kind == "detection"]
    assert len(restored) == len(cuts)
    assert len({each.run for each in heard}) == 1 + len(cuts)
    assert [each.id for each in words] == [each.id for each in wanted]
    assert not judge.duplicates(heard) + judge.different(heard, wanted, "mic", 0)
    assert not [each for each in heard if each.kind == "gap"]
    print(f"{how.name}: {len(wanted)} words, {len(cuts)} restarts")


def test_a_word_that_nobody_could_keep_lies_in_a_declared_gap(setting: Setting) -> None:
    """A microphone that forgets after half a second, while the daemon is away for longer."""
    samples, rate = spoken()
    detector = streamrnn.load(DIGITS)
    cut = midst(detector.detect(samples, rate, "mic")[10])
    said: list[Samples] = []

    def say(piece: Samples) -> None:
        said.append(piece)
        speak(pusher, piece, rate)

    daemon = setting.start()
    with (
        hearing(setting) as heard,
        Pusher(setting.ingest, stream="mic", rate=rate, timeout=20.0, when_full="drop_oldest", buffer_s=0.5) as pusher,
    ):
        say(samples[:cut])
        daemon.stop(signal.SIGKILL)
        say(samples[cut : cut + 5 * rate])  # more than it has credit for, and keeps
        setting.start()
        while not pusher.restarts:  # it takes a silence of some seconds
            say(np.zeros((rate // 10, 1), np.float32))
            time.sleep(0.09)
        say(samples)
    wanted = detector.detect(np.concatenate(said), rate, "mic")
    gaps = judge.gaps(heard, "mic")
    print(f"{len(wanted)} words, gaps {gaps}")
    assert pusher.dropped > 0
    assert gaps
    assert cut - 8 * rate < gaps[0][0]  # the state that was written last may be some time before
    assert not judge.duplicates(heard)
    # The network remembers less than two seconds. Frames after a gap need not begin where they did.
    first, last, frame = gaps[0][0] - 2 * rate, gaps[-1][1] + 2 * rate, 320
    words = [each.body for each in heard if isinstance(each.body, Heard)]
    outside = [each.body for each in wanted if not first < each.body.start < last]
    assert len(outside) > 12  # else this has seen too little
    for body in outside:
        near = [each for each in words if each.label == body.label and abs(each.start - body.start) <= 2 * frame]
        assert len(near) == 1, (body, near)
    assert sum(not first < each.start < last for each in words) == len(outside)
