"""The audit log's lines beside the requests."""

import io
import json

from tokensvc.adapters.audit_log import AuditLog
from tokensvc.domain.audit import OperationalEvent

EVENT = OperationalEvent("breaker_opened", {"after": 5, "reason": "timeout"}, is_alarm=True)


def test_operational_event_is_one_line() -> None:
    """What happens beside the requests stands between their lines, in the same form."""
    stream = io.StringIO()

    AuditLog(stream).note(EVENT)

    (line,) = map(json.loads, stream.getvalue().splitlines())
    assert line.pop("time").endswith("Z")
    assert line == {"event": "breaker_opened", "after": 5, "reason": "timeout", "alarm": True}


def test_operational_event_is_masked() -> None:
    """A loaded secret does not get through here either."""
    stream = io.StringIO()

    AuditLog(stream, secrets=["canary"]).note(OperationalEvent("odd", {"fact": "a canary"}))

    assert "canary" not in stream.getvalue()
    assert "[masked]" in stream.getvalue()


def test_stream_that_is_closed_breaks_nothing() -> None:
    """Whoever tells of an event goes on without a log."""
    stream = io.StringIO()
    stream.close()

    AuditLog(stream).note(EVENT)
