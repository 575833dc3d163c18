"""Opens a record for each request, closes it, and shows it to the observers."""

import logging
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from flask import Flask, Response, g, has_request_context, request

from tokensvc.domain.audit import Observer, RequestRecord, VendorCall
from tokensvc.web.client_address import Network, client_address

_LOG: Final = logging.getLogger("tokensvc")

MAX_USER_AGENT_CHARS: Final = 2048
"""So many are looked through for secrets; the log has room for a quarter. Cut to what it shows,
half a secret at the end would be known to nobody, and shown."""
_SANE_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Room for a UUID, a ULID or a trace id; a JWT does not fit in, because of its dots."""


@dataclass(frozen=True, slots=True)
class Recording:
    """How requests are recorded: who reads the records, and what is believed of a proxy."""

    observers: Sequence[Observer] = ()
    trusted_proxies: Sequence[Network] = ()
    server_timing: bool = False
    now: Callable[[], float] = time.time


def keep_records(app: Flask, recording: Recording) -> None:
    """Give each request to *app* one record, opened before anything else happens."""

    @app.before_request
    def open_record() -> None:
        g.started = time.perf_counter()
        # From where Flask would read them too: each look at its request costs three calls.
        environ, rule = request.environ, request.url_rule
        g.record = RequestRecord(
            request_id=request_id_of(environ.get("HTTP_X_REQUEST_ID", "")),
            started_at=recording.now(),
            method=environ["REQUEST_METHOD"].upper()[:16],
            route=rule.rule if rule else None,
            client_address=client_address(
                environ.get("REMOTE_ADDR"),
                environ.get("HTTP_X_FORWARDED_FOR", ""),
                trusted_proxies=recording.trusted_proxies,
            ),
            user_agent=environ.get("HTTP_USER_AGENT", "")[:MAX_USER_AGENT_CHARS] or None,
        )

    @app.after_request
    def close_record(response: Response) -> Response:
        record = current_record()
        record.status = response.status_code
        record.duration_s = time.perf_counter() - g.started
        # Nobody else writes these: to look for them among the others takes longer.
        response.headers.add("X-Request-Id", record.request_id)
        response.headers.add("X-Content-Type-Options", "nosniff")
        if recording.server_timing:
            response.headers.add("Server-Timing", _server_timing(record))
        for observe in recording.observers:
            _show(record, observe)
        return response


def current_record() -> RequestRecord:
    """Return the record of the request that is being answered."""
    record: RequestRecord = g.record
    return record


def note_vendor_call(call: VendorCall) -> None:
    """Add *call* to the current record; outside of a request there is none."""
    if has_request_context():
        current_record().vendor_calls.append(call)


def request_id_of(proposed: str) -> str:
    """Return the caller's own id of the request if it is a sane one, or else a new one."""
    return proposed if _SANE_ID.fullmatch(proposed) else secrets.token_hex(16)


def _show(record: RequestRecord, observe: Observer) -> None:
    """Let one observer read *record*: a log that cannot be written must not cost a login."""
    try:
        observe(record)
    except Exception as error:  # noqa: BLE001 (whatever went wrong in it, the answer is ready)
        _LOG.error("observer_failed: %s", type(error).__name__)


def _server_timing(record: RequestRecord) -> str:
    """Return how long each step took (W3C Server Timing), for the demo page."""
    steps = [(call.operation, call.outcome, call.duration_s) for call in record.vendor_calls]
    if record.verify_s is not None:
        steps.insert(0, ("verify", "ok", record.verify_s))
    steps.append(("total", record.outcome, record.duration_s))
    return ", ".join(
        f'{name};dur={duration_s * 1000:.3f};desc="{outcome}"'
        for name, outcome, duration_s in steps
    )
