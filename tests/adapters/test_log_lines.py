"""Log lines: whatever is in them they are JSON, and short enough for a pipe to take whole."""

import io
import json
import select
from typing import Any, Final

import pytest

from tests.builders import NOW, a_service, bearer
from tests.security.forging import b64
from tokensvc.adapters.audit_log import AuditLog
from tokensvc.adapters.log_lines import CUT, MAX_LINE_BYTES, MAX_STRANGER_BYTES, rendered
from tokensvc.domain.audit import OperationalEvent, RequestRecord

GREEDY: Final = ("\U0001f600", '"', "\\", "\x00", "\ud800", "a", "\n")
"""Characters of which one takes up to twelve bytes in JSON."""


def logged(record: RequestRecord, *secrets: str) -> str:
    stream = io.StringIO()
    AuditLog(stream, secrets=secrets)(record)
    return stream.getvalue()


def a_record(**facts: Any) -> RequestRecord:
    record = RequestRecord(request_id="r", started_at=NOW, method="POST")
    for name, value in facts.items():
        setattr(record, name, value)
    return record


def test_bound_is_what_a_pipe_takes_whole() -> None:
    """POSIX lets no other writer into the middle of as many bytes."""
    assert MAX_LINE_BYTES <= select.PIPE_BUF


@pytest.mark.parametrize("character", GREEDY)
def test_line_of_greedy_texts_fits(character: str) -> None:
    """With everything at its longest, and escaped at its worst, the line is JSON and fits."""
    names = (*MAX_STRANGER_BYTES, "issuer", "reason", "route", "client_address")
    record = a_record(
        **dict.fromkeys(names, character * 1000), dropped_claims=(character * 200,) * 100
    )

    line = logged(record)

    assert len(line.encode()) <= MAX_LINE_BYTES
    assert json.loads(line)["request_id"] == "r"


@pytest.mark.parametrize("character", GREEDY)
@pytest.mark.parametrize("name", MAX_STRANGER_BYTES)
def test_text_that_a_caller_chooses_is_cut(name: str, character: str) -> None:
    """After it is escaped it takes no more than its part, and says that it was cut."""
    line = rendered({name: character * 1000, "reason": "r" * 1000})

    value = json.loads(line)[name]
    assert len(json.dumps(value)) - 2 <= MAX_STRANGER_BYTES[name]
    assert value == character * (len(value) - len(CUT)) + CUT
    assert len(json.dumps(value + character)) - 2 > MAX_STRANGER_BYTES[name] - 12
    assert json.loads(line)["reason"] == "r" * 1000


def test_what_fits_is_left_alone() -> None:
    """The longest key id of an honest issuer stands in the line as it is."""
    kid = "k" * 256

    line = json.loads(logged(a_record(kid=kid, user_agent="app/1 (é)")))

    assert (line["kid"], line["user_agent"]) == (kid, "app/1 (é)")


def test_events_fit_too() -> None:
    """What happens beside the requests is told in a line of the same size."""
    stream = io.StringIO()

    AuditLog(stream).note(OperationalEvent("odd", {"reason": "\x00" * 5000}))

    assert len(stream.getvalue()) <= MAX_LINE_BYTES
    assert json.loads(stream.getvalue())["event"] == "odd"


def test_secret_on_the_edge_of_the_cut_is_masked_whole() -> None:
    """No beginning of a secret is left over where a text ends."""
    secret = "Zk3vQ8pLr2Xw7Nt5Yc9Hb4Md6Gf1Js0A"
    for offset in range(480, 513):
        line = logged(a_record(user_agent="u" * offset + secret), secret)

        assert secret[:4] not in line


@pytest.mark.parametrize(
    "text",
    [
        "\xe9" + ".".join(["A" * 20] * 3),
        "\xe9yJhbGciOi",
        "\n" + "abcdefgh_" + "1" * 40,
        "Bearer \x01x",
    ],
)
def test_mask_does_not_break_the_line(text: str) -> None:
    """A secret that begins in the middle of what would be an escape is no exception."""
    line = logged(a_record(user_agent=text), "nabcdefgh_")

    assert json.loads(line)["event"] == "request"


def test_hostile_token_makes_a_line_that_fits() -> None:
    """From the door to the log: the worst that an unauthenticated caller can have written."""
    service = a_service()
    parts = ({"alg": '"' * 256, "kid": '"' * 256}, {"iss": "\U0001f600" * 200})
    token = ".".join([*(b64(json.dumps(part).encode()) for part in parts), "AAAA"])

    service.client.post(
        "/v1/auth-tokens",
        headers={**bearer(token), "User-Agent": '"' * 200, "X-Request-Id": "a" * 64},
    )

    (line,) = service.log.getvalue().splitlines()
    assert len(line) < MAX_LINE_BYTES
    assert json.loads(line)["unverified_issuer"].endswith(CUT)
