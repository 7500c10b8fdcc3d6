"""A soak: `python tests/faults/soak.py MINUTES STREAMS`, streams in real time and a fault every minute, one daemon.

It prints how the memory of the daemon grew after the warm-up, the latency of results, and what broke the laws.
"""

from __future__ import annotations

import contextlib
import json
import random
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import judge  # noqa: E402
import numpy as np  # noqa: E402
import zmq  # noqa: E402
from content import Content  # noqa: E402
from daemons import Daemon  # noqa: E402
from footprint import Footprint, footprint  # noqa: E402
from oracle import Oracle, Record  # noqa: E402
from producer import Playing, Producer  # noqa: E402
from setting import MEMORY, Setting  # noqa: E402
from tones import write_bundle  # noqa: E402

from streamrnn.events import Heard  # noqa: E402

_JUDGED = 20  # streams whose every event is compared; of the others messages are counted


class Watch:
    """What a soak measures as it goes: memory by time, latency by minute, and holes in the counts of messages."""

    def __init__(self, producers: dict[str, Producer]) -> None:
        self.latencies: list[tuple[float, float]] = []
        self.footprints: list[tuple[float, Footprint]] = []
        self.holes: list[str] = []
        self._producers = producers
        self._judged = {f"mic{i}" for i in range(_JUDGED)}
        self._counts = judge.Counts()

    def keeps(self, record: Record) -> bool:
        """Count a record, and keep it if its stream is judged."""
        message = record.message
        self.holes += self._counts.follow(message)
        if isinstance(message.body, Heard) and message.stream in self._producers:
            late = record.at - self._producers[message.stream].due(message.t.sample)
            self.latencies.append((record.at, late))
        return message.stream in self._judged


def noise(daemon: Daemon, chance: random.Random) -> None:
    """Random bytes at every port."""
    for endpoint in (daemon.ingest, daemon.results, daemon.control) * 20:
        host, port = endpoint.removeprefix("tcp://").split(":")
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 2) as peer:
            peer.sendall(b"\xff\0\0\0\0\0\0\0\x01\x7f" + chance.randbytes(500))


def freeze(daemon: Daemon, chance: random.Random) -> None:
    """Stopped for 3 s."""
    daemon.process.send_signal(signal.SIGSTOP)
    time.sleep(3.0)
    daemon.process.send_signal(signal.SIGCONT)


def subscriptions(daemon: Daemon, chance: random.Random) -> None:
    """Two thousand subscriptions by one that does not read, and is gone."""
    with zmq.Context() as context, context.socket(zmq.SUB) as peer:
        peer.linger, peer.rcvhwm = 0, 1
        peer.connect(daemon.results)
        for i in range(2000):
            peer.subscribe(f"v1/detection/none-{i}/")
        peer.subscribe(b"")
        time.sleep(2.0)


def malformed(daemon: Daemon, chance: random.Random) -> None:
    """A thousand messages that are none."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as peer:
        peer.linger = 500
        peer.connect(daemon.ingest)
        for _ in range(1000):
            peer.send_multipart([chance.randbytes(chance.randrange(200)), b"\0"])


def crowds(daemon: Daemon, chance: random.Random) -> None:
    """Streams that come all at once and go."""
    from test_fault_samples import crowd

    crowd(daemon.ingest, 40, 800)


FAULTS = (noise, freeze, subscriptions, malformed, crowds)


def slope(footprints: list[tuple[float, Footprint]]) -> float:
    """Megabytes an hour, by least squares over the last two thirds."""
    kept = footprints[len(footprints) // 3 :]
    hours, sizes = np.array([at for at, _ in kept]) / 3600, np.array([each.rss_mb for _, each in kept])
    return float(np.polyfit(hours - hours[0], sizes, 1)[0])


def main(minutes: float, count: int) -> int:
    """Soak for so long with so many streams; 1 if a law broke."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = write_bundle(folder / "tones.bundle").path
        limit = {"max_streams": count + 60}
        with Setting(folder, made, engine=limit, source=limit) as setting:
            return _soak(setting, minutes, count)


def _soak(setting: Setting, minutes: float, count: int) -> int:
    chance = random.Random(0)
    producers: dict[str, Producer] = {}
    watch = Watch(producers)
    daemon = setting.start()
    with Oracle(setting.results, watch.keeps) as oracle:
        for i in range(count):
            producers[f"mic{i}"] = setting.producer(f"mic{i}", 1e6, content=Content(i % 16))
        begun = time.monotonic()
        with Playing(list(producers.values())) as playing:
            turn = 0
            while time.monotonic() - begun < 60 * minutes:
                time.sleep(2.0)
                assert daemon.process.poll() is None, "the daemon is gone"
                watch.footprints.append((time.monotonic(), footprint(daemon.process.pid)))
                if time.monotonic() - begun > 30 + 60 * turn:
                    FAULTS[turn % len(FAULTS)](daemon, chance)
                    turn += 1
                    print(f"{turn} min: {watch.footprints[-1][1]}", file=sys.stderr, flush=True)
            playing.finish(60.0)
            for each in list(producers)[:_JUDGED]:
                oracle.over(each)
        took = daemon.stop()
        time.sleep(0.5)
        messages = oracle.messages
    wrong = watch.holes + judge.duplicates(messages)
    gaps = 0
    for each in list(producers.values())[:_JUDGED]:
        wrong += judge.undeclared(messages, each.produced)
        gaps += len(judge.gaps(messages, each.stream))
        wanted = each.content.wanted(setting.bundle, each.stream, each.at)
        wrong += judge.different(messages, wanted, each.stream, MEMORY)
    late = np.array([seconds for _, seconds in watch.latencies])
    half = begun + 30 * minutes
    first, second = (
        np.array([seconds for at, seconds in watch.latencies if (at < half) == is_first]) for is_first in (True, False)
    )
    sizes = [each.rss_mb for _, each in watch.footprints]
    result = {
        "minutes": minutes,
        "streams": count,
        "faults": turn,
        "events": len(late),
        "rss_mb": [round(sizes[len(sizes) // 3], 1), round(sizes[-1], 1)],
        "rss_slope_mb_per_hour": round(slope(watch.footprints), 2),
        "latency_ms": {f"p{q}": round(1000 * float(np.percentile(late, q))) for q in (50, 99)},
        "latency_p99_ms_by_half": [round(1000 * float(np.percentile(each, 99))) for each in (first, second)],
        "declared_gaps_of_judged": gaps,
        "stopped_after_s": round(took, 2),
        "laws_broken": len(wrong),
    }
    print(json.dumps(result, indent=1))
    for line in wrong[:20]:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 120, int(sys.argv[2]) if len(sys.argv) > 2 else 200))
