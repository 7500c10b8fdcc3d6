"""The daemon that one writes by hand: an object with a torch network a stream, run when a chunk arrives."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import torch

from streamrnn.backends import Array
from streamrnn.capacity.echo import CREDIT, endpoints
from streamrnn.training.plain_loop import PlainLoop, network


class _Stream:
    """One stream: its network and whether it is up."""

    def __init__(self, source: Any, enter: float, leave: float) -> None:
        self._loop = PlainLoop(source, 1)
        self._enter, self._leave = enter, leave
        self._up = False

    def hear(self, samples: Array, start: int) -> list[int]:
        """Behind which samples something was found."""
        found = []
        for i, score in enumerate(self._loop(samples)[0, :, 1:].max(axis=1)):
            if not self._up and score >= self._enter:
                self._up = True
                found.append(start + 160 * (i + 1))
            elif score < self._leave:
                self._up = False
        return found


def main(enter: float, leave: float) -> None:
    """Take samples and publish results, one process and one thread."""
    torch.set_num_threads(1)
    source = network()
    router, results = endpoints()
    streams: dict[str, _Stream] = {}
    while True:
        identity, *parts = router.recv_multipart()
        header = json.loads(parts[0])
        name = header["stream"]
        if header["kind"] == "start":
            streams[name] = _Stream(source, enter, leave)
            credit = {"kind": "credit", "stream": name, "n": CREDIT}
            router.send_multipart([identity, json.dumps(credit).encode()])
        elif header["kind"] == "data":
            samples = np.frombuffer(parts[1], np.int16).astype(np.float32).reshape(1, -1, 1) / np.float32(32768)
            for sample in streams[name].hear(samples, header["start"]):
                moment = {"sample": sample, "rate": 16000, "mono_ns": 0, "utc_ns": 0}
                told = {"stream": name, "t": moment}
                results.send_multipart([f"v1/detection/{name}/plain/".encode(), json.dumps(told).encode()])


if __name__ == "__main__":
    main(float(sys.argv[1]), float(sys.argv[2]))
