"""Shedding: logins that cannot be served in time are refused before they cost anything."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from types import MappingProxyType
from typing import Final
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from tokensvc.domain.audit import Notify, OperationalEvent, RequestRecord
from tokensvc.domain.errors import OVER_IN_S, OverloadedError
from tokensvc.web.problems import headers_of, problem_of, status_of
from tokensvc.web.record import request_id_of

ROUTE: Final = "/v1/auth-tokens"
USUAL_PER_S: Final = 20
"""Logins without room that still go the usual way, where each has its line in the log."""
TOLD_EVERY_S: Final = 1.0
_PLACE: Final = "(request-id)"

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Crowd:
    """Whether there is a chance for one more login."""

    has_room: Callable[[int], bool]
    """Whether it may come in beside so many who are inside, as fast as things go just now."""
    is_hopeless: Callable[[], bool]
    """Whether it would not even be asked for: there is no place, or CometChat is down."""
    note_refusal: Callable[[], None]
    """Is told of each that is not let in, or only to have its line in the log."""


class Shedding:
    """A WSGI application around another one, which gets the logins that there is room for.

    With twice as many as can be served, to refuse one in the usual way costs half as
    much as to serve it, and takes as long: then nobody is served in time. Here it is
    a few lines of code, no line in the log, and one event a second that counts them
    (`logins_shed`). The first few of each second go the usual way. *of_origins* are the
    CORS headers for the pages that may read an answer.
    """

    def __init__(  # noqa: PLR0913 (what it asks, answers, tells and counts)
        self,
        application: WSGIApplication,
        crowd: Crowd,
        *,
        add: Callable[[RequestRecord, int], None] | None = None,
        of_origins: Mapping[str, Headers] = MappingProxyType({}),
        notify: Notify,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._application = application
        self._crowd = crowd
        self._add = add
        self._of_origins = of_origins
        self._notify = notify
        self._clock = clock
        self._lock = threading.Lock()
        self._inside = 0
        self._shed = 0
        self._usual = 0
        self._told_at = clock()
        error = OverloadedError("logins_shed")
        self._record = RequestRecord("", 0.0, "POST", ROUTE)
        # Not the answer's code: more logins than there is room for are no failure of CometChat's.
        self._record.outcome = error.reason
        self._record.status = status_of(type(error))
        self._answers = [_answer_to(error, seconds) for seconds in OVER_IN_S]
        self._numbers = count()
        self._name = f"shed-{uuid.uuid4().hex[:8]}"

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self._usual:
            self._tell()
        # The routes do not mind more than one slash at the beginning.
        if not environ["PATH_INFO"].endswith(ROUTE) or environ["REQUEST_METHOD"] != "POST":
            return self._application(environ, start_response)
        with self._lock:
            is_let_in = self._is_let_in()
            self._inside += is_let_in
            self._shed += not is_let_in
        if not is_let_in:
            return self._refuse(environ, start_response)
        try:
            return self._application(environ, start_response)
        finally:
            with self._lock:
                self._inside -= 1

    def _is_let_in(self) -> bool:
        if self._crowd.has_room(self._inside) and not self._crowd.is_hopeless():
            return True
        self._crowd.note_refusal()
        if self._usual >= USUAL_PER_S:
            return False
        self._usual += 1
        return True

    def _refuse(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # No line has this id; a number is what costs least.
        number = next(self._numbers)
        proposed = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = request_id_of(proposed) if proposed else f"{self._name}-{number:x}"
        text, headers = self._answers[number % len(self._answers)]
        body = request_id.join(text).encode("ascii")
        start_response(
            f"{self._record.status} SERVICE UNAVAILABLE",
            [
                ("X-Request-Id", request_id),
                ("Content-Length", str(len(body))),
                *headers,
                *self._of_origins.get(environ.get("HTTP_ORIGIN", ""), ()),
            ],
        )
        return [body]

    def _tell(self) -> None:
        """Begin a new second, if one is over, and tell how many were refused in it."""
        with self._lock:
            now = self._clock()
            if now - self._told_at < TOLD_EVERY_S:
                return
            shed, self._shed, self._usual, self._told_at = self._shed, 0, 0, now
        if shed:
            self._notify(OperationalEvent("logins_shed", {"count": shed}, is_alarm=True))
            if self._add:
                self._add(self._record, shed)


def _answer_to(error: OverloadedError, retry_after_s: int) -> tuple[Sequence[str], Headers]:
    """Return the body of an answer, which the request's id is to join, and its headers."""
    document = {**problem_of(error, _PLACE), "retryAfter": retry_after_s}
    headers = headers_of(document).items()
    return json.dumps(document).split(_PLACE), [("X-Content-Type-Options", "nosniff"), *headers]
