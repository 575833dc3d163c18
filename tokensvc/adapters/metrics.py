"""Metrics: what the records and events add up to, in the words of Prometheus."""

import re
from collections.abc import Callable
from contextlib import suppress
from functools import cache, lru_cache
from typing import Final

from tokensvc.domain.audit import OperationalEvent, RequestRecord

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
DURATIONS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_STATUS: Final = re.compile(r"_([1-5])\d\d$")
_WORD: Final = re.compile(r"[A-Za-z_]{1,64}(?:_[1-5]xx)?")


class Metrics:
    """Counts records and events. Labels have values of ours alone, and not many.

    With PROMETHEUS_MULTIPROC_DIR in the environment the processes of a server
    count together, in files of that folder; a scrape of any of them has them all.
    """

    def __init__(self) -> None:
        # The library reads that variable when it is imported, once and for all: a server's
        # parent process, which knows of no folder yet, must not import it.
        import prometheus_client as prometheus  # noqa: PLC0415
        from prometheus_client import multiprocess, values  # noqa: PLC0415

        self._library = prometheus
        registry = prometheus.CollectorRegistry()

        # Each is asked for by its labels. The library takes longer to find it than to count, and
        # keeps all that there ever were, as these do.
        def counter(name: str, text: str, *labels: str) -> Callable[..., prometheus.Counter]:
            return cache(prometheus.Counter(name, text, labels, registry=registry).labels)

        def durations(name: str, text: str, *labels: str) -> Callable[..., prometheus.Histogram]:
            kept = prometheus.Histogram(name, text, labels, buckets=DURATIONS_S, registry=registry)
            return cache(kept.labels)

        self._requests = counter("tokensvc_requests", "Answers.", "route", "status", "outcome")
        self._request_durations = durations(
            "tokensvc_request_duration_seconds", "From the request to its answer.", "route"
        )
        self._calls = counter(
            "tokensvc_vendor_calls", "Calls to CometChat.", "operation", "outcome"
        )
        self._call_durations = durations(
            "tokensvc_vendor_call_duration_seconds", "Waiting for CometChat.", "operation"
        )
        self._events = counter(
            "tokensvc_operational_events", "What happened beside the requests.", "event"
        )
        self._registry = registry
        if values.ValueClass._multiprocess:  # noqa: SLF001 (which of the two the library chose)
            self._registry = prometheus.CollectorRegistry()
            multiprocess.MultiProcessCollector(self._registry)  # type: ignore[no-untyped-call]

    def __call__(self, record: RequestRecord) -> None:
        """Count *record* and the calls to CometChat in it."""
        route = record.route or "none"
        self._requests(route, record.status, record.outcome).inc()
        self._request_durations(route).observe(record.duration_s)
        for call in record.vendor_calls:
            self._calls(call.operation, _bounded(call.outcome)).inc()
            self._call_durations(call.operation).observe(call.duration_s)

    def add(self, record: RequestRecord, times: int) -> None:
        """Count *times* answers like *record*, of which nobody took the time."""
        with suppress(OSError, ValueError):
            route = record.route or "none"
            self._requests(route, record.status, record.outcome).inc(times)

    def note(self, event: OperationalEvent) -> None:
        """Count *event* by its name."""
        # Whoever tells of an event goes on, also where the folder is full.
        with suppress(OSError, ValueError):
            self._events(event.name).inc()

    def render(self) -> bytes:
        """Return what was counted, in Prometheus' text format."""
        return self._library.generate_latest(self._registry)


@lru_cache
def _bounded(outcome: str) -> str:
    """Return *outcome* as one of few: a vendor has hundreds of statuses to answer with."""
    folded = _STATUS.sub(r"_\1xx", outcome)
    return folded if _WORD.fullmatch(folded) else "other"
