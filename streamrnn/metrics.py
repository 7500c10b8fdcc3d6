"""What a daemon counts: one table of all metrics, and a meter that holds their values as plain numbers.

Counting is a few additions on the engine's thread; another thread may read at any time. How Prometheus wants them
written is the business of health.py.
"""

from __future__ import annotations

import bisect
import dataclasses
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from streamrnn.backends import Array, ArrayState
from streamrnn.pool import Serving

_SERIES = 100  # of one metric; what comes beyond is counted under "other", for labels must not eat memory
OTHER = "other"
STEP_BUCKETS_S = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_WINDOW_S = 30.0  # the real-time factor is that of the last one to two windows

Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its name after `streamrnn_`, what it is, and the names of its labels."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: Labels = ()


METRICS = {
    each.name: each
    for each in (
        Metric("build_info", "gauge", "1, labelled with the version", ("version", "python")),
        Metric("bundle_info", "gauge", "1 for each bundle served", ("bundle", "sha")),
        Metric("uptime_seconds", "gauge", "Seconds since the daemon started"),
        Metric("ready", "gauge", "1 when /readyz says so, else 0"),
        Metric("progress_age_seconds", "gauge", "Seconds since the engine's loop last moved; above stall_s it is dead"),
        Metric("reload_generation", "gauge", "How often bundles were reloaded"),
        Metric("streams_open", "gauge", "Streams that are open"),
        Metric("streams_opened_total", "counter", "Streams that were opened"),
        Metric("streams_closed_total", "counter", "Streams that are over, by how: ended, failed, refused", ("state",)),
        Metric("epochs_total", "counter", "How often a stream's memory was lost"),
        Metric("samples_heard_total", "counter", "Samples that the engine has taken, of all streams"),
        Metric("samples_lost_total", "counter", "Samples that were never heard, by reason", ("reason",)),
        Metric("samples_duplicate_total", "counter", "Samples that came twice and were dropped"),
        Metric("gaps_total", "counter", "Gaps published, by reason", ("reason",)),
        Metric("events_total", "counter", "Messages published, by kind", ("kind",)),
        Metric("detections_total", "counter", "Detections and segments, by label", ("bundle", "label")),
        Metric(
            "shadow_events_total",
            "counter",
            "Detections and segments of a shadow and what serves: agreed, only_serving, only_shadow",
            ("bundle", "outcome"),
        ),
        Metric("frames_total", "counter", "Frames that went through a bundle", ("bundle",)),
        Metric("audio_seconds_total", "counter", "Seconds of samples that went through a bundle", ("bundle",)),
        Metric("step_seconds", "histogram", "Seconds a call of a bundle's network took", ("bundle",)),
        Metric("real_time_factor", "gauge", "Seconds of work for a second of samples, of the last minute", ("bundle",)),
        Metric("busy_seconds_total", "counter", "Seconds that the engine's thread was not waiting"),
        Metric("worker_up", "gauge", "1 while a worker hears, 0 while it is being started", ("worker",)),
        Metric("worker_streams", "gauge", "Streams that a worker hears", ("worker",)),
        Metric("worker_starts_total", "counter", "How often a worker was started and became ready", ("worker",)),
        Metric("worker_busy_seconds_total", "counter", "Seconds that a worker was not waiting", ("worker",)),
        Metric("queue_fill_ratio", "gauge", "How full the queue of a source is, 0 to 1", ("source",)),
        Metric("source_away", "gauge", "1 while the device of a source is offline, else 0", ("source",)),
        Metric(
            "grid_rows_total",
            "counter",
            "Of rows with times: filled, reordered, and dropped as late, duplicate, ahead, crowded",
            ("source", "outcome"),
        ),
        Metric("channels_away", "gauge", "Channels of all streams that are frozen, saturated or have vanished"),
        Metric("source_drift_ppm", "gauge", "How much faster a device's clock is, in parts in a million", ("source",)),
        Metric("sources_running", "gauge", "Sources that have not ended"),
        Metric("subscribers", "gauge", "Subscribers of a sink, where it can tell", ("sink",)),
        Metric("sink_lost_total", "counter", "Messages that a sink, or the journal, could not deliver", ("sink",)),
        Metric("store_trouble", "gauge", "1 while the journal or the state cannot be written, else 0", ("store",)),
        Metric("store_unreadable", "gauge", "Damaged stretches or files of the journal or the state", ("store",)),
        Metric("clips_total", "counter", "Clips around events: written, removed, lost", ("outcome",)),
    )
}


class Histogram:
    """Counts of values by bucket, and their sum."""

    def __init__(self, bounds: Sequence[float] = STEP_BUCKETS_S) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """One more; a value belongs to the first bucket whose bound it does not exceed."""
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
        self.sum += value


class Meter:
    """The values of all metrics, by the name of the metric and the values of its labels."""

    def __init__(self) -> None:
        self.values: dict[str, dict[Labels, float]] = {
            name: {} if metric.labels else {(): 0.0} for name, metric in METRICS.items() if metric.kind != "histogram"
        }
        self.histograms: dict[str, dict[Labels, Histogram]] = {
            name: {} for name, metric in METRICS.items() if metric.kind == "histogram"
        }
        self._windows: dict[str, deque[tuple[float, float, float]]] = {}
        self._seconds_a_frame: dict[str, float] = {}  # by bundle

    def add(self, name: str, amount: float, *labels: str) -> None:
        """Count."""
        series = self.values[name]
        key = labels if labels in series else _bounded(series, labels)
        series[key] = series.get(key, 0.0) + amount

    def set(self, name: str, value: float, *labels: str) -> None:
        """A gauge as it is now, or a counter that is counted elsewhere."""
        series = self.values[name]
        series[labels if labels in series else _bounded(series, labels)] = value

    def measured(self, serving: Serving, moved: Callable[[], None]) -> Serving:
        """The same bundle, with each call of its network counted and timed; `moved` is called after each."""
        name, hop, step = serving.name, serving.recognizer.hop, serving.step
        self.serves(serving)

        def timed(samples: Array, state: ArrayState) -> tuple[Array, ArrayState]:
            begun = time.perf_counter()
            done = step(samples, state)
            self.called(name, samples.shape[0] * (samples.shape[1] // hop), time.perf_counter() - begun)
            moved()
            return done

        return dataclasses.replace(serving, step=timed)

    def serves(self, serving: Serving) -> None:
        """A bundle is served from now on."""
        self.set("bundle_info", 1.0, serving.name, serving.sha[:12])
        self.histograms["step_seconds"].setdefault((serving.name,), Histogram())
        self._seconds_a_frame[serving.name] = serving.recognizer.hop / serving.recognizer.rate

    def called(self, bundle: str, frames: int, seconds: float) -> None:
        """A call of the network of a bundle that is served: so many frames, and so many seconds of work."""
        self.histograms["step_seconds"][bundle,].observe(seconds)
        self.add("frames_total", frames, bundle)
        self.add("audio_seconds_total", frames * self._seconds_a_frame[bundle], bundle)

    def survey(self, now: float) -> None:
        """Work out what is a ratio of others; to be called each second or so, with a clock in seconds."""
        for (bundle,), histogram in self.histograms["step_seconds"].items():
            heard = self.values["audio_seconds_total"].get((bundle,), 0.0)
            marks = self._windows.setdefault(bundle, deque([(now, 0.0, 0.0)], maxlen=2))
            _, worked_before, heard_before = marks[0]
            passed = heard - heard_before
            self.set("real_time_factor", (histogram.sum - worked_before) / passed if passed else 0.0, bundle)
            if now - marks[-1][0] >= _WINDOW_S:
                marks.append((now, histogram.sum, heard))


def _bounded(series: dict[Labels, float], labels: Labels) -> Labels:
    return labels if len(series) < _SERIES else tuple(OTHER for _ in labels)
