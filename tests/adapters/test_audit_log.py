"""The audit log's lines beside the requests."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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


def test_lines_of_many_threads_stay_whole(tmp_path: Path) -> None:
    """However many write at once, each line is one line."""
    with (tmp_path / "log").open("w") as stream, ThreadPoolExecutor(16) as pool:
        log = AuditLog(stream)
        list(pool.map(lambda _: log.note(EVENT), range(2000)))

    lines = (tmp_path / "log").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["breaker_opened"] * 2000


def test_new_secrets_are_masked_beside_the_old() -> None:
    """What is told later is masked from then on."""
    stream = io.StringIO()
    log = AuditLog(stream, secrets=["canary-1"])

    log.mask(["canary-2"])
    log.note(OperationalEvent("odd", {"fact": "canary-1 and canary-2"}))

    assert json.loads(stream.getvalue())["fact"] == "[masked] and [masked]"
