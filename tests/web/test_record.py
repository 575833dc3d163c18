"""Records: one line per request, with what an auditor asks for and no secret."""

import re
from typing import Any

import pytest

from tests.builders import (
    API_KEY,
    ISSUER,
    OTHER_SECRET,
    Service,
    a_service_with,
    a_token,
    bearer,
)
from tests.fakes import FakeDirectory
from tokensvc.domain.audit import RequestRecord


def a_plain_service() -> Service:
    return a_service_with(FakeDirectory())


def test_login_leaves_one_line() -> None:
    """A login is one line that names the user, the issuer and how the token was signed."""
    service = a_plain_service()

    service.login(
        a_token(jti="j-1", header={"kid": "k-1"}),
        headers={"User-Agent": "app/1.0", "X-Request-Id": "req-1"},
    )

    (line,) = service.records()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line["time"])
    assert {
        name: line[name] for name in line if name not in {"time", "duration_s", "vendor_s"}
    } == {
        "event": "request",
        "request_id": "req-1",
        "method": "POST",
        "route": "/v1/auth-tokens",
        "status": 201,
        "outcome": "ok",
        "issuer": ISSUER,
        "uid": "alice",
        "alg": "HS256",
        "kid": "k-1",
        "jti": "j-1",
        "token_fingerprint": line["token_fingerprint"],
        "user_created": True,
        "client_address": "127.0.0.1",
        "user_agent": "app/1.0",
        "vendor_calls": 0,
    }
    assert re.fullmatch(r"[0-9a-f]{16}", line["token_fingerprint"])


def test_refused_login_leaves_the_reason() -> None:
    """The reason of a refusal is in the record, and there alone."""
    service = a_plain_service()

    answer = service.login(a_token(key=OTHER_SECRET, header={"kid": "k-9"}))

    (line,) = service.records()
    assert (line["outcome"], line["reason"]) == ("session_invalid", "signature_invalid")
    assert (line["alg"], line["kid"], line["issuer"]) == ("HS256", "k-9", ISSUER)
    assert "uid" not in line
    assert "signature" not in answer.text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"exp": 1}, "exp_past"),
        ({"aud": "other"}, "aud_not_ours"),
        ({"sub": "Not A Uid"}, "subject_illegal"),
    ],
)
def test_a_proven_token_that_is_refused_says_whose_it_is(
    change: dict[str, Any], reason: str
) -> None:
    """Or nobody could help a user whose id is no uid. One that is not proven says nothing."""
    service = a_plain_service()
    service.login(a_token(jti="j-1", **change))
    service.login(a_token(jti="j-1", key=OTHER_SECRET, **change))

    proven, forged = service.records()

    assert (proven["reason"], proven["jti"]) == (reason, "j-1")
    assert (proven["subject"], "uid" in proven) == (change.get("sub", "alice"), False)
    assert {"subject", "jti"}.isdisjoint(forged)


def test_unknown_issuer_is_shown_as_claimed() -> None:
    """Whoever sets the service up sees the slash that their iss has too many."""
    service = a_plain_service()

    service.login(a_token(iss=f"{ISSUER}/"))
    service.login(a_token(iss="x" * 5000))
    service.login(a_token(iss=None))

    slash, long, none = service.records()
    assert (slash["reason"], slash["unverified_issuer"]) == ("iss_unknown", f"{ISSUER}/")
    assert "issuer" not in slash
    assert long["unverified_issuer"] == "x" * 509 + "..."
    assert "unverified_issuer" not in none


def test_illegal_subject_leaves_its_issuer() -> None:
    """The operator sees whose users cannot log in."""
    service = a_plain_service()

    service.login(a_token(sub="Alice"))

    (line,) = service.records()
    assert (line["outcome"], line["reason"]) == ("uid_not_allowed", "subject_illegal")
    assert line["issuer"] == ISSUER


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/version", "/nothing", "/v1/auth-tokens"])
def test_every_request_leaves_one_line(path: str) -> None:
    """Probes and mistakes are recorded too."""
    service = a_plain_service()

    service.client.get(path)

    assert len(service.records()) == 1


def test_path_is_not_recorded() -> None:
    """A path that is no route may hold anything, a token too: it is left out."""
    service = a_plain_service()

    service.client.get("/oops/canary-in-path?q=canary-in-query")

    assert "canary" not in service.log.getvalue()


@pytest.mark.parametrize("proposed", ["a", "0b5f1c9e-7a3d-4246-8ace-13579bdf0246", "A_" * 32])
def test_sane_request_id_is_taken_and_echoed(proposed: str) -> None:
    """A caller's own id connects its log with ours."""
    service = a_plain_service()

    answer = service.client.get("/livez", headers={"X-Request-Id": proposed})

    assert answer.headers["X-Request-Id"] == service.records()[0]["request_id"] == proposed


@pytest.mark.parametrize("proposed", ["", "a b", "a\tb", "x" * 65, "a.b.c", "<script>", "é"])
def test_insane_request_id_is_replaced(proposed: str) -> None:
    """Anything else gets an id of ours."""
    service = a_plain_service()

    answer = service.client.get("/livez", headers={"X-Request-Id": proposed})

    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-Id"])


@pytest.mark.parametrize(("method", "path"), [("GET", "/livez"), ("POST", "/v1/auth-tokens")])
def test_headers_of_each_answer_come_once(method: str, path: str) -> None:
    """A second one of the same name would be read in two ways."""
    answer = a_plain_service().client.open(path, method=method)

    assert len(answer.headers.getlist("X-Request-Id")) == 1
    assert answer.headers.getlist("X-Content-Type-Options") == ["nosniff"]


def test_user_agent_is_cut() -> None:
    """Nobody fills the disk with a header."""
    service = a_plain_service()

    service.client.get("/livez", headers={"User-Agent": "x" * 5000})

    assert len(service.records()[0]["user_agent"]) == 512


@pytest.mark.parametrize("before", range(150, 520, 30))
def test_no_half_a_secret_is_shown(before: int) -> None:
    """Wherever the log cuts a text, what was secret in it has been masked before."""
    service = a_plain_service()

    service.client.get("/livez", headers={"User-Agent": f"{'x' * before} {API_KEY}"})

    assert API_KEY[:8] not in service.log.getvalue()


def test_tokens_in_odd_places_are_masked() -> None:
    """A token that a client puts into its User-Agent or kid does not reach the log."""
    service = a_plain_service()
    session_token = a_token(header={"kid": "eyJhbGciOiJIUzI1NiJ9"})

    service.login(session_token, headers={"User-Agent": f"app {session_token[:150]}"})

    assert "eyJ" not in service.log.getvalue()
    assert service.records()[0]["kid"] == "[masked]"


def test_dropped_claims_are_named() -> None:
    """The operator sees that a picture was left out."""
    service = a_plain_service()

    service.login(a_token(picture="not a url"))

    assert service.records()[0]["dropped_claims"] == ["avatar"]


def test_line_breaks_cannot_forge_a_line() -> None:
    """Whatever a client sends, one request is one line."""
    service = a_plain_service()

    service.login(a_token(jti='x\n{"event": "request"}'))

    assert len(service.log.getvalue().splitlines()) == 1


def test_observer_that_raises_breaks_nothing() -> None:
    """A log that cannot be written does not cost a login."""
    service = a_plain_service()
    service.log.close()

    assert service.client.post("/v1/auth-tokens", headers=bearer(a_token())).status_code == 201


def test_server_timing_is_off() -> None:
    """How long CometChat took is not every client's business."""
    assert "Server-Timing" not in a_plain_service().login().headers


def test_server_timing_can_be_asked_for() -> None:
    """With server_timing the answer says how long each step took."""
    service = a_service_with(FakeDirectory(), http={"server_timing": True})

    assert re.fullmatch(
        r'verify;dur=[\d.]+;desc="ok", total;dur=[\d.]+;desc="ok"',
        service.login().headers["Server-Timing"],
    )


def test_record_shows_no_secret() -> None:
    """A record can be printed: it holds none."""
    assert "authToken" not in repr(RequestRecord("r", 0.0, "GET"))
