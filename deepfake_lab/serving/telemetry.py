"""What a service tells of itself: a line of JSON a request, numbers for Prometheus; never audio, never a file name."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from deepfake_lab.serving.census import Census, KeptCensus

LOGGER: Final = logging.getLogger("deepfake_lab.serving")
_PREFIX = "deepfake_lab"
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, math.inf)
_SIZES = (1, 2, 4, 8, 16, 32, 64, math.inf)


def log(event: str, *, level: int = logging.INFO, exc_info: bool = False, **facts: object) -> None:
    """Writes a line: an event, and what there is to know of it."""
    LOGGER.log(level, event, exc_info=exc_info, extra={"facts": facts})


class JsonLines(logging.Formatter):
    """A record as one line of JSON, whatever it holds."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        told: dict[str, Any] = {"time": when, "level": record.levelname.lower(), "event": record.getMessage()}
        told |= getattr(record, "facts", {})
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told, default=str)


class Metrics:
    """The numbers of a service.

    Attributes:
        registry: holds them.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"{_PREFIX}_{name}", what, labels, registry=self.registry)

        def histogram(name: str, what: str, bounds: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"{_PREFIX}_{name}", what, labels, buckets=bounds, registry=self.registry)

        self._requests = counter("requests", "Requests answered.", "method", "path", "status")
        self._seconds = histogram("request_seconds", "Time to the answer, of a stream to its end.", _SECONDS, "path")
        self._audio = counter("audio_seconds", "Audio judged, in s.", "path")
        self._verdicts = counter("verdicts", "Verdicts on recordings and whole streams.", "verdict")
        self._decisions = counter("decisions", "Decisions on windows of streams.", "state")
        self._batches = histogram("batch_windows", "Windows that were scored at once.", _SIZES)
        self._scoring = counter("scoring_seconds", "Time spent on scoring.")
        self._reloads = counter("reloads", "What became of new detectors.", "result")
        self._refused = counter("refused_connections", "Connections turned away: there were too many.")

    def watch(self, name: str, what: str, value: Callable[[], float]) -> None:
        """Adds a number that is looked up whenever somebody asks."""
        Gauge(f"{_PREFIX}_{name}", what, registry=self.registry).set_function(value)

    def watch_model(self, described: Callable[[], dict[str, str]]) -> None:
        """Adds which detector answers, as labels of a 1."""
        self.registry.register(_ModelCollector(described))

    def watch_census(self, census: KeptCensus, trained_on: Callable[[], Census | None]) -> None:
        """Adds a census of what is judged, and how far it is from training data, where there is a census of these."""
        self.registry.register(_CensusCollector(census, trained_on))

    def request(self, method: str, path: str, status: int, seconds: float) -> None:
        """Counts a request; `path` is one of those that there are."""
        self._requests.labels(method, path, status).inc()
        self._seconds.labels(path).observe(seconds)

    def judged(self, path: str, verdict: str, seconds: float) -> None:
        """Counts what was said of so many s of audio."""
        self._verdicts.labels(verdict).inc()
        self._audio.labels(path).inc(seconds)

    def decided(self, state: str) -> None:
        """Counts a decision on a stream."""
        self._decisions.labels(state).inc()

    def batch(self, windows: int, seconds: float) -> None:
        """Counts a batch."""
        self._batches.observe(windows)
        self._scoring.inc(seconds)

    def reload(self, result: str) -> None:
        """Counts what became of a new detector: swapped, refused, unreachable."""
        self._reloads.labels(result).inc()

    def refused(self) -> None:
        """Counts a connection that was turned away."""
        self._refused.inc()


class _ModelCollector(Collector):
    def __init__(self, described: Callable[[], dict[str, str]]) -> None:
        self._described = described

    def collect(self) -> Iterator[Metric]:
        """It, as it is now."""
        yield InfoMetricFamily(f"{_PREFIX}_model", "The detector that answers.", self._described())


class _CensusCollector(Collector):
    """The bins of a census as counters, and how far they are from those of the training data."""

    def __init__(self, census: KeptCensus, trained_on: Callable[[], Census | None]) -> None:
        self._census = census
        self._trained_on = trained_on

    def collect(self) -> Iterator[Metric]:
        """All of it, as it is now."""
        now, before = self._census.now(), self._trained_on()
        what = "Recordings and streams by bin of a measure; 'from' is its lower edge."
        counted = CounterMetricFamily(f"{_PREFIX}_census", what, labels=["measure", "from"])
        for measure, counts in now.plain().items():
            for edge, count in zip(Census.EDGES[measure][:-1], counts, strict=True):
                counted.add_metric([measure, f"{edge:g}"], count)
        yield counted
        shift = GaugeMetricFamily(
            f"{_PREFIX}_shift", "Population stability index, to training data.", labels=["measure"]
        )
        for measure, value in (before.shift(now) if before else {}).items():
            shift.add_metric([measure], value)
        yield shift


def bucket(score: float) -> str:
    """Bin of a score as a census has it, such as -2..-1: what a log may tell of it."""
    edges = Census.EDGES["score"]
    place = int(np.searchsorted(edges, score, "right"))
    return f"{edges[place - 1]:g}..{edges[place]:g}"
