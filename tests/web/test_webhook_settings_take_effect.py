"""Settings of webhooks take effect: each one that an operator may change changes what happens."""

import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import settings as checking
from hypothesis import strategies as st

from tests.builders import ISSUER, NOW, SECRET, a_sessions_table, settings
from tests.web.fake_inbox import FakeInbox
from tests.web.signing import (
    AUDIENCE,
    SOURCES,
    a_secret,
    a_whsec,
    basic,
    by_key,
    hex_hmac,
    whole_header,
    write_jwks,
)
from tests.web.webhook_service import WebhookService, webhook_service
from tokensvc.domain.deliveries import Delivery
from tokensvc.domain.errors import UidNotAllowedError
from tokensvc.domain.model import Profile
from tokensvc.services import Services, assemble

DATA = {
    "id": "alice",
    "nick": "Al",
    "photo": "https://x.test/a",
    "chat_role": "staff",
    "groups": ["a"],
    "work": {"level": 3, "id": "w-1"},
}
CREATED = {"type": "user.created", "timestamp": NOW, "data": DATA}


def a_service_of(name: str, **changes: Any) -> WebhookService:
    return webhook_service({**SOURCES[name].table(""), **changes})


def profile_of(service: WebhookService) -> Profile:
    """Return the profile of the one event there is."""
    (event,) = service.events()
    assert event.profile is not None
    return event.profile


def test_profile_claims() -> None:
    """Each part of a profile is read from where the operator says."""
    service = a_service_of(
        "standard",
        name_claim="nick",
        avatar_claim="photo",
        role_claim="chat_role",
        tags_claim="groups",
        metadata_claims=["nick", "/work/level"],
    )

    service.deliver("standard", CREATED, message_id="another")

    assert profile_of(service) == Profile(
        name="Al",
        avatar="https://x.test/a",
        role="staff",
        tags=("a",),
        metadata={"nick": "Al", "level": 3},
    )


def test_claims_of_the_sender_are_the_default() -> None:
    """Without a setting the sender's own places count, and nothing else."""
    service = a_service_of("standard")

    service.deliver("standard", {**CREATED, "data": {**DATA, "name": "A", "role": "guest"}})

    profile = profile_of(service)
    assert (profile.name, profile.role, profile.avatar) == ("A", "guest", None)


def test_uid_claim() -> None:
    """The id can stand somewhere else in the user."""
    service = a_service_of("standard", uid_claim="/work/id")

    service.deliver("standard", CREATED, message_id="another")

    assert [event.uid for event in service.events()] == ["w-1"]


@pytest.mark.parametrize("kind", ["suspended", "unsuspended"])
@pytest.mark.parametrize("suspends", [True, False])
def test_suspends(kind: str, *, suspends: bool) -> None:
    """A source without a say in it is thanked, and nothing is stored of a suspension."""
    service = a_service_of("standard", suspends=suspends)

    answer = service.deliver("standard", {**CREATED, "type": f"user.{kind}"})
    service.deliver("standard", CREATED, message_id="another")

    assert (answer.status_code, answer.json) == (
        202,
        {"stored": int(suspends), "ignored": int(not suspends)},
    )
    assert [event.kind for event in service.events()] == [*[kind] * suspends, "created"]


def test_secrets_file(tmp_path: Path) -> None:
    """Each line of the file opens the door."""
    file = tmp_path / "secrets"
    file.write_text(f"{a_whsec('new')}\n{a_whsec('standard')}\n")
    table = SOURCES["standard"].table("")
    del table["secrets"]
    service = webhook_service({**table, "secrets_file": str(file)})

    answers = [
        service.deliver("standard", CREATED, secret=a_whsec(name), message_id=name)
        for name in ("new", "standard", "other")
    ]

    assert [answer.status_code for answer in answers] == [202, 202, 401]


@pytest.mark.parametrize(("scheme", "status"), [("bearer", 202), ("basic", 401), ("header", 401)])
def test_scheme(scheme: str, status: int) -> None:
    """A token is taken in the way that was agreed, and in no other."""
    secret = f"u:{a_secret('u')}"
    service = a_service_of("auth0", secrets=[secret], options={"scheme": scheme})

    answer = service.deliver("auth0", {"type": "x"}, secret=secret)

    assert answer.status_code == status


def test_header() -> None:
    """The header that was agreed is read, and Authorization is not."""
    secret = a_secret("auth0")
    service = a_service_of("auth0", options={"scheme": "header", "header": "X-My-Token"})
    envelope = SOURCES["auth0"].envelope(b'{"type": "x"}')

    right = service.post("auth0", envelope.body, whole_header("x-my-token")(envelope))
    wrong = service.post("auth0", envelope.body, {"authorization": secret})

    assert (right.status_code, wrong.status_code) == (202, 401)


@pytest.mark.parametrize(("digest", "status"), [("sha256", 401), ("sha1", 202)])
def test_digest(digest: str, status: int) -> None:
    """A signature of the other digest is none."""
    service = a_service_of("keycloak", options={"digest": digest})
    envelope = SOURCES["keycloak"].envelope(b'{"type": "x"}')

    answer = service.post(
        "keycloak", envelope.body, hex_hmac("x-keycloak-signature", "sha1")(envelope)
    )

    assert answer.status_code == status


@pytest.mark.parametrize(("algorithms", "status"), [(["ES256"], 202), (["ES384", "ES256"], 202)])
def test_algorithms(tmp_path: Path, algorithms: list[str], status: int) -> None:
    """A key of the JWKS is for the algorithms that are set."""
    options = {"jwks_file": write_jwks(tmp_path), "algorithms": algorithms}
    service = webhook_service({**SOURCES["kinde"].table(""), "options": options})

    assert service.deliver("kinde", {"type": "x"}).status_code == status


@pytest.mark.parametrize(("algorithms", "status"), [(["HS256"], 202), (["HS384"], 401)])
def test_algorithms_of_a_secret(algorithms: list[str], status: int) -> None:
    """Nor is a shared secret for others."""
    secret = a_secret("one") + a_secret("two")
    table = {**SOURCES["fusionauth"].table(""), "secrets": [secret]}
    service = webhook_service({**table, "options": {"algorithms": algorithms}})

    answer = service.deliver("fusionauth", {"event": {"type": "x"}}, secret=secret)

    assert answer.status_code == status


@pytest.mark.parametrize(("audience", "status"), [(AUDIENCE, 202), ("other", 401), (None, 401)])
def test_audience(tmp_path: Path, audience: str | None, status: int) -> None:
    """A JWT that is for somebody else, or for everybody, is not for us."""
    service = webhook_service(SOURCES["keycloak-jwt"].table(write_jwks(tmp_path)))

    answer = service.deliver("keycloak-jwt", {"type": "x"}, claims={"aud": audience})

    assert answer.status_code == status


def test_audience_of_kinde(tmp_path: Path) -> None:
    """Where none is set none is asked for; where one is, it is."""
    table = SOURCES["kinde"].table(write_jwks(tmp_path))
    strict = webhook_service({**table, "options": {**table["options"], "audience": "us"}})
    plain = webhook_service(table)
    body = by_key({"type": "x"}).encode()

    statuses = [service.post("kinde", body, {}).status_code for service in (plain, strict)]

    assert statuses == [202, 401]


def test_entities() -> None:
    """A source takes the records that are users for it, and ignores the others."""
    service = a_service_of("workos", options={"entities": ["dsync.user"]})
    data = {"id": "u-1"}

    service.deliver("workos", {"event": "dsync.user.created", "id": "e1", "data": data})
    service.deliver("workos", {"event": "user.deleted", "id": "e2", "data": data})

    assert [event.event_id for event in service.events()] == ["e1"]


@pytest.mark.parametrize(
    ("state", "kinds"),
    [
        ("active", ["updated", "unsuspended"]),
        ("inactive", ["updated", "suspended"]),
        ("suspended", ["updated", "suspended"]),
        (None, ["updated"]),
    ],
)
def test_states_in_a_directory(state: str | None, kinds: list[str]) -> None:
    """Who is not active in their directory is suspended."""
    service = a_service_of("workos", options={"entities": ["dsync.user"]})
    data = {"id": "directory_user_1", "first_name": "Ada", "state": state}

    service.deliver("workos", {"event": "dsync.user.updated", "id": "e1", "data": data})

    assert [event.kind for event in service.events()] == kinds


def test_entities_of_a_database() -> None:
    """So with the tables of a database."""
    table = SOURCES["supabase-db"].table("")
    options = {**table["options"], "entities": ["public.profiles"]}
    service = webhook_service({**table, "options": options})
    row = {"schema": "public", "type": "DELETE", "old_record": {"id": "u-1"}}

    service.deliver("supabase-db", {**row, "table": "profiles"})
    service.deliver("supabase-db", {**row, "table": "orders"})

    assert len(service.events()) == 1


def test_default_of_okta_is_the_whole_header() -> None:
    """Okta sends what is typed into its form; basic must be asked for."""
    envelope = SOURCES["auth0-basic"].envelope(b'{"data": {"events": []}}')
    service = a_service_of("okta", secrets=[envelope.secret], options={"scheme": "basic"})

    assert service.post("okta", envelope.body, basic(envelope)).status_code == 202
    assert service.deliver("okta", envelope.body, secret=envelope.secret).status_code == 401


def assembled(strategy: str, prefix: str) -> tuple[Services, FakeInbox]:
    """Return services whose issuer has this rule, and the inbox of their one source."""
    inbox = FakeInbox()
    chosen = settings(
        sessions=[a_sessions_table(uid_prefix=prefix)],
        uids={"strategy": strategy},
        webhooks=[SOURCES["standard"].table("")],
    )
    return assemble(chosen, now=lambda: NOW, inbox=inbox.as_port()), inbox


HOUSES = [
    assembled(strategy, prefix) for strategy in ("exact", "encoded") for prefix in ("", "acme-")
]
SUBJECTS = st.one_of(
    st.from_regex(r"[a-z0-9_-]{1,100}", fullmatch=True),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=120),
    st.text("aA_-0|@é", min_size=1, max_size=300),
)


@checking(deadline=None, max_examples=300)
@given(subject=SUBJECTS, house=st.sampled_from(HOUSES))
def test_webhook_and_login_name_the_same_user(
    subject: str, house: tuple[Services, FakeInbox]
) -> None:
    """Whatever a subject is: both ways make the same uid of it, or neither makes one."""
    services, inbox = house
    inbox.forget()
    claims = {"iss": ISSUER, "aud": "chat", "sub": subject, "exp": NOW + 60}
    try:
        uid: str | None = services.tokens.verifier.verify(
            jwt.encode(claims, SECRET, algorithm="HS256")
        ).user.uid
    except UidNotAllowedError:
        uid = None
    raw = json.dumps({"type": "user.deleted", "data": {"id": subject}}).encode()
    body, headers = SOURCES["standard"].deliver(raw)

    receiver = services.webhooks.endpoints["standard"].receiver
    receiver.receive(Delivery(headers, NOW, body))

    assert [event.uid for event in inbox.events] == ([] if uid is None else [uid])
