"""What a daemon costs that hears many sensors at once, beside one that only takes their samples and answers.

  python -m streamrnn.sensor_load activity.bundle --streams 200 --seconds 30
  python -m streamrnn.sensor_load activity.bundle --times --engine '{streams_a_step: 128}'

Both daemons run at the same time, each a process of its own, and are brought the same rows in real time; what is told
is the time of a processor that each used, so what else the machine does matters little.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zmq
from msgspec import UNSET

from streamrnn import bundle as bundles
from streamrnn import ingest
from streamrnn.capacity import echo
from streamrnn.capacity.daemons import ANY_PORT, Measured, module_command
from streamrnn.config import parse_yaml
from streamrnn.ingest import Credit, Data, Start

_ECHO = "echo"
_SETTLE_S = 3.0


class Cost(NamedTuple):
    """Seconds of a processor that a daemon used for each second, and how many messages it was brought a second."""

    cpu: float
    messages: float


class _Brought:
    """A daemon in a process of its own, and one client that brings it all streams."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], command: list[str], starts: list[Start]) -> None:
        self._daemon = Measured(command, core=None)
        self._socket = context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.SNDHWM, 0)
        self._socket.setsockopt(zmq.RCVHWM, 0)
        self._socket.connect(self._daemon.ingest)
        for start in starts:
            self._socket.send(ingest.encode_header(start))
        granted: set[str] = set()
        while len(granted) < len(starts):
            answer = ingest.decode_answer(self._socket.recv_multipart())
            if not isinstance(answer, Credit):
                raise SystemExit(f"{command[-1]}: {answer}")
            granted.add(answer.stream)

    def bring(self, parts: list[bytes]) -> None:
        """One message; what it answers is thrown away."""
        self._socket.send_multipart(parts)
        while self._socket.poll(0):
            self._socket.recv()

    def used(self) -> float:
        """Seconds of a processor, to the nanosecond: that of all its threads."""
        threads = Path(f"/proc/{self._daemon.process.pid}/task").iterdir()
        return sum(int((each / "schedstat").read_text().split()[0]) for each in threads) / 1e9

    def close(self) -> None:
        """End it."""
        self._daemon.close()
        self._socket.close(0)


def measure(
    bundle: str, *, streams: int, chunk: int, seconds: float, timed: bool, engine: dict[str, Any]
) -> dict[str, Cost]:
    """What each of the two used, by name, for streams of a bundle's make in chunks of so many samples.

    `engine` is that part of the daemon's config.
    """
    path = bundles.locate(bundle)
    recognizer = bundles.read(path).recognizer
    rate, channels = recognizer.rate, recognizer.channels
    starts = [Start(f"s{i}", rate, channels, "float32", times="ns" if timed else UNSET) for i in range(streams)]
    # A signal that moves: what stands still is told of, and costs a message.
    signal = np.random.default_rng(0).standard_normal((64 * chunk, channels)).astype(np.float32)
    payloads = [ingest.pack(each, "float32") for each in np.split(signal, 64)]
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with tempfile.TemporaryDirectory(prefix="streamrnn-sensors-") as folder:
        config = Path(folder) / "daemon.yaml"
        document = {
            "bundles": [{"path": str(path)}],
            "sources": [{"kind": "zeromq", "endpoint": ANY_PORT, "max_streams": streams}],
            "sinks": [{"kind": "zeromq", "endpoint": ANY_PORT}],
            "control": {"endpoint": ANY_PORT},
            "engine": {"max_streams": streams, **engine},
        }
        config.write_text(json.dumps(document))
        daemons = {
            bundle: _Brought(context, module_command("streamrnn", "serve", config), starts),
            _ECHO: _Brought(context, module_command(echo.__name__), starts),
        }
        try:
            return _load(daemons, starts, payloads, chunk, seconds)
        finally:
            for each in daemons.values():
                each.close()
            context.term()


def _load(
    daemons: dict[str, _Brought], starts: list[Start], payloads: list[bytes], chunk: int, seconds: float
) -> dict[str, Cost]:
    """Each stream's chunk is due at a moment of its own."""
    period, rate = chunk / starts[0].rate, starts[0].rate
    begun = time.monotonic()
    before: dict[str, float] = {}
    judged, sent, first = 0.0, 0, 0
    while (passed := time.monotonic() - begun) < _SETTLE_S + seconds:
        if passed >= _SETTLE_S and not before:
            judged, first = time.monotonic(), sent
            before = {name: each.used() for name, each in daemons.items()}
        turn, place = divmod(sent, len(starts))
        due = (turn + place / len(starts)) * period
        if due > passed:
            time.sleep(due - passed)
        start = starts[place]
        parts = [ingest.encode_header(Data(start.stream, turn * chunk, chunk)), payloads[turn % len(payloads)]]
        if start.times:
            parts.append((np.arange(turn * chunk, (turn + 1) * chunk) * 1_000_000_000 // rate).astype("<i8").tobytes())
        for each in daemons.values():
            each.bring(parts)
        sent += 1
    elapsed = time.monotonic() - judged
    return {
        name: Cost((each.used() - before[name]) / elapsed, (sent - first) / elapsed) for name, each in daemons.items()
    }


def main() -> None:
    """The table, as lines for people."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", metavar="BUNDLE")
    parser.add_argument("--streams", type=int, default=200, metavar="N")
    parser.add_argument("--chunk", type=int, default=10, metavar="N", help="samples of a message; %(default)d")
    parser.add_argument("--seconds", type=float, default=30.0, metavar="S")
    parser.add_argument("--times", action="store_true", help="each sample with its time, put onto the grid")
    parser.add_argument("--engine", type=parse_yaml, default={}, metavar="YAML", help="settings of the daemon's engine")
    arguments = parser.parse_args()
    shape = {"streams": arguments.streams, "chunk": arguments.chunk, "seconds": arguments.seconds}
    costs = measure(arguments.bundle, **shape, timed=arguments.times, engine=arguments.engine)
    for name, cost in costs.items():
        print(f"{name}: {100 * cost.cpu:.1f} % of a core for {cost.messages:.0f} messages a second")
    mine, beside = costs[arguments.bundle].cpu, costs[_ECHO].cpu
    print(f"more than an echo: {100 * (mine - beside):.1f} % of a core for {arguments.streams} streams")


if __name__ == "__main__":
    main()
