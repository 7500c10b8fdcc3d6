"""The probes of a daemon over HTTP, for this machine alone: /livez, /readyz and, for Prometheus, /metrics."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import accumulate
from typing import Any

from streamrnn.errors import ConfigError, DeviceError
from streamrnn.loopback import address_of
from streamrnn.metrics import METRICS, Labels, Meter
from streamrnn.vitals import Vitals

PREFIX = "streamrnn_"
_CONNECTIONS = 16  # at once: the oldest makes room, so that a client that says nothing shuts nobody out
_PATIENCE_S = 5.0
_PLAIN = "text/plain; charset=utf-8"

Page = tuple[int, str, bytes]


class Health:
    """Answers from threads of its own, also when the engine's hangs: that is what it is there to tell."""

    def __init__(self, endpoint: str, vitals: Vitals, meter: Meter) -> None:
        """Raises ConfigError or DeviceError if it cannot listen there, or if prometheus_client is not installed."""
        address = address_of(endpoint)
        self._pages = {"/livez": lambda _: _probe(vitals.dead()), "/readyz": lambda _: _probe(vitals.unready())}
        self._pages["/metrics"] = _exposition(vitals, meter)
        try:
            self._server = _Server(address, self._pages)
        except OSError as error:
            raise DeviceError(f"health {endpoint}: {error.strerror or error}; choose another port") from None
        host, port = str(self._server.server_address[0]), self._server.server_address[1]
        self.place = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        threading.Thread(target=self._server.serve_forever, args=(0.2,), name="health", daemon=True).start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """A thread a connection, of which there are few."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], pages: dict[str, Callable[[str], Page]]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.pages = pages
        self._open: OrderedDict[int, socket.socket] = OrderedDict()
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Make room for one that comes."""
        with self._lock:
            while len(self._open) >= _CONNECTIONS:
                _, oldest = self._open.popitem(last=False)
                with contextlib.suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)
            self._open[id(request)] = request
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """One has been answered."""
        with self._lock:
            self._open.pop(id(request), None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no fault of ours."""


class _Handler(BaseHTTPRequestHandler):
    """One answer a connection."""

    timeout = _PATIENCE_S
    server: _Server

    def do_GET(self) -> None:
        """A page, or which there are."""
        self._answer(self._page())

    def do_HEAD(self) -> None:
        """As GET, without the page."""
        code, kind, _ = self._page()
        self._answer((code, kind, b""))

    def _page(self) -> Page:
        page = self.server.pages.get(self.path.partition("?")[0])
        if page is None:
            return 404, _PLAIN, f"there are {', '.join(self.server.pages)}\n".encode()
        return page(self.headers.get("Accept", ""))

    def _answer(self, page: Page) -> None:
        code, kind, text = page
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Probes are not worth a line each."""


def _probe(trouble: str) -> Page:
    return (503, _PLAIN, f"{trouble}\n".encode()) if trouble else (200, _PLAIN, b"ok\n")


def _exposition(vitals: Vitals, meter: Meter) -> Callable[[str], Page]:
    """What makes the page /metrics, in the format that the client accepts. Raises ConfigError without the library."""
    try:
        from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
        from prometheus_client.exposition import choose_encoder
    except ModuleNotFoundError:
        raise ConfigError(
            "health.endpoint: needs prometheus_client; pip install 'streamrnn[ops]', or leave it out"
        ) from None

    class Ours:
        """Our meter as prometheus_client reads it."""

        def collect(self) -> Iterator[Any]:
            meter.set("uptime_seconds", vitals.uptime_s)
            meter.set("progress_age_seconds", vitals.age_s)
            meter.set("ready", 0.0 if vitals.unready() else 1.0)
            yield from _families(meter)

    registry = CollectorRegistry()
    registry.register(Ours())
    ProcessCollector(registry=registry)  # memory, descriptors, seconds of processor: process_*
    PlatformCollector(registry=registry)

    def page(accept: str) -> Page:
        encoder, kind = choose_encoder(accept)
        return 200, kind, encoder(registry)

    return page


def _families(meter: Meter) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    for metric in METRICS.values():
        name = PREFIX + metric.name
        if metric.kind == "histogram":
            timed = HistogramMetricFamily(name, metric.help, labels=metric.labels)
            # A copy in one go: the engine's thread goes on counting.
            for labels, histogram in dict(meter.histograms[metric.name]).items():
                counts = list(accumulate(histogram.counts))
                bounds = [*(str(bound) for bound in histogram.bounds), "+Inf"]
                timed.add_metric(labels, list(zip(bounds, counts, strict=True)), histogram.sum)
            yield timed
            continue
        family = (CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily)(
            name, metric.help, labels=metric.labels
        )
        series: dict[Labels, float] = dict(meter.values[metric.name])
        for labels, value in series.items():
            family.add_metric(labels, value)
        yield family
