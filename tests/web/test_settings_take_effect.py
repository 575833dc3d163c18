"""Settings take effect: each one that an operator may change changes what happens."""

import io
import json
import socket
import time
from typing import Any

import pytest
from sqlalchemy import text

from tests.builders import (
    AUDIENCE,
    NOW,
    OTHER_SECRET,
    Service,
    a_service,
    a_service_with,
    a_sessions_table,
    a_token,
    a_user,
    an_event,
    settings,
)
from tests.fakes import FakeDirectory
from tests.raw_server import an_answer, raw_server
from tokensvc.domain.accounts import Account
from tokensvc.domain.errors import StorageUnavailableError
from tokensvc.domain.model import Uid
from tokensvc.services_storage import Storage, storage_of
from tokensvc.services_sync import assemble_sync

ANSWER = json.dumps({"data": {"uid": "alice", "authToken": "alice_1"}}).encode()


def with_sessions(directory: FakeDirectory | None = None, **table: Any) -> Service:
    return a_service_with(directory or FakeDirectory(), sessions=[a_sessions_table(**table)])


@pytest.mark.parametrize(("leeway_s", "status"), [(0, 401), (120, 201)])
def test_leeway(leeway_s: int, status: int) -> None:
    """A token that expired a minute ago passes within the leeway, and not beyond it."""
    service = with_sessions(leeway_s=leeway_s)

    assert service.login(a_token(exp=time.time() - 60)).status_code == status


@pytest.mark.parametrize(("types", "status"), [(["JWT"], 401), (["JWT", "app+jwt"], 201)])
def test_token_types(types: list[str], status: int) -> None:
    """Which typ passes is the operator's choice."""
    service = with_sessions(token_types=types)

    assert service.login(a_token(header={"typ": "app+jwt"})).status_code == status


def test_audiences() -> None:
    """Several audiences can be ours."""
    service = with_sessions(audience=[AUDIENCE, "mobile"])

    assert service.login(a_token(aud="mobile")).status_code == 201
    assert service.login(a_token(aud="web")).status_code == 401


def test_uid_claim_and_prefix() -> None:
    """The uid can stand in another claim, and begin with the issuer's prefix."""
    service = with_sessions(uid_claim="/user/id", uid_prefix="acme-")

    answer = service.login(a_token(sub="ignored", user={"id": "alice"}))

    assert answer.get_json()["uid"] == "acme-alice"


def test_profile_claims() -> None:
    """Each profile claim is read from where the operator says."""
    directory = FakeDirectory()
    service = with_sessions(
        directory,
        name_claim="nick",
        avatar_claim="photo",
        role_claim="chat_role",
        tags_claim="groups",
        metadata_claims=["team", "/work/level"],
    )

    service.login(
        a_token(
            nick="Al",
            photo="https://x.test/a",
            chat_role="staff",
            groups=["a"],
            team="t",
            work={"level": 3},
        )
    )

    profile = directory.users[Uid("alice")].profile
    assert (profile.name, profile.avatar, profile.role) == ("Al", "https://x.test/a", "staff")
    assert (profile.tags, profile.metadata) == (("a",), {"team": "t", "level": 3})


def test_defaults_of_new_users() -> None:
    """Role and tags of the settings are given to new users."""
    directory = FakeDirectory()
    service = a_service_with(
        directory, provisioning={"default_role": "guest", "default_tags": ["new"]}
    )

    service.login()

    profile = directory.users[Uid("alice")].profile
    assert (profile.role, profile.tags) == ("guest", ("new",))


@pytest.mark.parametrize(("wanted", "status"), [(False, 403), (True, 201)])
def test_reactivation(*, wanted: bool, status: int) -> None:
    """A deactivated user comes back where that is wanted."""
    directory = FakeDirectory()
    directory.deactivate(a_user("alice"))
    service = a_service_with(directory, provisioning={"reactivate_on_login": wanted})

    assert service.login().status_code == status


def test_previous_secret() -> None:
    """Tokens that were signed with the secret of before are good, where it is set."""
    token = a_token(key=OTHER_SECRET)
    statuses = [
        with_sessions(secret_previous=previous).login(token).status_code
        for previous in (None, OTHER_SECRET)
    ]

    assert statuses == [401, 201]


def test_log_key() -> None:
    """The same token has another fingerprint under another key, and the same under the same."""
    prints = []
    for key in ("Qy7Lw2Nc9Vb4Xz6Kj1Hg8Fd3Sa5Pt0Ru", "Ur0tP5aS3dF8gH1jK6zX4bV9cN2wL7yQ", None, None):
        with raw_server(an_answer(ANSWER)) as vendor:
            overrides = {"cometchat": {"base_url": f"{vendor.url}/v3"}}
            service = a_service({**overrides, "audit": {"log_key": key} if key else {}})
            service.login()
            prints.append(service.records()[0]["token_fingerprint"])

    assert prints[0] != prints[1]
    assert prints[2] == prints[3]


def test_loaded_secrets_are_masked() -> None:
    """A secret that a client happens to send in its User-Agent does not reach the log."""
    secret = "Zk3vQ8pLr2Xw9TbN6mHs4JdYc7FgA1eU"
    service = with_sessions(secret=secret)

    service.login(a_token(key=secret), headers={"User-Agent": f"app {secret}"})

    assert secret not in service.log.getvalue()
    assert service.records()[0]["user_agent"] == "app [masked]"


def test_trusted_proxies() -> None:
    """The client's address comes from the operator's own proxies, and only from them."""
    trusting = a_service_with(FakeDirectory(), http={"trusted_proxies": ["127.0.0.0/8"]})
    plain = a_service_with(FakeDirectory())
    for service in (trusting, plain):
        service.login(headers={"X-Forwarded-For": "6.6.6.6, 198.51.100.7"})

    found = [service.records()[0]["client_address"] for service in (trusting, plain)]
    assert found == ["198.51.100.7", "127.0.0.1"]


def test_calls_in_flight() -> None:
    """No more calls than max_in_flight are made at once; one more is told at once."""
    with raw_server(an_answer(ANSWER)) as vendor:
        service = a_service({"cometchat": {"base_url": f"{vendor.url}/v3", "max_in_flight": 1}})
        assert service.login().status_code == 201


@pytest.mark.parametrize(
    ("development", "host", "status"),
    [(True, "evil.test", 400), (True, "127.0.0.1:8080", 200), (False, "evil.test", 200)],
)
def test_development_answers_this_machine_alone(
    *, development: bool, host: str, status: int
) -> None:
    """While the published keys are trusted, no page gets here by a host name of its own."""
    service = a_service_with(FakeDirectory(), development=development)

    assert service.client.get("/livez", headers={"Host": host}).status_code == status


def storage_with(url: str, **storage: Any) -> Storage:
    return storage_of(settings(storage={"url": url, **storage}), now=lambda: NOW)


def test_storage_url(database_url: str) -> None:
    """Events and accounts are kept where the URL says, on either engine."""
    storage = storage_with(database_url)
    storage.inbox.put([an_event()], body_hash=b"x")
    storage.accounts.save(Account(an_event().uid))

    again = storage_with(database_url)

    assert again.inbox.status().waiting == 1
    assert again.accounts.find(an_event().uid) is not None
    for opened in (storage, again):
        opened.database.close()


@pytest.mark.parametrize(("keep_done_days", "forgotten"), [(4, 1), (6, 0)])
def test_how_long_done_events_stay_known(
    sqlite_url: str, keep_done_days: float, forgotten: int
) -> None:
    """What was done five days ago is forgotten, or not yet."""
    five_days_ago = storage_of(settings(storage={"url": sqlite_url}), now=lambda: NOW - 5 * 86400)
    five_days_ago.inbox.put([an_event()], body_hash=b"x")
    claim = five_days_ago.inbox.claim(lease_s=60)
    assert claim is not None
    five_days_ago.inbox.done(claim)

    log = io.StringIO()
    storage = {"url": sqlite_url, "keep_done_days": keep_done_days}
    sync = assemble_sync(settings(storage=storage), now=lambda: NOW, log_stream=log)
    sync.house.forget_done()

    assert sum(json.loads(line)["count"] for line in log.getvalue().splitlines()) == forgotten
    assert five_days_ago.inbox.put([an_event()], body_hash=b"x") == bool(forgotten)


def test_pool_size_and_patience(sqlite_url: str) -> None:
    """No more connections than the pool's are open, and one more waits as long as it may."""
    storage = storage_with(sqlite_url, pool_size=2, statement_timeout_s=0.2)
    database = storage.database

    with database.read(), database.read():
        started = time.monotonic()
        with pytest.raises(StorageUnavailableError, match="connections_in_use"), database.read():
            pytest.fail("a third one was opened")

    assert 0.2 <= time.monotonic() - started < 5
    database.close()


def test_statement_timeout_ends_a_long_statement(postgresql_url: str) -> None:
    """A statement that takes too long is ended by the server."""
    database = storage_with(postgresql_url, statement_timeout_s=0.2).database

    with pytest.raises(StorageUnavailableError, match="database_timed_out"), database.read() as c:
        c.execute(text("SELECT pg_sleep(20)"))
    database.close()


def say_nothing(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


@pytest.mark.parametrize(("connect_timeout_s", "at_least_s"), [(2, 1.5), (4, 3.5)])
def test_connect_timeout(connect_timeout_s: float, at_least_s: float) -> None:
    """A server that accepts and says nothing is given up after the time that is set."""
    with raw_server(say_nothing) as silent:
        url = f"postgresql://u:p@127.0.0.1:{silent.port}/x"
        database = storage_with(url, connect_timeout_s=connect_timeout_s).database
        started = time.monotonic()
        with pytest.raises(StorageUnavailableError, match="unreachable"), database.read():
            pytest.fail("it connected")
        took_s = time.monotonic() - started

    assert at_least_s < took_s < at_least_s + 2
