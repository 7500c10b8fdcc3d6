"""What a daemon has promised to be done with in time, when there is more to do than time."""

from __future__ import annotations

import itertools
import signal
import time
from pathlib import Path

import soundfile
from content import Content
from daemons import Daemon, write_config
from oracle import PATIENCE_S
from setting import by_form
from tones import HOP, RATE

from streamrnn import wire
from streamrnn.chunk import STOPPED
from streamrnn.events import Heard, Lost
from streamrnn.wire import Status

_STREAMS = 32
_FROZEN_S = 0.5


def test_what_a_stop_has_no_time_for_lies_in_gaps_and_it_is_gone_within_2_s(tmp_path: Path, tiny_bundle: Path) -> None:
    said, heard = tmp_path / "said.wav", tmp_path / "heard.jsonl"
    # More than any machine hears before it is asked to stop.
    soundfile.write(said, Content().samples(0, by_form(300, 3000) * RATE), RATE)
    sources = [
        {"kind": "wav", "path": str(said), "stream": f"s{i}", "pace": "fastest", "chunk": 1 << 15, "queue_ms": 90_000}
        for i in range(_STREAMS)
    ]
    config = write_config(tmp_path / "daemon.yaml", tiny_bundle, sources, [{"kind": "jsonl", "path": str(heard)}])
    with Daemon(config) as daemon:
        patience = time.monotonic() + PATIENCE_S
        while b"detection" not in heard.read_bytes():  # then all have brought much more than was heard
            assert time.monotonic() < patience
            time.sleep(0.01)
        begun = time.monotonic()
        daemon.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        # Of its time to hear what is on its way little is left, as on a machine that does something else.
        daemon.process.send_signal(signal.SIGSTOP)
        time.sleep(_FROZEN_S)
        daemon.process.send_signal(signal.SIGCONT)
        code, took = daemon.wait(), time.monotonic() - begun
    assert code == 0, daemon.said
    assert any("lie in gaps" in line for line in daemon.said), daemon.said
    messages = [wire.read(line) for line in heard.read_bytes().splitlines()]
    assert messages[-1].kind == "bye"
    for i in range(_STREAMS):
        own = [message for message in messages if message.stream == f"s{i}"]
        ended = own[-1]
        assert isinstance(ended.body, Status)
        assert ended.body.state == "ended"
        words = [message.body for message in own if isinstance(message.body, Heard)]
        gaps = [message.body for message in own if isinstance(message.body, Lost)]
        # One that had brought nothing yet, or of which all that it brought was heard, has nothing to lose. What came
        # later than the time was up is told behind what waited: together they are one gap, to the end.
        assert all(gap.end == after.start for gap, after in itertools.pairwise(gaps))
        whole = [(first.start % HOP, last.end) for first, last in zip(gaps[:1], gaps[-1:], strict=True)]
        assert whole in ([], [(0, ended.t.sample)])
        assert {gap.reason for gap in gaps} <= {STOPPED}
        assert all(word.start < gap.start for gap in gaps for word in words)
    print(f"stopped after {took:.2f} s, of which it was frozen for {_FROZEN_S} s")
    assert took < 2.0
