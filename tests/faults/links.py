"""Faults of a real network, within a namespace of its own: packets that are dropped, and a link that goes down.

`python links.py loss|down FOLDER BUNDLE SECONDS` is run in a namespace by test_fault_links.py; it fails by exceptions.
"""

from __future__ import annotations

import math
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import judge
from oracle import Oracle, Record
from producer import Playing
from setting import MEMORY, Setting

from streamrnn.client import Subscriber
from streamrnn.events import Heard
from streamrnn.wire import Status


def lossy(setting: Setting, seconds: int) -> None:
    """A queue that is too short for TCP: the kernel drops what does not fit, and TCP must send it again."""
    run("tc qdisc add dev lo root tbf rate 2mbit burst 6k limit 6k")
    setting.start()
    with Oracle(setting.results) as oracle:
        oracle.greeted()
        producers = [setting.producer(f"mic{i}", seconds / 7, seed=i, speed=0) for i in range(2)]
        with Playing(producers) as playing:
            playing.until(lambda: all(each.ended for each in producers), 20.0 + seconds)
            for each in producers:
                oracle.over(each.stream)
        wrong = setting.verdict(oracle, *producers)
        assert not wrong, wrong
        assert not any(judge.gaps(oracle.messages, each.stream) for each in producers)
    said = run("tc -s qdisc show dev lo")
    found = re.search(r"Sent \d+ bytes (\d+) pkt \(dropped (\d+)", said)
    assert found, said
    print(f"{found[2]} packets were dropped, {found[1]} came through")
    assert int(found[2]) > 20, said


class Listening:
    """A subscriber as users have it, on a thread of its own, until a stream ends that is `over`."""

    def __init__(self, endpoint: str) -> None:
        self.records: list[Record] = []
        self.subscriber = Subscriber(endpoint, timeout=60.0)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        for message in self.subscriber:
            self.records.append(Record(time.monotonic(), message))
            # The daemon may end it meanwhile, when it takes the client for gone: it is then opened again.
            if self.over.is_set() and isinstance(message.body, Status) and message.body.state == "ended":
                return


def down(setting: Setting, seconds: int) -> None:
    """Nothing passes, and neither side is told: its connections stand half open."""
    setting.start()
    producer = setting.producer("mic", 1e3)
    listening = Listening(setting.results)
    with listening.subscriber, Playing([producer]) as playing:
        listening.thread.start()
        until(lambda: any(record.message.kind == "detection" for record in listening.records))
        run("ip link set lo down")
        time.sleep(seconds)
        run("ip link set lo up")
        healed, sample = time.monotonic(), producer.at
        until(lambda: not judge.slow(listening.records, "mic", sample, 0.0, math.inf))
        late = judge.slow(listening.records, "mic", sample, healed)
        print(f"a word {min(at_word(listening.records, sample)) - healed:.1f} s after the link was up again")
        listening.over.set()
        playing.finish()
        listening.thread.join(20.0)
        lost, told = listening.subscriber.lost, listening.subscriber.take_losses()
    messages = [record.message for record in listening.records]
    wanted = producer.content.wanted(setting.bundle, "mic", producer.at)
    wrong = late + judge.duplicates(messages) + judge.undeclared(messages, producer.produced)
    wrong += judge.different(messages, wanted, "mic", MEMORY)
    assert not wrong, wrong
    assert not lost, told
    assert judge.gaps(messages, "mic")


def at_word(records: list[Record], sample: int) -> list[float]:
    """When words came that begin at a sample or later."""
    return [r.at for r in records if isinstance(r.message.body, Heard) and r.message.body.start >= sample]


def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    over = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < over, "waited in vain"
        time.sleep(0.02)


def run(words: str) -> str:
    return subprocess.run(words.split(), check=True, capture_output=True, text=True).stdout


def main() -> None:
    what, folder, bundle, seconds = sys.argv[1:]
    # As of a cable: those of a loopback are so large that hardly one is sent.
    run("ip link set lo mtu 1500")
    run("ip link set lo up")
    with Setting(Path(folder), Path(bundle)) as setting:
        {"loss": lossy, "down": down}[what](setting, int(seconds))


if __name__ == "__main__":
    main()
