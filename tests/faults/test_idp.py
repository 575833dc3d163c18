"""Identity providers that fail: known keys go on, the others wait, nobody is logged out."""

import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.faults import idp_rows as rows
from tests.faults.idp_rows import NEW, ROWS, FaultRow
from tests.journeys.certificates import Certificate, a_certificate
from tests.ports import a_free_port
from tests.raw_server import an_answer
from tests.remote_issuers import (
    QUICK,
    Clock,
    Provider,
    RemoteService,
    a_provider,
    a_remote_service,
    a_remote_table,
    a_set,
    a_signer,
    published,
    signed_by,
)
from tests.security.forging import RS
from tokensvc.adapters.key_copies import KeyCopy
from tokensvc.adapters.key_store import KeyStore

SOON_S = 10.0
GOOD = published(RS)


def with_known_keys(folder: Path, clock: Clock, url: str, **keys: Any) -> RemoteService:
    """Return a service that begins with keys on disk, fetched an hour ago."""
    copy = KeyCopy(RS.issuer, url, clock.now() - 3600, 300.0, a_set(RS))
    KeyStore(folder / "keys", now=clock.now).save(copy)
    return a_remote_service(folder, clock, a_remote_table(jwks_url=url), **QUICK, **keys)


def last_event(service: RemoteService) -> str:
    """Return the last event and its reason, as the rows write them."""
    lines = service.events()
    if not lines:
        return ""
    return ": ".join(filter(None, (lines[-1]["event"], lines[-1].get("reason"))))


def seen(row: FaultRow, service: RemoteService, text: str) -> FaultRow:
    """Log in with *text*, and return the row of what client and operator saw."""
    status, code = service.outcome(text)
    return FaultRow(row.neighbour, row.fault, status, code, last_event(service))


def demand_recovery(service: RemoteService, clock: Clock) -> None:
    """Within ten seconds of the fault's end, and without a restart, all is as it was."""
    clock.advance(SOON_S)
    service.fetch()

    assert service.outcome(signed_by(RS, clock)) == (201, "ok")
    assert last_event(service) in {"keys_changed", "keys_fetch_recovered"}
    assert all(keys.is_settled for keys in service.key_sets)


def test_every_row_is_told_apart() -> None:
    """The rows can be a table: no two are of one fault."""
    names = {(row.neighbour, row.fault) for row in ROWS}

    assert len(names) == len(ROWS) >= 100


@pytest.mark.parametrize(
    "row", rows.ANSWER_ROWS, ids=lambda row: f"{row.neighbour.split()[-1]}-{row.fault}"
)
def test_answers(row: FaultRow, tmp_path: Path) -> None:
    """Whatever comes in the place of keys: known ones go on, else 503; and then it recovers."""
    clock = Clock()
    with a_provider(row.answer or b"") as provider:
        if row.neighbour == rows.KNOWN:
            service = with_known_keys(tmp_path, clock, provider.jwks_url)
        else:
            table = a_remote_table(jwks_url=provider.jwks_url)
            service = a_remote_service(tmp_path, clock, table, **QUICK)
        service.fetch()

        assert seen(row, service, signed_by(RS, clock)) == row
        assert provider.fetches == 1
        provider.answer = GOOD
        demand_recovery(service, clock)


@pytest.mark.parametrize("row", rows.CONFIGURATION_ROWS, ids=lambda row: row.fault)
def test_configurations(row: FaultRow, tmp_path: Path) -> None:
    """An OpenID configuration that is none, or of somebody else, changes no key."""
    clock = Clock()
    with a_provider(row.answer or b"") as provider:
        issuer = f"http://localhost:{provider.port}"
        signer = a_signer(issuer)
        url = f"{issuer}/.well-known/openid-configuration"
        copy = KeyCopy(issuer, url, clock.now() - 3600, 300.0, a_set(signer))
        KeyStore(tmp_path / "keys", now=clock.now).save(copy)
        table = a_remote_table(signer, discovery=True)
        service = a_remote_service(tmp_path, clock, table, **QUICK)
        service.fetch()

        assert seen(row, service, signed_by(signer, clock)) == row
        assert provider.fetches == 1


def test_refused_and_back(tmp_path: Path) -> None:
    """A provider that is not running costs the logins of known keys nothing."""
    clock, port = Clock(), a_free_port()
    service = with_known_keys(tmp_path, clock, f"http://localhost:{port}/jwks")
    service.fetch()

    assert seen(rows.REFUSED, service, signed_by(RS, clock)) == rows.REFUSED


def test_refused_the_first_time(tmp_path: Path) -> None:
    """The service starts without it, and tells its users to come back."""
    clock, port = Clock(), a_free_port()
    table = a_remote_table(jwks_url=f"http://localhost:{port}/jwks")
    service = a_remote_service(tmp_path, clock, table)
    service.fetch()
    answer = service.login(signed_by(RS, clock))

    assert seen(rows.REFUSED_FIRST, service, signed_by(RS, clock)) == rows.REFUSED_FIRST
    assert answer.headers["Retry-After"] == "2"
    assert answer.get_json()["action"] == "retry"


def test_black_hole(tmp_path: Path) -> None:
    """Nor does one whose packets vanish; the fetch ends with its deadline."""
    clock = Clock()
    with _black_hole() as port:
        service = with_known_keys(tmp_path, clock, f"http://127.0.0.1:{port}/jwks")
        service.fetch()

    assert seen(rows.BLACK_HOLE, service, signed_by(RS, clock)) == rows.BLACK_HOLE


@contextmanager
def _black_hole() -> Iterator[int]:
    """Listen, and never accept: once the queue is full, whoever connects gets no answer."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.settimeout(0)
            one.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for one in waiting:
            one.close()


def test_no_name(tmp_path: Path) -> None:
    """A name that does not resolve is a failure like another (RFC 6761: .invalid never does)."""
    clock = Clock()
    service = with_known_keys(tmp_path, clock, "https://login.invalid/jwks")
    service.fetch()

    assert seen(rows.NO_NAME, service, signed_by(RS, clock)) == rows.NO_NAME


@pytest.mark.parametrize(
    ("row", "ends_in_days", "host", "is_trusted"),
    [
        (rows.EXPIRED, -1, "localhost", True),
        (rows.WRONG_HOST, 1, "127.0.0.1", True),
        (rows.UNKNOWN_AUTHORITY, 1, "localhost", False),
        (None, 1, "localhost", True),
    ],
    ids=["expired", "wrong host", "unknown authority", "good"],
)
def test_tls(
    tmp_path: Path, row: FaultRow | None, ends_in_days: int, host: str, *, is_trusted: bool
) -> None:
    """Who is not proven to be the issuer is not asked for keys; and who is, is."""
    clock = Clock()
    certificate = a_certificate(tmp_path, ends_in=timedelta(days=ends_in_days))
    trusted = {"ca_file": str(certificate.cert)} if is_trusted else {}
    with a_provider(GOOD, tls=_speaking_for(certificate)) as provider:
        url = provider.jwks_url.replace("localhost", host)
        service = with_known_keys(tmp_path, clock, url, **trusted)
        service.fetch()

    if row:
        assert seen(row, service, signed_by(RS, clock)) == row
        assert provider.fetches == 0
    else:
        assert (provider.fetches, service.events("keys_fetch_failed")) == (1, [])


def _speaking_for(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.cert, certificate.key)
    return context


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def provider() -> Iterator[Provider]:
    """Run a provider that publishes the key of RS."""
    with a_provider(GOOD) as running:
        yield running


@pytest.fixture
def service(tmp_path: Path, clock: Clock, provider: Provider) -> RemoteService:
    """Return a service that has fetched its keys just now."""
    table = a_remote_table(jwks_url=provider.jwks_url)
    service = a_remote_service(tmp_path, clock, table)
    service.fetch()
    return service


@pytest.mark.parametrize("row", [rows.KEY_REMOVED, rows.KEY_REPLACED], ids=lambda row: row.fault)
def test_key_removed(
    row: FaultRow, service: RemoteService, clock: Clock, provider: Provider
) -> None:
    """A key that is published no more is refused within five minutes, and before that it is not."""
    provider.answer = row.answer or b""
    clock.advance(200)
    service.fetch()
    assert service.outcome(signed_by(RS, clock)) == (201, "ok")
    clock.advance(100)
    service.fetch()

    assert seen(row, service, signed_by(RS, clock)) == row


def test_rotation(service: RemoteService, clock: Clock, provider: Provider) -> None:
    """A token of a new key is told to come back in two seconds, and then it is good."""
    provider.answer = published(RS, NEW)
    clock.advance(31)
    first = service.outcome(signed_by(NEW, clock))
    service.fetch()
    row = FaultRow(rows.ROTATED.neighbour, rows.ROTATED.fault, *first, last_event(service))

    assert row == rows.ROTATED
    assert service.outcome(signed_by(NEW, clock)) == (201, "ok")
    assert service.outcome(signed_by(RS, clock)) == (201, "ok")


def test_unknown_kid(service: RemoteService, clock: Clock, provider: Provider) -> None:
    """Once it was looked for, a kid that nobody has is refused, and looked for no more."""
    clock.advance(31)
    assert service.outcome(signed_by(NEW, clock)) == (503, "keys_unavailable")
    service.fetch()
    events = len(service.events())
    seen_now = {service.outcome(signed_by(NEW, clock)) for _ in range(5)}
    service.fetch()

    assert seen_now == {(rows.UNKNOWN_KID.status, rows.UNKNOWN_KID.code)}
    assert (provider.fetches, len(service.events())) == (2, events)


def test_unknown_kid_during_an_outage(
    service: RemoteService, clock: Clock, provider: Provider
) -> None:
    """While nobody can know, nobody is refused."""
    provider.answer = an_answer(b"", status="503 Busy")
    clock.advance(300)
    service.fetch()
    row = rows.UNKNOWN_KID_OUTAGE

    assert seen(row, service, signed_by(NEW, clock)) == row
    assert service.outcome(signed_by(RS, clock)) == (201, "ok")


def test_too_old(service: RemoteService, clock: Clock, provider: Provider) -> None:
    """Keys are served stale for a day; after that logins wait, and nobody is logged out."""
    provider.answer = an_answer(b"", status="503 Busy")
    clock.advance(86_400)
    service.fetch()
    assert service.outcome(signed_by(RS, clock)) == (201, "ok")
    clock.advance(1)
    service.fetch()

    assert seen(rows.TOO_OLD, service, signed_by(RS, clock)) == rows.TOO_OLD
    provider.answer = GOOD
    demand_recovery(service, clock)


def test_emergency_revocation(
    service: RemoteService, clock: Clock, provider: Provider, tmp_path: Path
) -> None:
    """A set that another process has fetched is taken at the next look, without a fetch."""
    clock.advance(5)
    copy = KeyCopy(RS.issuer, provider.jwks_url, clock.now(), 300.0, a_set(NEW))
    KeyStore(tmp_path / "keys", now=clock.now).save(copy)
    (wait_s,) = service.fetch()

    assert seen(rows.REVOKED, service, signed_by(RS, clock)) == rows.REVOKED
    assert (wait_s, provider.fetches) == (2.0, 1)


def test_warm_cache_through_an_outage(
    service: RemoteService, clock: Clock, provider: Provider
) -> None:
    """With the provider down for an hour every single login of a known key succeeds."""
    provider.answer = rows.ANSWERS["reset before the headers"][0]
    outcomes = []
    for _ in range(60):
        clock.advance(60)
        service.fetch()
        outcomes.append(service.outcome(signed_by(RS, clock)))

    assert outcomes == [(201, "ok")] * 60
    assert provider.fetches > 50


def test_flapping(service: RemoteService, clock: Clock, provider: Provider) -> None:
    """A provider that is there every other time costs no login."""
    outcomes = set()
    for answer in [an_answer(b"", status="503 Busy"), GOOD] * 10:
        provider.answer = answer
        clock.advance(260)
        service.fetch()
        outcomes.add(service.outcome(signed_by(RS, clock)))
        if answer != GOOD:
            assert seen(rows.FLAPPING, service, signed_by(RS, clock)) == rows.FLAPPING

    assert outcomes == {(201, "ok")}
    assert len(service.events("keys_fetch_recovered")) == 10


def test_record_says_why(tmp_path: Path) -> None:
    """The operator sees whose login had to wait, and for what; the client does not."""
    clock = Clock()
    service = a_remote_service(tmp_path, clock, a_remote_table(jwks_url="http://localhost:9/"))
    answer = service.login(signed_by(RS, clock))
    (line,) = service.records()

    assert (line["outcome"], line["reason"]) == ("keys_unavailable", "keys_never_fetched")
    assert (line["issuer"], line["alg"], line["kid"]) == (RS.issuer, "RS256", "key-1")
    assert "never" not in answer.text
    assert "WWW-Authenticate" not in answer.headers


def test_flood_of_unknown_kids(service: RemoteService, clock: Clock, provider: Provider) -> None:
    """Made-up kids cause one fetch, and while it hangs known kids log in as ever."""
    asked, go_on = threading.Event(), threading.Event()

    def wait_and_answer(connection: socket.socket) -> None:
        asked.set()
        go_on.wait(SOON_S)
        connection.sendall(GOOD)

    provider.answer = wait_and_answer
    clock.advance(31)
    (keys,) = service.key_sets
    keys.start()
    unknown, known = signed_by(NEW, clock), signed_by(RS, clock)
    with ThreadPoolExecutor(8) as pool:
        first = list(pool.map(lambda _: service.outcome(unknown), range(40)))
        asked.wait(SOON_S)
        meanwhile = list(pool.map(lambda _: service.outcome(known), range(40)))
        go_on.set()
        keys.stop()
        afterwards = list(pool.map(lambda _: service.outcome(unknown), range(400)))

    assert set(first) == {(503, "keys_unavailable")}
    assert set(meanwhile) == {(201, "ok")}
    assert set(afterwards) == {(401, "session_invalid")}
    assert provider.fetches == 2
