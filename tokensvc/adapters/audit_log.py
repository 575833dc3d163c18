"""The audit log: each request's record, and each operational event, as one JSON line."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol

import structlog
from structlog.typing import EventDict, WrappedLogger

from tokensvc.adapters.log_lines import rendered
from tokensvc.adapters.masking import Mask
from tokensvc.domain.audit import OperationalEvent, RequestRecord


class LineStream(Protocol):
    """Where lines go: a file, or a queue in front of one."""

    def write(self, line: str, /) -> object:
        """Take one whole line."""

    def flush(self) -> None:
        """Let nothing of it wait."""


class AuditLog:
    """Writes records to *stream*. Nothing that looks like a secret gets through.

    Records hold none in the first place; *secrets* and the shapes of tokens are
    masked because callers choose some of the texts in them (User-Agent, kid).
    """

    def __init__(self, stream: LineStream, *, secrets: Iterable[str] = ()) -> None:
        self._secrets: dict[str, None] = {}
        self.mask(secrets)
        self._log = structlog.wrap_logger(
            _LineLogger(stream),
            processors=[
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
                _time_first,
                self._without_secrets,
                _as_line,
            ],
            wrapper_class=structlog.BoundLogger,
        ).bind()  # once: what is not bound yet is put together anew for each line

    def mask(self, secrets: Iterable[str]) -> None:
        """Let *secrets* through no more; those from before stay masked."""
        self._secrets.update(dict.fromkeys(filter(None, secrets)))
        self._mask = Mask(self._secrets)

    def __call__(self, record: RequestRecord) -> None:
        """Write down *record*; absent facts are left out of the line."""
        facts = {name: value for name, value in _facts(record).items() if value is not None}
        self._log.msg("request", **facts)

    def note(self, event: OperationalEvent) -> None:
        """Write down *event*; a stream that cannot be written to must not break what told of it."""
        with suppress(OSError, ValueError):
            self._log.msg(event.name, **event.facts, alarm=event.is_alarm)

    def _without_secrets(self, _logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        # Before anything is escaped or cut: a mask over half an escape would break the line's
        # JSON, and half a secret is known by no pattern.
        return self._mask.over(line)


class _LineLogger:
    """Writes each line in one piece: two processes may share the pipe behind it.

    Without a lock: a process that is forked while another thread holds one would
    never write a line.
    """

    def __init__(self, stream: LineStream) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


def _time_first(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Order the line as people read it."""
    return {"time": line.pop("time"), "event": line.pop("event"), **line}


def _as_line(_logger: WrappedLogger, _method: str, line: EventDict) -> str:
    return rendered(line)


def _facts(record: RequestRecord) -> dict[str, object]:
    return {
        "request_id": record.request_id,
        "method": record.method,
        "route": record.route,
        "status": record.status,
        "outcome": record.outcome,
        "reason": record.reason,
        "issuer": record.issuer,
        "unverified_issuer": record.unverified_issuer,
        "uid": record.uid,
        "subject": record.subject,
        "alg": record.alg,
        "kid": record.kid,
        "jti": record.jti,
        "dropped_claims": list(record.dropped_claims) or None,
        "token_fingerprint": record.token_fingerprint,
        "user_created": record.user_created,
        "webhook_source": record.webhook_source,
        "events_stored": record.events_stored,
        "events_ignored": record.events_ignored,
        "client_address": record.client_address,
        "user_agent": record.user_agent,
        "vendor_calls": len(record.vendor_calls),
        "orphaned_tokens": record.orphaned_tokens or None,
        "vendor_s": round(record.vendor_s, 6),
        "duration_s": round(record.duration_s, 6),
    }
