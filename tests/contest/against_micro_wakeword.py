"""The shipped wake word beside micro-wakeword, in turn and in the processor's own time: how many streams a core hears.

    python tests/contest/against_micro_wakeword.py PEERS_PYTHON [STREAMS]

Ours are streams that a daemon takes over ZeroMQ, chunks of 100 ms, but for the work of libzmq's own thread; the peer's
are objects that are called with chunks of 100 ms.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from streamrnn import allocator
from streamrnn.bundle import locate, open_step, read, with_decoder
from streamrnn.capacity import ladder
from streamrnn.serving import serving
from streamrnn.timelapse import Timelapse

_TURNS = 5


def main(python: str, streams: str = "800") -> None:
    """Play both in turn."""
    bundle = read(locate("wakeword"))
    with tempfile.TemporaryDirectory() as folder:
        path, _, decoder = ladder.prepare(Path(folder), bundle, open_step(bundle, "auto"))
        signal = path.read_bytes()
    lapse = Timelapse(serving(with_decoder(bundle, decoder, "")), int(streams), signal)
    allocator.leave_alone()  # as the daemon does once it is ready
    ours, theirs = [], []
    for _ in range(_TURNS):
        said = subprocess.run(
            [python, str(Path(__file__).with_name("micro_wakeword.py")), "okay_nabu", "64", "2"],
            capture_output=True,
            check=True,
        )
        theirs.append(json.loads(said.stdout)["streams_a_core"])
        played = lapse.play(8.0, 2.0)
        ours.append(played.streams / played.core)
        print(f"micro-wakeword {theirs[-1]:.0f}, streamrnn {ours[-1]:.0f} streams a core", file=sys.stderr, flush=True)
    lapse.close()
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    print(
        f"medians of {_TURNS} turns: micro-wakeword {statistics.median(theirs):.0f}, streamrnn "
        f"{statistics.median(ours):.0f} streams a core; {ratio:.1f} times as many"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
