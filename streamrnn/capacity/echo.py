"""A daemon without compute: it answers every tenth chunk of a stream, which is what the others are late against."""

from __future__ import annotations

import sys

import msgspec
import zmq

from streamrnn import ingest
from streamrnn.ingest import Credit, Data, Start

CREDIT = 2**40  # all that ever comes
_EVERY = 10


def endpoints() -> tuple[zmq.Socket[bytes], zmq.Socket[bytes]]:
    """Where samples are taken and where results go, of no bounds, said on standard error."""
    context = zmq.Context()
    router, results = context.socket(zmq.ROUTER), context.socket(zmq.PUB)
    for socket in (router, results):
        socket.setsockopt(zmq.SNDHWM, 0)
        socket.setsockopt(zmq.RCVHWM, 0)
        socket.bind("tcp://127.0.0.1:*")
    for what, socket in (("samples from", router), ("results to", results)):
        print(what, socket.getsockopt_string(zmq.LAST_ENDPOINT), file=sys.stderr)
    print("ready", file=sys.stderr, flush=True)
    return router, results


def main() -> None:
    """Take samples and publish results, one process and one thread."""
    router, results = endpoints()
    while True:
        identity, *parts = router.recv_multipart()
        header, _ = ingest.decode_request(parts)
        if isinstance(header, Start):
            router.send_multipart([identity, ingest.encode_header(Credit(header.stream, CREDIT))])
        elif isinstance(header, Data) and header.start // header.n % _EVERY == 0:
            told = {
                "stream": header.stream,
                "t": {"sample": header.start + header.n, "rate": 0, "mono_ns": 0, "utc_ns": 0},
            }
            results.send_multipart([f"v1/detection/{header.stream}/echo/".encode(), msgspec.json.encode(told)])


if __name__ == "__main__":
    main()
