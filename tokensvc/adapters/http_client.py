"""One outside HTTP API over requests: pooled, bounded, and never clever."""

import math
import os
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import requests

from tokensvc import __version__
from tokensvc.adapters.connecting import RESOLVER
from tokensvc.adapters.deadline import exchange_within
from tokensvc.adapters.rate_headers import UNTOLD, RateHeaders, rate_headers
from tokensvc.adapters.transport import DeadlineAdapter
from tokensvc.adapters.wire import NameNotResolvedError

MAX_ANSWER_BYTES: Final = 256 * 1024
MAX_RETRY_AFTER_S: Final = 3600.0
TOO_MANY: Final = 429
ASKS_PATIENCE: Final = frozenset({TOO_MANY, 503})
"""With these statuses a Retry-After is about us; elsewhere it is about anything."""
_RESET_HEADERS: Final = ("x-rate-limit-reset", "x-ratelimit-reset")
"""The vendor's pages name both spellings; which one is live is unverified.

Any answer may carry them: when a window ends that has room left is no time to wait for.
"""


_HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
    "User-Agent": f"tokensvc/{__version__}",
}


class HTTPFailureError(Exception):
    """There is no whole answer; *reason* is a fixed word.

    *is_sent* says whether the request has left us: then it may have been done.
    """

    def __init__(self, reason: str, *, is_sent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_sent = is_sent


@dataclass(frozen=True, slots=True)
class HTTPAnswer:
    """A whole answer, whatever its status."""

    status: int
    body: bytes = field(repr=False)
    is_json: bool
    retry_after_s: float | None = None
    """When the sender says to come back, if it says so: more than 0, at most an hour."""
    rate: RateHeaders = UNTOLD
    cache_control: str = ""

    @property
    def is_success(self) -> bool:
        """Whether the sender says that the request was done."""
        return self.status // 100 == 2  # noqa: PLR2004 (the class of a status is its first digit)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long an exchange may take: to connect (name and handshake too), to read, and in all.

    And how large its answer may be.
    """

    connect_s: float = 1.0
    read_s: float = 2.0
    total_s: float = 5.0
    answer_bytes: int = MAX_ANSWER_BYTES


class HTTPClient:
    """Sends JSON to one base URL and reads bounded answers.

    Follows no redirect, reads no proxy, netrc or certificate bundle from the
    environment (they would carry the key to another host), and retries nothing by
    itself. *ca_file* (PEM) takes the place of the public certificate authorities.
    """

    def __init__(
        self,
        base_url: str,
        *,
        pool_size: int,
        bounds: Bounds | None = None,
        ca_file: Path | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._pool_size = pool_size
        self._bounds = bounds or Bounds()
        self._ca_file = ca_file
        self._now = now
        self.resolver = RESOLVER
        self._session: tuple[int, requests.Session] | None = None

    def send(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        within_s: float = math.inf,
    ) -> HTTPAnswer:
        """Return the answer to one request, or raise `HTTPFailureError`.

        *path* is appended to the base URL as it is: what a stranger chose must
        not get into it before it is proven to be harmless. *within_s* shortens the
        client's own time-outs.
        """
        bounds = self._bounds
        with exchange_within(min(bounds.total_s, within_s), self.resolver) as exchange:
            try:
                request = self._prepared(method, path, body, headers)
                # Not by way of Session.send: it is there for redirects, cookies and proxies.
                adapter = self._session_of_process().get_adapter(self._base_url)
                with adapter.send(request, timeout=(bounds.connect_s, bounds.read_s)) as response:
                    return self._whole(response)
            except (OSError, ValueError) as error:
                # Their texts quote URLs and addresses.
                raise HTTPFailureError(_word_for(error), is_sent=exchange.is_sent) from None
            except HTTPFailureError as failure:
                failure.is_sent = exchange.is_sent
                raise

    def _session_of_process(self) -> requests.Session:
        """Return this process's Session: sockets must not be shared across a fork."""
        pid = os.getpid()
        if self._session is None or self._session[0] != pid:
            self._session = (pid, self._new_session())
        return self._session[1]

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        adapter = DeadlineAdapter(
            self._base_url, kept=self._pool_size, headers=_HEADERS, ca_file=self._ca_file
        )
        session.mount(self._base_url, adapter)
        return session

    def _prepared(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> requests.PreparedRequest:
        """Return the request as the adapter takes it: there is nothing that requests could add."""
        prepared = requests.PreparedRequest()
        prepared.method, prepared.url, prepared.body = method, self._base_url + path, body
        prepared.headers = requests.structures.CaseInsensitiveDict(headers)
        return prepared

    def _whole(self, response: requests.Response) -> HTTPAnswer:
        if response.status_code < 200:  # noqa: PLR2004 (the answer itself is still to come)
            raise HTTPFailureError("answer_not_final")
        body = response.raw.read(self._bounds.answer_bytes)
        if len(body) > self._bounds.answer_bytes:
            raise HTTPFailureError("answer_too_large")
        # By their names in lower case: what is asked for here is missing more often than not,
        # and requests' own mapping finds that out by an error.
        headers = dict(response.headers.lower_items())
        media_type = headers.get("content-type", "").partition(";")[0]
        return HTTPAnswer(
            status=response.status_code,
            body=body,
            is_json=media_type.strip().lower() == "application/json",
            retry_after_s=retry_after_s(response.status_code, headers, self._now()),
            rate=rate_headers(headers),
            cache_control=headers.get("cache-control", ""),
        )


def _word_for(error: Exception) -> str:
    if isinstance(error, requests.ConnectTimeout):
        return "connect_timeout"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, requests.exceptions.SSLError | ssl.SSLError):
        return "tls_failed"
    if isinstance(error, NameNotResolvedError):
        return "name_not_resolved"
    return "connection_failed"


def retry_after_s(status: int, headers: Mapping[str, str], now: float) -> float | None:
    """Return how long to wait (RFC 9110, section 10.2.3), or None where nothing sane is said.

    *headers* have names in lower case. Reads Retry-After as seconds or as a date, and
    where we were too many then the time stamps of the rate limit headers.
    """
    if status not in ASKS_PATIENCE:
        return None
    resets = _RESET_HEADERS if status == TOO_MANY else ()
    candidates = [_delay(headers.get("retry-after", ""), now)]
    candidates += [_until(headers.get(name, ""), now) for name in resets]
    return next((min(delay, MAX_RETRY_AFTER_S) for delay in candidates if delay), None)


def _delay(text: str, now: float) -> float | None:
    if text.isascii() and text.isdigit():
        return _positive(float(text[:9]))
    try:
        return _positive(parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _until(text: str, now: float) -> float | None:
    return _positive(float(text[:12]) - now) if text.isascii() and text.isdigit() else None


def _positive(delay: float) -> float | None:
    return delay if delay > 0 else None
