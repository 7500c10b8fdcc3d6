"""Strangers who knock at ports: random bytes, half handshakes, greetings with nonsense after them, wrong mechanisms.

    python tests/hostile.py SECONDS PORT...

knocks for so long and prints how often, for runs that are longer than a test may be.
"""

from __future__ import annotations

import contextlib
import random
import socket
import sys
import time
from collections.abc import Sequence

SIGNATURE = b"\xff" + bytes(8) + b"\x7f"
MECHANISMS = (b"NULL", b"CURVE", b"PLAIN", b"GSSAPI", b"NONSENSE")
AT_ONCE = 32  # connections that are left open and hold on


def greeting(random_: random.Random) -> bytes:
    """A ZMTP greeting of 64 bytes, right but for what it says, https://rfc.zeromq.org/spec/23/."""
    mechanism = random_.choice(MECHANISMS).ljust(20, b"\0")
    return SIGNATURE + bytes([3, random_.randint(0, 1)]) + mechanism + bytes([random_.randint(0, 1)]) + bytes(31)


def words(random_: random.Random) -> bytes:
    """What one stranger says."""
    kind = random_.randrange(6)
    if kind == 0:
        return random_.randbytes(random_.randint(0, 4096))
    if kind == 1:
        return SIGNATURE[: random_.randint(1, len(SIGNATURE))]
    if kind == 2:
        return greeting(random_)[: random_.randint(1, 64)]
    if kind == 3:
        return greeting(random_) + random_.randbytes(random_.randint(1, 2048))
    if kind == 4:  # a command frame that announces far more than comes
        return greeting(random_) + b"\x06" + (1 << 40).to_bytes(8, "big") + random_.randbytes(100)
    return greeting(random_) + b"\x04\x1a\x05READY" + random_.randbytes(random_.randint(0, 64))


def harass(ports: Sequence[int], seconds: float, *, seed: int) -> int:
    """Knock at ports of this machine for so long; how many times."""
    random_, held, times = random.Random(seed), [], 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        knock = socket.socket()
        knock.settimeout(1.0)
        with contextlib.suppress(OSError):
            knock.connect(("127.0.0.1", ports[times % len(ports)]))
            knock.sendall(words(random_))
        times += 1
        held.append(knock)
        if len(held) > AT_ONCE:
            held.pop(random_.randrange(len(held))).close()
    for knock in held:
        knock.close()
    return times


if __name__ == "__main__":
    print(harass([int(port) for port in sys.argv[2:]], float(sys.argv[1]), seed=round(time.time())))
