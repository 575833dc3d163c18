"""Faults on order: which requests are misbehaved to, how, and how often."""

import fnmatch
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from tokensvc.emulator.front import Request

MOST_FAULTS: Final = 100
MAX_VALUE_CHARS: Final = 500
KINDS: Final[Mapping[str, str]] = {
    "latency": "answer rightly, VALUE seconds late",
    "hang": "take the request and never answer (VALUE seconds, else a minute)",
    "status": "answer VALUE (402, 429, 500, …) with the vendor's envelope",
    "429": "too many requests; VALUE is the Retry-After, as it is to be sent",
    "reset": "reset the connection before any answer",
    "reset-in-body": "reset it in the middle of the answer",
    "truncated": "end the connection in the middle of the answer",
    "wrong-length": "declare a longer answer than is sent",
    "drip": "send the answer byte by byte, one each VALUE seconds (else 0.2)",
    "drip-headers": "send the headers so",
    "html": "answer 200 with a page",
    "empty": "answer 200 with nothing",
    "not-json": "answer 200 with half a JSON text",
    "wrong-uid": "answer rightly, for another user",
    "huge": "answer 200 with 100 MB",
    "gzip-bomb": "answer 200 with a small gzip of 100 MB, which nobody asked for",
    "redirect": "answer 302 to VALUE",
    "late-500": "do what is asked, and answer 500",
}
"""What can be ordered, in the words of `--help`."""


KINDS_WITHOUT_ANSWER: Final = frozenset(
    {"hang", "status", "429", "reset", "html", "empty", "not-json", "huge", "gzip-bomb", "redirect"}
)
"""After these, nothing of what was asked has been done."""


class FaultError(ValueError):
    """An order that is not understood; the text says why."""


@dataclass
class Fault:
    """One order: *kind* for matching requests, *times* times or until *until* (UNIX seconds)."""

    kind: str
    value: str = ""
    method: str = "*"
    path: str = "*"
    """A pattern like `/v3/users/*`; `*` matches slashes too."""
    uid: str | None = None
    times: int | None = None
    until: float | None = None
    struck: int = field(default=0)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise FaultError(f"no fault is called {self.kind!r}; there are: {', '.join(KINDS)}")
        if len(self.value) > MAX_VALUE_CHARS or not self.value.isprintable():
            raise FaultError("a fault's value is printable, and has at most 500 characters")
        if self.kind in {"latency", "hang", "drip", "drip-headers"} and self.value:
            _seconds(self.value)
        if self.kind == "status" and not (self.value.isdigit() and 200 <= int(self.value) < 600):  # noqa: PLR2004 (statuses)
            raise FaultError("status takes a status: status=503")

    @property
    def seconds(self) -> float:
        """The value as seconds."""
        defaults = {"hang": 60.0, "drip": 0.2, "drip-headers": 0.2}
        return _seconds(self.value) if self.value else defaults.get(self.kind, 1.0)

    def matches(self, request: Request, now: float) -> bool:
        """Return whether this request is one of those."""
        is_due = (self.times is None or self.struck < self.times) and (
            self.until is None or now < self.until
        )
        return (
            is_due
            and fnmatch.fnmatchcase(request.method, self.method.upper())
            and fnmatch.fnmatchcase(request.path, self.path)
            and (self.uid is None or _names(request, self.uid))
        )


class Faults:
    """The orders in force; the first that matches strikes."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._orders: list[Fault] = []
        self._lock = threading.Lock()

    def order(self, fault: Fault) -> None:
        """Put *fault* behind those that are there."""
        with self._lock:
            if len(self._orders) >= MOST_FAULTS:
                raise FaultError(f"at most {MOST_FAULTS} faults at once")
            self._orders.append(fault)

    def clear(self) -> None:
        """Behave again."""
        with self._lock:
            self._orders.clear()

    def strike(self, request: Request) -> Fault | None:
        """Return the fault for *request*, counted, if there is one."""
        now = self._now()
        with self._lock:
            for fault in self._orders:
                if fault.matches(request, now):
                    fault.struck += 1
                    return fault
        return None

    def listed(self) -> list[dict[str, object]]:
        """Return the orders in force, as the control endpoint shows them."""
        with self._lock:
            return [
                {
                    "kind": fault.kind,
                    "value": fault.value,
                    "method": fault.method,
                    "path": fault.path,
                    "uid": fault.uid,
                    "times": fault.times,
                    "until": fault.until,
                    "struck": fault.struck,
                }
                for fault in self._orders
            ]


def parse_fault(text: str, now: float) -> Fault:
    """Return the fault that *text* orders: `KIND[=VALUE][;NAME=VALUE…]`.

    Names are method, path, uid, times and for (seconds): `429=15;path=*/auth_tokens;times=3`.
    """
    head, *rest = text.split(";")
    kind, _, value = head.partition("=")
    options = dict(part.partition("=")[::2] for part in rest)
    unknown = set(options) - {"method", "path", "uid", "times", "for"}
    if unknown:
        raise FaultError(f"unknown: {', '.join(sorted(unknown))}")
    return Fault(
        kind=kind.strip(),
        value=value.strip(),
        method=options.get("method", "*"),
        path=options.get("path", "*"),
        uid=options.get("uid"),
        times=_count(options["times"]) if "times" in options else None,
        until=now + _seconds(options["for"]) if "for" in options else None,
    )


def _names(request: Request, uid: str) -> bool:
    """Return whether *request* is about *uid*: in its path, or as the user it creates."""
    if uid in request.path.split("/"):
        return True
    return f'"uid":"{uid}"'.encode() in request.body.replace(b" ", b"")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:  # noqa: PLR2004 (an hour is long enough)
        raise FaultError(f"{text!r} is no number of seconds from 0 to 3600")
    return seconds


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:7]) < 10**6):
        raise FaultError(f"{text!r} is no count from 1 to 999999")
    return int(text)
