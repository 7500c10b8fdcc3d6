"""Microphones for real: sound servers of our own, heard through PortAudio, unplugged and plugged in again."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest
import soundfile
from daemons import RESULTS, Daemon, write_config
from sound_server import SKIP, SoundServers

from streamrnn.client import Control, Subscriber
from streamrnn.events import Heard, Lost
from streamrnn.wire import Message, Status

pytestmark = pytest.mark.skipif(bool(SKIP), reason=SKIP)
RATE = 16000

# A microphone alone, held to the law: what it says, line by line, until standard input ends.
LISTENER = """
import json, sys, threading
import numpy as np
from streamrnn import sources
from streamrnn.chunk import Chunk
from streamrnn.sources.microphone import MicrophoneConfig
from streamrnn.testing.source import check_source
made = [sources.build(MicrophoneConfig(rate=16000, **settings)) for settings in json.loads(sys.argv[1])]
def told(source):
    for item in source.items():
        level = float(np.abs(item.samples).max()) if isinstance(item, Chunk) else 0.0
        n = len(item.samples) if isinstance(item, Chunk) else getattr(item, "end", 0) - getattr(item, "start", 0)
        line = [item.stream, type(item).__name__, getattr(item, "state", ""), n, level]
        line += [getattr(item, "reason", getattr(item, "text", ""))]
        print(json.dumps(line) + chr(10), end="", flush=True)  # in one write, for threads share it
        yield item
threads = [threading.Thread(target=check_source, args=(lambda source=source: told(source),)) for source in made]
for thread in threads: thread.start()
sys.stdin.read()
for source in made: source.stop()
for thread in threads: thread.join()
for source in made: source.close()
print(json.dumps(["", "lawful", "", 0, 0.0, ""]))
"""


class Listener:
    """Microphones in a process of their own, which finds the sound servers when PortAudio starts."""

    def __init__(self, servers: SoundServers, *settings: dict[str, Any]) -> None:
        self.lines: list[Any] = []
        self._process = subprocess.Popen(
            [sys.executable, "-c", LISTENER, json.dumps(settings)],
            env=servers.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.lines.append(json.loads(line))

    def said(self, what: str, stream: str = "mic", after: int = 0) -> list[Any]:
        return [line for line in self.lines[after:] if line[0] == stream and what in (line[1], line[2])]

    def wait_for(self, what: str, stream: str = "mic", after: int = 0, seconds: float = 20.0) -> Any:
        until = time.monotonic() + seconds
        while not self.said(what, stream, after):
            assert time.monotonic() < until, (what, [line for line in self.lines if line[1] != "Chunk"])
            time.sleep(0.02)
        return self.said(what, stream, after)[0]

    def finish(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._thread.join(20)
        assert self.lines[-1][1] == "lawful"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[SoundServers]:
    with SoundServers(tmp_path, "attic", "cellar") as made:
        yield made


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    path = tmp_path / "tone.wav"
    soundfile.write(path, 0.5 * np.sin(np.arange(2 * RATE) * 0.1), RATE)
    return path


def test_unplugged_it_is_offline_and_plugged_in_it_is_heard_again(servers: SoundServers, tone: Path) -> None:
    with Listener(servers, {"device": "atti", "stream": "mic", "silence_s": 1.0}) as heard:
        heard.wait_for("silent")
        servers.play("attic", tone)
        heard.wait_for("heard")
        servers.unplug("attic")
        heard.wait_for("offline")
        began = time.monotonic()
        heard.wait_for("Gap")
        before = len(heard.lines)
        time.sleep(1.0)
        servers.plug("attic")
        heard.wait_for("online")
        away = time.monotonic() - began
        after = len(heard.lines)
        servers.play("attic", tone)
        until = time.monotonic() + 10
        while max([line[4] for line in heard.said("Chunk", after=after)], default=0.0) < 0.4:
            assert time.monotonic() < until, "what is played is not heard again"
            time.sleep(0.02)
        lost = sum(line[3] for line in heard.said("Gap", after=before)) / RATE
        assert abs(lost - away) < 1.0
        heard.finish()
    # Nothing of the other: attic alone brought samples.
    assert {line[0] for line in heard.lines} == {"mic", ""}


def test_one_that_is_gone_from_the_list_leaves_the_others_alone_until_it_is_back(servers: SoundServers) -> None:
    both = ({"device": "attic", "stream": "mic"}, {"device": "cellar", "stream": "other"})
    with Listener(servers, *both) as heard:
        heard.wait_for("Chunk")
        heard.wait_for("Chunk", "other")
        servers.list_microphones("cellar", "garden")
        servers.unplug("attic")
        heard.wait_for("offline")
        time.sleep(2.5)  # it looks for it, and does not take the other
        assert not heard.said("Gap", "other")
        before = len(heard.lines)
        servers.list_microphones("garden", "cellar", "attic")  # with another index
        servers.plug("attic")
        heard.wait_for("online", after=before)
        heard.wait_for("Chunk", "other", after=len(heard.lines))
        # PortAudio had to look anew, and the other closed for a moment.
        assert 0 < sum(line[3] for line in heard.said("Gap", "other")) < 3 * RATE
        assert not heard.said("offline", "other")
        heard.finish()


def listening(daemon: Daemon) -> Subscriber:
    return Subscriber(daemon.results, ("v1/detection/", "v1/status/", "v1/gap/"), timeout=20.0)


def until(results: Subscriber, state: str) -> list[Message]:
    heard: list[Message] = []
    while not (heard and isinstance(heard[-1].body, Status) and heard[-1].body.state == state):
        heard.append(results.receive(20.0))
    return heard


def test_a_daemon_hears_words_through_a_microphone_before_and_after_it_was_unplugged(
    servers: SoundServers, tmp_path: Path
) -> None:
    demo = Path(__file__).parents[1] / "streamrnn" / "recordings" / "demo.flac"
    samples, rate = soundfile.read(demo)
    soundfile.write(tmp_path / "talk.wav", samples[: 4 * rate], rate, subtype="PCM_16")
    config = write_config(
        tmp_path / "daemon.yaml",
        Path("digits"),
        [{"kind": "microphone", "device": "attic", "rate": RATE, "stream": "mic", "stall_s": 2.0}],
        [RESULTS],
    )
    with (
        Daemon(config, env=servers.environment) as daemon,
        listening(daemon) as results,
        Control(daemon.control) as ask,
    ):
        words = []
        for _ in range(2):
            servers.play("attic", tmp_path / "talk.wav").wait(20)
            servers.unplug("attic")
            heard = until(results, "offline")
            words.append([message.body.label for message in heard if isinstance(message.body, Heard)])
            assert [each["condition"] for each in ask.call("status")["sources"]] == ["offline"]
            servers.plug("attic")
            until(results, "online")
            # The engine tells of what was lost when the stream goes on.
            assert isinstance(results.receive(20.0).body, Lost)
        assert len(words[0]) >= 3
        assert words[0] == words[1]
        assert daemon.stop() < 2.0
    assert daemon.process.returncode == 0
