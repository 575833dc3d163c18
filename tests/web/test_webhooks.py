"""The door for webhooks: what is acknowledged, what is refused, and what is never lost."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.builders import ISSUER, NOW, a_sessions_table, a_token, an_environment
from tests.web.signing import SOURCES, WHPK, a_secret, a_whsec
from tests.web.webhook_service import NEVER_MET, WebhookService, service_of_all, webhook_service
from tokensvc.services import assemble
from tokensvc.settings_loading import ConfigurationError, load_settings
from tokensvc.web.body_places import OF_ONE_STRANGER
from tokensvc.web.webhooks import MAX_BODY_BYTES

PROXY = {"trusted_proxies": ["127.0.0.0/8"]}
BODY = {"type": "user.created", "timestamp": NOW, "data": {"id": "alice", "name": "Alice"}}


@pytest.fixture
def service(tmp_path: Path) -> WebhookService:
    return service_of_all(tmp_path)


def a_standard_service(**overrides: Any) -> WebhookService:
    return webhook_service(SOURCES["standard"].table(""), **overrides)


def as_environ(headers: Mapping[str, str]) -> dict[str, str]:
    """Return *headers* as a WSGI server hands them over."""
    return {f"HTTP_{name.upper().replace('-', '_')}": text for name, text in headers.items()}


def from_address(service: WebhookService, address: str, *, secret: str) -> int:
    """Deliver from *address* and return the status."""
    body, headers = SOURCES["standard"].deliver(json.dumps(BODY).encode(), secret=secret)
    return int(service.post("standard", body, {**headers, "x-forwarded-for": address}).status_code)


def test_delivery_is_acknowledged(service: WebhookService) -> None:
    """What is stored is answered 202, with how much it was, and kept by no cache."""
    answer = service.deliver("standard", BODY)

    assert (answer.status_code, answer.get_json()) == (202, {"stored": 1, "ignored": 0})
    assert answer.headers["Cache-Control"] == "no-store"
    assert [event.uid for event in service.events()] == ["alice"]


def test_delivery_leaves_one_line(service: WebhookService) -> None:
    """The record names source and user, and counts the events."""
    service.deliver("standard", BODY)

    (line,) = service.lines()
    assert (line["route"], line["status"], line["outcome"]) == (
        "/v1/webhooks/<source>",
        202,
        "ok",
    )
    assert (line["webhook_source"], line["uid"]) == ("standard", "alice")
    assert (line["events_stored"], line["events_ignored"]) == (1, 0)


def test_refusal_leaves_its_reason_in_the_record_alone(service: WebhookService) -> None:
    """A refused delivery is told nothing; the operator is."""
    answer = service.deliver("standard", BODY, secret=a_whsec("other"))

    line = service.last_line()
    assert (answer.status_code, answer.get_json()["action"]) == (401, "stop")
    assert (line["outcome"], line["reason"]) == ("delivery_refused", "signature_invalid")
    assert (line["webhook_source"], "uid" in line) == ("standard", False)
    assert "signature" not in answer.text


@pytest.mark.parametrize("name", list(SOURCES))
def test_nothing_is_acknowledged_that_cannot_be_stored(name: str, service: WebhookService) -> None:
    """While the inbox is down the answer is 503 with a time, whoever sends; then it is taken."""
    bodies = {
        "stytch": {"action": "DELETE", "id": "u", "object_type": "user"},
        "supabase-auth": {"metadata": {"name": "after-user-created"}, "user": {"id": "u"}},
        "workos": {"event": "user.deleted", "data": {"id": "u"}},
        "logto": {"event": "User.Deleted", "data": {"id": "u"}},
        "keycloak": {"type": "admin.USER-DELETE", "resourcePath": "users/u"},
        "fusionauth": {"event": {"type": "user.delete", "user": {"id": "u"}}},
        "kinde": {"type": "user.deleted", "data": {"user": {"id": "u"}}},
        "auth0": {"type": "user.deleted", "data": {"object": {"user_id": "u"}}},
        "supabase-db": {
            "type": "DELETE",
            "schema": "auth",
            "table": "users",
            "old_record": {"id": "u"},
        },
        "okta": {
            "data": {
                "events": [
                    {"eventType": "user.lifecycle.delete", "target": [{"type": "User", "id": "u"}]}
                ]
            }
        },
    }
    body = bodies.get(SOURCES[name].sender, {"type": "user.deleted", "data": {"id": "u"}})
    service.inbox.is_down = True
    refused = service.deliver(name, body)
    service.inbox.is_down = False

    taken = service.deliver(name, body)

    assert (refused.status_code, refused.get_json()["code"]) == (503, "storage_unavailable")
    assert int(refused.headers["Retry-After"]) == refused.get_json()["retryAfter"] == 5
    assert (taken.status_code // 100, taken.get_json()["stored"]) == (2, 1)


def test_what_is_of_no_use_needs_no_inbox(service: WebhookService) -> None:
    """There is nothing to lose in an event of another kind, so that nobody need send it again."""
    service.inbox.is_down = True

    answer = service.deliver("standard", {"type": "invoice.paid"})

    assert answer.status_code == 202


def test_same_id_with_another_body_is_an_alarm(service: WebhookService) -> None:
    """One of the two is forged or broken: 409, and a person is told."""
    service.deliver("standard", BODY)

    answer = service.deliver("standard", {**BODY, "data": {"id": "bob"}})

    alarm, line = service.lines()[1:]
    assert (answer.status_code, answer.get_json()["code"]) == (409, "delivery_conflict")
    assert (alarm["event"], alarm["alarm"], alarm["source"]) == (
        "delivery_conflict",
        True,
        "standard",
    )
    assert line["outcome"] == "delivery_conflict"
    assert [event.uid for event in service.events()] == ["alice"]


def test_one_id_twice_in_a_batch(service: WebhookService) -> None:
    """The inbox has room for one event of an id: the first one counts, and the batch is taken."""
    events = [
        {
            "uuid": "e-1",
            "eventType": "user.lifecycle.suspend",
            "target": [{"type": "User", "id": uid}],
        }
        for uid in ("alice", "bob")
    ]

    answer = service.deliver("okta", {"data": {"events": events}})

    assert (answer.status_code, answer.get_json()["stored"]) == (202, 1)
    assert [event.uid for event in service.events()] == ["alice"]


def test_ids_are_the_sources_own(service: WebhookService) -> None:
    """Two sources may use the same id for different things."""
    service.deliver("standard", BODY, message_id="m")

    answer = service.deliver("standard-ed25519", {**BODY, "x": 1}, message_id="m")

    assert answer.get_json()["stored"] == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "payload_malformed"),
        (b"[]", "payload_malformed"),
        (b"{", "payload_malformed"),
        (b'\xef\xbb\xbf{"type":"user.deleted"}', "payload_malformed"),
        (b'{"type":"user.deleted","type":"user.created","data":{"id":"a"}}', "payload_malformed"),
        (b'{"type":7}', "type_malformed"),
        (b'{"type":"user.deleted"}', "data_malformed"),
        (b'{"type":"user.deleted","data":[]}', "data_malformed"),
        (b'{"type":"user.deleted","data":{}}', "uid_claim_malformed"),
        (b'{"type":"user.deleted","data":{"id":""}}', "uid_claim_malformed"),
        (b'{"type":"user.deleted","data":{"id":true}}', "uid_claim_malformed"),
        (b'{"type":"user.deleted","data":{"id":1.5}}', "uid_claim_malformed"),
        (b'{"type":"user.deleted","data":{"id":"Alice"}}', "subject_illegal"),
        (b'{"type":"user.deleted","data":{"id":"a/../b"}}', "subject_illegal"),
    ],
)
def test_signed_nonsense_is_acknowledged_and_told(
    body: bytes, reason: str, service: WebhookService
) -> None:
    """It will not get better by being sent again, and a 4xx would disable the endpoint."""
    answer = service.deliver("standard", body)

    event = service.lines()[0]
    assert (answer.status_code, answer.get_json()) == (202, {"stored": 0, "ignored": 1})
    assert (event["event"], event["reason"]) == ("event_not_understood", reason)
    assert service.events() == []


def test_event_of_no_use_is_counted(service: WebhookService) -> None:
    """A kind of event that says nothing of users is acknowledged; the log counts it."""
    answer = service.deliver("standard", {"type": "invoice.paid"})

    event = service.lines()[0]
    assert answer.get_json() == {"stored": 0, "ignored": 1}
    assert (event["event"], event["source"], event["count"]) == ("event_ignored", "standard", 1)


def test_claims_that_do_not_fit_are_named(service: WebhookService) -> None:
    """What CometChat would refuse is left out of the profile, and in the record."""
    service.deliver("standard", {**BODY, "data": {"id": "alice", "picture": "javascript:1"}})

    assert service.last_line()["dropped_claims"] == ["avatar"]
    (event,) = service.events()
    assert event.profile is not None
    assert event.profile.avatar is None


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("source", ["nobody", "Standard", "standard%00", "x" * 1000, ".."])
def test_unknown_source(source: str, method: str, service: WebhookService) -> None:
    """A name that is not configured is nothing."""
    answer = service.client.open(f"/v1/webhooks/{source}", method=method)

    assert (answer.status_code, answer.get_json()["code"]) == (404, "not_found")
    assert source not in service.log.getvalue()


def test_bodies_have_a_size(service: WebhookService) -> None:
    """256 KB are taken, and not a byte more, declared or not."""
    fits = json.dumps({**BODY, "pad": ""}).encode()
    fits = fits.replace(b'"pad": ""', b'"pad": "' + b"x" * (MAX_BODY_BYTES - len(fits)) + b'"')
    large = fits.replace(b'"pad": "', b'"pad": "x')
    _, headers = SOURCES["standard"].deliver(b"{}")
    chunked = {
        **as_environ(headers),
        "wsgi.input": io.BytesIO(large),
        "wsgi.input_terminated": True,
        "CONTENT_LENGTH": "",
        "HTTP_TRANSFER_ENCODING": "chunked",
    }

    answers = [
        service.deliver("standard", fits),
        service.deliver("standard", large, message_id="m2"),
        service.client.post("/v1/webhooks/standard", environ_overrides=chunked),
    ]

    assert [answer.status_code for answer in answers] == [202, 413, 413]
    assert len(service.events()) == 1


def test_no_more_is_read_than_may_be_taken(service: WebhookService) -> None:
    """A body without an end is refused after 256 KB of it."""

    class Endless(io.RawIOBase):
        """Blanks, as many as anybody asks for."""

        taken = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray, /) -> int:  # type: ignore[override]  # (any buffer)
            buffer[:] = b" " * len(buffer)
            self.taken += len(buffer)
            return len(buffer)

    endless = Endless()
    _, headers = SOURCES["standard"].deliver(b"{}")
    chunked = {
        **as_environ(headers),
        "wsgi.input": endless,
        "wsgi.input_terminated": True,
        "CONTENT_LENGTH": "",
        "HTTP_TRANSFER_ENCODING": "chunked",
    }

    answer = service.client.post("/v1/webhooks/standard", environ_overrides=chunked)

    assert answer.status_code == 413
    assert endless.taken <= MAX_BODY_BYTES + 1


def test_slow_bodies_take_no_more_than_their_places() -> None:
    """While as many bodies of one address are waited for as may be, one more is told to wait."""
    service = a_standard_service()
    body, headers = SOURCES["standard"].deliver(json.dumps(BODY).encode())
    statuses: list[int] = []

    class Slow(io.RawIOBase):
        """A body that does not come before another delivery was made."""

        def __init__(self, depth: int) -> None:
            self.depth = depth
            self.rest = io.BytesIO(body)

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray, /) -> int:  # type: ignore[override]  # (any buffer)
            if self.depth:
                deliver(self.depth - 1)
                self.depth = 0
            return self.rest.readinto(buffer)

    def deliver(depth: int) -> None:
        answer = service.client.application.test_client().post(
            "/v1/webhooks/standard",
            environ_overrides={
                **as_environ(headers),
                "wsgi.input": Slow(depth),
                "CONTENT_LENGTH": str(len(body)),
            },
        )
        statuses.append(answer.status_code)

    deliver(OF_ONE_STRANGER)

    assert statuses == [503] + [202] * OF_ONE_STRANGER


def test_any_of_several_secrets_will_do() -> None:
    """While a secret is being changed, the old and the new one both open the door."""
    old, new = a_whsec("old"), a_whsec("new")
    table = {**SOURCES["standard"].table(""), "secrets": [old, new, WHPK]}
    service = webhook_service(table)

    answers = [
        service.deliver("standard", {**BODY, "n": number}, secret=secret, message_id=f"m{number}")
        for number, secret in enumerate([old, new, a_whsec("third")])
    ]

    assert [answer.status_code for answer in answers] == [202, 202, 401]


def test_secrets_and_signatures_as_supabase_joins_them() -> None:
    """Several secrets in one text, several signatures in one header: a comma and a blank."""
    old, new = (f"v1,{a_whsec(name)}" for name in ("old", "new"))
    table = {**SOURCES["supabase-auth"].table(""), "secrets": [f"{old}, {new}"]}
    service = webhook_service(table)
    body = json.dumps({"metadata": {"name": "after-user-created"}, "user": {"id": "u"}}).encode()
    signed = [
        SOURCES["supabase-auth"].deliver(body, secret=secret)[1]
        for secret in (f"v1,{a_whsec('third')}", new)
    ]
    both = ", ".join(headers["webhook-signature"] for headers in signed)

    answer = service.post("supabase-auth", body, {**signed[1], "webhook-signature": both})
    foreign = service.post("supabase-auth", body + b" ", signed[0])

    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert foreign.status_code == 401


def test_flood_spends_the_strangers_allowance() -> None:
    """Whoever floods a source from elsewhere is told to wait; the sender is not."""
    limits = {**NEVER_MET, "per_webhook_source": "3 per minute"}
    service = a_standard_service(limits=limits, http=PROXY)
    flood = [from_address(service, "6.6.6.6", secret=a_whsec("forger")) for _ in range(4)]

    own = from_address(service, "198.51.100.7", secret=a_whsec("standard"))

    assert flood == [401, 401, 401, 429]
    assert own == 202


def test_own_network_is_no_way_around_the_limit() -> None:
    """A /64 of IPv6 counts as one address; and the answer says what is left of what."""
    limits = {**NEVER_MET, "per_webhook_source": "1 per minute"}
    service = a_standard_service(limits=limits, http=PROXY)
    from_address(service, "2001:db8::1", secret=a_whsec("forger"))

    answer = service.post("standard", b"", {"x-forwarded-for": "2001:db8::2"})

    assert answer.status_code == 429
    assert answer.headers["RateLimit-Policy"] == '"source";q=1;w=60'


def test_names_of_no_source_share_one_allowance() -> None:
    """Nobody can fill the storage of the limits by inventing names."""
    service = a_standard_service(limits={**NEVER_MET, "per_webhook_source": "2 per minute"})

    statuses = [service.post(f"x{number}", b"", {}).status_code for number in range(3)]

    assert statuses == [404, 404, 429]


def test_logins_do_not_spend_it() -> None:
    """A login's allowance and a source's are two."""
    service = a_standard_service(limits={**NEVER_MET, "per_webhook_source": "1 per minute"})
    for _ in range(3):
        headers = {"Authorization": f"Bearer {a_token()}"}
        service.client.post("/v1/auth-tokens", headers=headers)

    assert service.deliver("standard", BODY).status_code == 202


def test_okta_is_answered_its_challenge(service: WebhookService) -> None:
    """Okta's first GET gets back what it sent."""
    answer = service.client.get(
        "/v1/webhooks/okta", headers={"X-Okta-Verification-Challenge": "abc-123"}
    )

    assert (answer.status_code, answer.get_json()) == (200, {"verification": "abc-123"})


@pytest.mark.parametrize("challenge", ["", " ", "a b", "é", "x" * 1001])
def test_challenge_that_is_none(challenge: str, service: WebhookService) -> None:
    """Nothing odd is echoed."""
    raw = {"HTTP_X_OKTA_VERIFICATION_CHALLENGE": challenge}

    answer = service.client.get("/v1/webhooks/okta", environ_overrides=raw)

    assert (answer.status_code, answer.get_json()["code"]) == (400, "request_invalid")


def test_others_are_not_challenged(service: WebhookService) -> None:
    """Only a sender that asks is answered."""
    headers = {"X-Okta-Verification-Challenge": "abc"}

    assert service.client.get("/v1/webhooks/clerk", headers=headers).status_code == 404


def test_no_page_may_call(tmp_path: Path) -> None:
    """Webhooks know no origin, not even those of the pages that may log in."""
    page = "https://app.example.test"
    service = service_of_all(tmp_path, http={"allowed_origins": [page]})
    asking = {"Origin": page, "Access-Control-Request-Method": "POST"}

    preflight = service.client.options("/v1/webhooks/standard", headers=asking)
    delivery = service.client.post("/v1/webhooks/standard", headers=asking)
    login = service.client.options("/v1/auth-tokens", headers=asking)

    named = "Access-Control-Allow-Origin"
    assert named not in preflight.headers
    assert named not in delivery.headers
    assert login.headers[named] == page


def test_secrets_do_not_reach_the_log() -> None:
    """A secret that somebody puts into a User-Agent is masked, in each of its spellings."""
    basic = SOURCES["auth0-basic"]
    table = {
        **SOURCES["supabase-auth"].table(""),
        "secrets": [f"v1,{a_whsec('a')}, v1,{a_whsec('b')}"],
    }
    service = webhook_service(table, basic.table(""))
    said = [a_whsec("b"), basic.secret, basic.sign(basic.envelope(b""))["authorization"][6:]]
    for secret in said:
        service.post("auth0-basic", b"", {"user-agent": f"agent {secret}"})

    assert [secret for secret in said if secret in service.log.getvalue()] == []
    assert {line["user_agent"] for line in service.lines()} == {"agent [masked]"}


def test_without_a_database_there_are_no_webhooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that could not keep what it acknowledges does not start."""
    monkeypatch.setenv("HOME", "/nowhere")
    table = {
        "source": "app",
        "sender": "standard",
        "issuer": ISSUER,
        "secrets": [a_whsec("standard")],
    }
    chosen = load_settings(an_environment(), overrides={"webhooks": [table]})

    with pytest.raises(ConfigurationError, match="need a database"):
        assemble(chosen)


def test_a_number_of_sources_share_an_issuer() -> None:
    """Two issuers, each with its prefix: the same subject is two users."""
    sessions = [
        a_sessions_table(uid_prefix="a-"),
        a_sessions_table(issuer="https://b", uid_prefix="b-", secret=a_secret("b")),
    ]
    tables = [
        SOURCES["standard"].table(""),
        {**SOURCES["standard-ed25519"].table(""), "issuer": "https://b"},
    ]
    service = webhook_service(*tables, sessions=sessions)

    service.deliver("standard", BODY)
    service.deliver("standard-ed25519", BODY)

    assert [event.uid for event in service.events()] == ["a-alice", "b-alice"]
