"""Labels, beats and alarms of sensors, brought in ragged chunks to a daemon that is killed in the midst of them."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import msgspec
import numpy as np
from daemons import Daemon, write_config
from sensor_bundles import MAKES, recording, write_bundle
from setting import free_endpoint
from test_delivery import until
from test_service import as_event

import streamrnn
from streamrnn import bundle, cli, disk, engine, statefile
from streamrnn.client import Pusher, Subscriber
from streamrnn.clips import replaying
from streamrnn.detector import as_samples
from streamrnn.events import Heard, same
from streamrnn.statefile import Kept
from streamrnn.wire import Message, Status


def kept_streams(directory: Path) -> set[str]:
    """The streams that the state file would go on with."""
    path = directory / statefile.NAME
    if not path.exists():
        return set()
    return set(msgspec.msgpack.decode(disk.unseal(statefile.MAGIC, path.read_bytes()), type=Kept).streams)


def test_labels_beats_and_alarms_are_those_of_detect_for_ragged_chunks_and_a_kill_and_are_replayed(
    tmp_path: Path,
) -> None:
    """Each of three bundles on a stream of its own; what was sent is sent again from where the state was kept."""
    bundles = {kind: write_bundle(tmp_path / f"{kind}.bundle", kind).path for kind in MAKES}
    places = {kind: free_endpoint() for kind in (*MAKES, "results", "control")}
    config = write_config(
        tmp_path / "daemon.yaml",
        bundles["alarm"],
        [{"kind": "zeromq", "endpoint": places[kind], "bundles": [kind]} for kind in MAKES],
        [{"kind": "zeromq", "endpoint": places["results"]}],
        bundles=[{"path": str(path)} for path in bundles.values()],
        control={"endpoint": places["control"]},
        state={"directory": str(tmp_path / "state"), "every_s": 0.2},
        history={"journal": str(tmp_path / "journal")},
        clips={
            "directory": str(tmp_path / "clips"),
            "kinds": ["detection", "segment", "alarm"],
            "longest_s": 30.0,
            "state_every_s": 2.0,
        },
    )
    random = np.random.default_rng(0)
    samples = {kind: recording(kind) for kind in MAKES}
    wanted = {
        kind: streamrnn.load(path).detect(as_samples(samples[kind]), MAKES[kind][1], kind)
        for kind, path in bundles.items()
    }
    assert all(len(each) > 6 for each in wanted.values())
    heard: list[Message] = []

    def push(share: float) -> None:
        """Each stream up to a share of it, a random number of samples at a time."""
        left = dict.fromkeys(MAKES)
        while left:
            kind = str(random.choice(list(left)))
            end = min(round(share * len(samples[kind])), at[kind] + int(random.integers(1, 900)))
            pushers[kind].push(samples[kind][at[kind] : end])
            at[kind] = end
            if end == round(share * len(samples[kind])):
                del left[kind]

    def hear(subscriber: Subscriber) -> None:
        left = len(MAKES)
        while left:
            heard.append(subscriber.receive(30.0))
            left -= isinstance(heard[-1].body, Status) and heard[-1].body.state == "ended"

    with Daemon(config) as daemon, Subscriber(places["results"], timeout=20.0) as subscriber:
        while subscriber.receive(20.0).kind != "hello":
            pass
        thread = threading.Thread(target=hear, args=(subscriber,))
        thread.start()
        at = dict.fromkeys(MAKES, 0)
        pushers = {
            kind: Pusher(places[kind], stream=kind, rate=make[1], channels=make[2], timeout=20.0, buffer_s=600.0)
            for kind, make in MAKES.items()
        }
        push(0.35)
        until(lambda: kept_streams(tmp_path / "state") == set(MAKES))
        push(0.46)
        daemon.stop(signal.SIGKILL)
        with Daemon(config):
            push(1.0)
            for pusher in pushers.values():
                pusher.end()
            thread.join(60)
            assert not thread.is_alive()
            last = {each[-1].id for each in wanted.values()}
            until(lambda: last <= {path.stem[-16:] for path in (tmp_path / "clips").glob("*.json")})
    assert len({each.run for each in heard}) == 2
    assert len([each for each in heard if isinstance(each.body, Status) and each.body.state == "restored"]) == 3
    assert not [each for each in heard if each.kind == "gap"]
    for kind, events in wanted.items():
        told = [as_event(each) for each in heard if each.stream == kind and isinstance(each.body, Heard)]
        assert [each.id for each in told] == [each.id for each in events]
        assert all(same(one, other) for one, other in zip(told, events, strict=True))
    # What was told before the kill and after it is heard again from its clip; those that waited then there are not.
    replayed = dict.fromkeys(MAKES, 0)
    servings = {kind: engine.serving(bundle.read(path)) for kind, path in bundles.items()}
    for path in (tmp_path / "clips").glob("*.json"):
        evidence = replaying.read(path)
        served = servings[evidence.told.bundle.name]
        assert served.made == evidence.listener.decoder
        assert replaying.again(evidence.told, replaying.hear(evidence, served)), path
        replayed[evidence.told.stream] += 1
    assert all(replayed.values())
    alarm = next((tmp_path / "clips").glob(f"*-{wanted['alarm'][-1].id}.json"))
    assert cli.main(["replay", str(alarm)]) == 0
