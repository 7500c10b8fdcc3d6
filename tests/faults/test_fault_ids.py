"""What the judge found of ids: two gaps never share one, for a subscriber takes the second for the first again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from content import Content
from setting import Setting
from tones import RATE

from streamrnn import bundle
from streamrnn.client import Pusher, Subscriber
from streamrnn.detector import serving
from streamrnn.engine import Engine
from streamrnn.events import Event, Lost
from streamrnn.wire import Status


def gaps(engine: Engine) -> list[Event]:
    return [event for event in engine.run() if isinstance(event.body, Lost)]


def test_gaps_that_begin_at_one_sample_have_ids_of_their_own(tiny_bundle: Path) -> None:
    served = serving(bundle.read(tiny_bundle), "onnx")
    ids = []
    for end in (1600, 80800):  # the daemon was killed twice, and each time told what it had not heard
        engine = Engine([served])
        engine.open("mic", RATE, 1)
        engine.push("mic", end, np.zeros((400, 1), np.float32))
        engine.finish("mic")
        ids += [event.id for event in gaps(engine)]
    assert len(ids) == len(set(ids)) == 2


def test_overlaps_that_begin_at_one_sample_have_ids_of_their_own(tiny_bundle: Path) -> None:
    engine = Engine([serving(bundle.read(tiny_bundle), "onnx")])
    engine.open("mic", RATE, 1)
    for start, n in ((0, 800), (400, 400), (800, 800), (400, 1200)):
        engine.push("mic", start, np.zeros((n, 1), np.float32))
    engine.finish("mic")
    ids = [event.id for event in gaps(engine)]
    assert len(ids) == len(set(ids)) == 2


def test_a_subscriber_hears_again_what_is_said_again_to_a_daemon_that_was_started_anew(
    tmp_path: Path, tiny_bundle: Path
) -> None:
    content = Content(0)
    heard = []
    with Setting(tmp_path, tiny_bundle) as setting, Subscriber(setting.results, timeout=10.0) as subscriber:
        for _ in range(2):
            daemon = setting.start()
            while subscriber.receive(10.0).kind != "hello":
                pass
            with Pusher(setting.ingest, stream="talk", rate=RATE) as pusher:
                pusher.push(content.samples(0, len(content.sentence)))
            heard.append(0)
            for message in subscriber:
                heard[-1] += message.kind == "detection"
                if isinstance(message.body, Status) and message.body.state == "ended":
                    break
            daemon.stop()
    assert heard[0] == heard[1] > 0
