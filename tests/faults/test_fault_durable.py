"""Journal and state: a daemon that dies at each step of writing them, and disks that are full or read-only."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import judge
import msgspec
import pytest
from content import Content
from daemons import Daemon
from oracle import Oracle
from resender import Resender
from setting import LONG, MEMORY, Setting, injected

from streamrnn import wire
from streamrnn.client import Control
from streamrnn.events import Heard
from streamrnn.statefile import NAME
from streamrnn.wire import Message, Status

Death = tuple[int, str]
# The first three calls of a daemon count its run in the state, before anything is served; the next three begin a
# segment of the journal, which is synced for each message; and then each tenth of a second state is written by three.
SHORT: tuple[Death, ...] = tuple(
    (n, when) for n, when in zip((1, 2, 4, 6, 9, 11, 25), ("before", "after") * 4, strict=False)
)
CALLS, CHAINS = 40, 10


def deaths() -> list[Sequence[Death]]:
    """Of one setting each: all together a death before and after every call that a short run makes, or a few."""
    if not LONG:
        return [SHORT]
    every = list(itertools.product(range(1, CALLS + 1), ("before", "after")))
    # Each chain has early deaths and late ones: the early ones leave no state of a stream behind.
    return [every[i::CHAINS] for i in range(CHAINS)]


def keeping(folder: Path, bundle: Path) -> Setting:
    """One that keeps a journal, with every message made durable, and the state of now, always."""
    return Setting(
        folder,
        bundle,
        history={"journal": str(folder / "journal"), "fsync": "each", "messages": 20},
        state={"directory": str(folder / "state"), "every_s": 0.1},
    )


def replayed(daemon: Daemon) -> list[Message]:
    """All that the journal has, run by run; what is not complete up to a run's last message fails."""
    messages: list[Message] = []
    with Control(daemon.control) as control:
        kept = control.call("history")
        assert (kept["journal_lost"], kept["journal_trouble"], kept["journal_unreadable"]) == (0, "", [])
        for run in kept["runs"]:
            start = 0
            while start is not None:
                page = control.call("replay", **{"run": run, "from": start})
                assert not page["truncated"], page["gone"]
                messages += [wire.read(msgspec.json.encode(each)) for each in page["messages"]]
                start = page["next"]
    return messages


def united(kept: Iterable[Message], heard: Iterable[Message]) -> list[Message]:
    """What the journal has and what was heard, each message once; where both have one they say the same."""
    messages: dict[tuple[str, str, int], Message] = {}
    for each in (*kept, *heard):
        assert messages.setdefault((each.run, each.topic, each.seq), each) == each
    return list(messages.values())


def told_once(messages: Iterable[Message]) -> list[Message]:
    """Without words that are told again, as they are when samples are sent again: those must say the same.

    A daemon that died before it could keep anything of a stream has them told in an epoch of their own, within the same
    counting.
    """
    words: dict[tuple[str, str, int], Heard] = {}
    left = []
    for each in messages:
        body = each.body
        if isinstance(body, Heard):
            first = words.setdefault((each.counting, body.label, body.start), body)
            if first is not body:
                assert msgspec.structs.replace(first, score=body.score) == body
                assert abs(first.score - body.score) < 1e-4
                continue
        left.append(each)
    return left


@pytest.mark.parametrize("chain", deaths(), ids=lambda chain: f"{chain[0][0]}-{chain[-1][0]}")
def test_a_daemon_that_dies_at_each_step_of_keeping_loses_nothing(
    tmp_path: Path, tiny_bundle: Path, chain: Sequence[Death]
) -> None:
    calls = tmp_path / "calls"
    with keeping(tmp_path, tiny_bundle) as setting, Oracle(setting.results) as oracle:
        with Resender(setting.ingest, "mic", Content(0), speed=2) as resender:
            for n, when in chain:
                calls.unlink(missing_ok=True)
                with Daemon(setting.config, env=injected(FAULT_DIES=f"{n} {when} {calls}")) as dying:
                    assert dying.process.wait(30) == -signal.SIGKILL
                print(f"died {when} {calls.read_text().splitlines()[n - 1]}")
            daemon = setting.start()
            begun = time.monotonic()
            oracle.word("mic", resender.at, 15.0)
            resender.finish()
        oracle.wait(lambda message: isinstance(message.body, Status) and message.body.state == "ended", since=begun)
        kept = replayed(daemon)
        assert daemon.stop() < 2.0
        heard = oracle.messages
    assert not list(tmp_path.glob("state/*.bad"))
    assert not list(tmp_path.glob("*/*.new"))
    assert (tmp_path / "state" / NAME).exists()
    messages = united(kept, heard)
    assert any(isinstance(each.body, Status) and each.body.state == "restored" for each in messages)
    assert not judge.left_out(heard)
    assert not judge.duplicates(told_once(messages))
    assert not judge.undeclared(messages, resender.produced)
    wanted = resender.content.wanted(tiny_bundle, "mic", resender.at)
    assert not judge.different(messages, wanted, "mic", MEMORY)
    assert not judge.gaps(messages, "mic")
