"""A key that is taken out of the list, of somebody who says nothing: streams end and subscribers are cut off."""

from __future__ import annotations

import time
from pathlib import Path

import peers
import pytest
from test_revoking import both_heard, chunk, folder, revoke, secret, served

from streamrnn.chunk import Ended
from streamrnn.client import Subscriber
from streamrnn.errors import DeviceError
from streamrnn.publisher import Publisher
from streamrnn.security import keys
from streamrnn.sinks.zeromq import ZeromqConfig, ZeromqSink
from streamrnn.sources import zeromq

__all__ = ["folder"]  # a fixture


def test_the_stream_of_a_silent_client_ends_with_its_key_and_no_other_does(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zeromq, "_PROBE_S", 0.1)
    with served(folder) as (source, said), peers.context() as context:
        ann, bob = both_heard(context, folder, source, said, seconds=30)
        revoke(folder, "ann")
        assert said.get(timeout=30) == Ended("ann", "its key was revoked")
        assert ann.error().code == "revoked"
        bob.bring()
        assert chunk(said, 30) == "bob"
        for each in (ann, bob):
            each.socket.close(0)


def test_a_subscriber_whose_key_is_revoked_is_cut_off_and_another_hears_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamrnn.sinks.zeromq._LOOK_S", 0.05)
    path = folder / keys.ALLOWED
    path.write_text(path.read_text().replace("ingest", "read"))
    sink = ZeromqSink(ZeromqConfig(endpoint="tcp://127.0.0.1:*", keys=str(folder)))
    publisher = Publisher([sink], [])

    def heard(subscriber: Subscriber) -> bool:
        publisher.attend()
        try:
            subscriber.receive(0.05)
        except TimeoutError:
            return False
        return True

    def waited(done: object) -> None:
        deadline = time.monotonic() + 60
        while not done():  # type: ignore[operator]
            assert time.monotonic() < deadline

    with (
        Subscriber(sink.place, keys=secret(folder, "ann"), control="off") as ann,
        Subscriber(sink.place, keys=secret(folder, "bob"), control="off") as bob,
    ):
        for each in (ann, bob):
            waited(lambda each=each: heard(each))
        both = sink.subscribers
        revoke(folder, "ann")

        def refused() -> bool:
            try:
                heard(ann)
            except DeviceError as error:
                return "does not let this key in" in str(error)
            return False

        waited(refused)
        assert sink._subscriptions.expelled == 1
        waited(lambda: heard(bob) and sink.subscribers == both // 2)
        waited(lambda: heard(bob))
    sink.close(0.2)
