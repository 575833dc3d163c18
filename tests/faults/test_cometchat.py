"""CometChat at fault: what a client sees, what the operator sees, and that it ends by itself."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Literal

import pytest
import requests

from tests.builders import API_KEY, APP_ID, GENEROUS, Service, a_token, settings
from tests.databases import a_throwaway_sqlite_database
from tests.fakes import WatchedLog
from tests.faults.proxy import Mode, Proxy, a_proxy
from tests.journeys.certificates import a_certificate
from tests.upstreams import MovableClock
from tokensvc.adapters.cometchat import CometChatClient
from tokensvc.adapters.connecting import AddressInfo, Resolver
from tokensvc.adapters.http_client import HTTPClient
from tokensvc.app import app_around
from tokensvc.emulator import EmulatorServer
from tokensvc.emulator.faults import parse_fault
from tokensvc.services import assemble

TIME_OUTS = {"connect_timeout_s": 0.5, "read_timeout_s": 0.7, "try_timeout_s": 0.7}
DEADLINE_S = 1.6
"""Shorter than in production, so that the tests are; the promise is the same."""
SLACK_S = 0.5
TRIES = 5
RECOVERY_S = 10.0
LOGINS = 3
"""Logins during a fault: enough for time-outs to open the breaker."""

Where = Literal["answer", "wire", "tls", "name"]
"""Who is at fault: CometChat's answers, the connection, the certificate, or the name."""


@dataclass(frozen=True, slots=True)
class Row:
    """One fault: how it is made, what a client is answered, and what the operator reads."""

    fault: str
    order: str
    reason: str
    status: int = 503
    code: str = "directory_unavailable"
    action: str = "retry"
    where: Where = "answer"
    retry_after_s: int | None = None
    """What Retry-After must say; None where anything sane will do."""
    neighbour: str = "CometChat"

    @property
    def operator(self) -> str:
        """What the operator reads, as the faults document has it."""
        return self.reason


OVERLOAD = "ERR_TOO_MANY_REQUESTS"
NONSENSE = "answer_not_understood_200"
MISCONFIGURED: Any = {"status": 502, "code": "directory_misconfigured", "action": "stop"}
FAULTS = [
    Row("its name cannot be resolved", "fail", "name_not_resolved", where="name"),
    Row("its name takes for ever to resolve", "hang", "connect_timeout", where="name"),
    Row("it refuses connections", "refuse", "connection_failed", where="wire"),
    Row("a black hole that takes connections", "black-hole", "timeout", where="wire"),
    Row("silence in the middle of an answer", "half-open=100", "timeout", where="wire"),
    Row("its certificate has expired", "expired", "tls_failed", where="tls"),
    Row("its certificate is for another host", "wrong-host", "tls_failed", where="tls"),
    Row("it hangs", "hang", "timeout"),
    Row("a reset before the headers", "reset", "connection_failed"),
    Row("a reset after the headers", "reset-at", "connection_failed", where="wire"),
    Row("a reset in the body", "reset-in-body", "connection_failed"),
    Row("headers byte by byte", "drip-headers=0.1", "timeout"),
    Row("a body byte by byte", "drip=0.1", "timeout"),
    Row("bytes that come too slowly", "drip", "timeout", where="wire"),
    Row("an answer that is cut off", "truncated", "connection_failed"),
    Row("an answer shorter than it says", "wrong-length", "connection_failed"),
    Row("200 with a page", "html", NONSENSE),
    Row("200 with nothing", "empty", NONSENSE),
    Row("200 with half a JSON text", "not-json", NONSENSE),
    Row("200 about another user", "wrong-uid", "answer_for_another_uid"),
    Row("200 with 100 MB", "huge", "answer_too_large"),
    Row("200 with a gzip bomb", "gzip-bomb", NONSENSE),
    Row("a redirect", "redirect=https://elsewhere.test/", "answer_not_understood_302"),
    Row("400", "status=400", "ERR_EXCEPTION"),
    Row("401: our key is unknown", "status=401", "AUTH_ERR_APIKEY_NOT_FOUND", **MISCONFIGURED),
    Row("403: our key lacks the scope", "status=403", "AUTH_ERR_NO_ACCESS", **MISCONFIGURED),
    Row("404 to everything", "status=404", "unexpected_ERR_UID_NOT_FOUND"),
    Row("409", "status=409", "ERR_EXCEPTION"),
    Row(
        "402: the plan takes no more users",
        "status=402",
        "ERR_PLAN_QUOTA_RESTRICTION",
        code="user_quota_reached",
        action="stop",
    ),
    Row("429 with Retry-After: 0", "429=0", OVERLOAD),
    Row("429 with Retry-After: 15", "429=15", OVERLOAD, retry_after_s=15),
    Row("429 with Retry-After: 86400", "429=86400", OVERLOAD, retry_after_s=60),
    Row("429 with a date as Retry-After", "429={date}", OVERLOAD, retry_after_s=20),
    Row("429 with junk as Retry-After", "429=soon", OVERLOAD),
    Row("429 without Retry-After", "429", OVERLOAD),
    Row("500", "status=500", "ERR_EXCEPTION"),
    Row("502", "status=502", "ERR_EXCEPTION"),
    Row("503", "status=503", "ERR_EXCEPTION"),
    Row("504", "status=504", "ERR_EXCEPTION"),
    Row("500 to what it has done", "late-500", "ERR_EXCEPTION"),
]
FLAPPING = Row("up and down in turns", "status=500", "ERR_EXCEPTION")
ROWS = [*FAULTS, FLAPPING]


FOREIGN = ("This fault was ordered", "canary text", "elsewhere.test", "127.0.0.1:", "Traceback")
"""What others have written, or where they are: none of it is for clients or logs."""


class Neighbour:
    """A CometChat that can be broken and mended, and the service that calls it."""

    def __init__(self, emulator: EmulatorServer, base_url: str, **cometchat: Any) -> None:
        self.emulator = emulator
        self.clock = MovableClock()
        log = WatchedLog()
        chosen = settings(
            limits=GENEROUS,
            storage={"url": a_throwaway_sqlite_database()},
            cometchat={
                "base_url": base_url,
                "total_timeout_s": DEADLINE_S,
                **TIME_OUTS,
                **cometchat,
            },
        )
        services = assemble(chosen, monotonic=self.clock, log_stream=log)
        self.service = Service(app_around(services, chosen), log)
        directory = services.tokens.issuer.directory
        assert isinstance(directory, CometChatClient)
        assert isinstance(directory.upstream.sender, HTTPClient)
        self.http = directory.upstream.sender

    def break_it(self, order: str) -> None:
        """Begin the fault."""
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
        self.emulator.faults.order(parse_fault(order.replace("{date}", date), time.time()))
        if order.startswith("gzip-bomb"):
            # It takes the emulator a while to make one, and then it has it.
            requests.post(f"{self.emulator.rest_url}/users", timeout=30)

    def mend_it(self) -> None:
        """End the fault."""
        self.emulator.faults.clear()

    def login(self, uid: str = "alice") -> tuple[Any, float]:
        """Log in; return the answer, and how long it took."""
        started = time.monotonic()
        answer = self.service.login(a_token(sub=uid))
        return answer, time.monotonic() - started

    def requests_in_log(self) -> list[dict[str, Any]]:
        """Return the audit lines of the requests."""
        return [line for line in self.service.records() if line["event"] == "request"]

    def recovery_s(self) -> float:
        """Log in, come back as told, and return after how long it has worked."""
        waited_s = 0.0
        while (answer := self.login()[0]).status_code != 201:
            assert waited_s < 100
            pause_s = int(answer.headers["Retry-After"])
            self.clock.advance(pause_s)
            waited_s += pause_s
        assert self.owner_of(answer) == "alice"
        return waited_s

    def owner_of(self, answer: Any) -> str:
        """Return whose token was handed out, by CometChat's word."""
        return self.emulator.world.apps[APP_ID].tokens[answer.get_json()["authToken"]].uid


class WireNeighbour(Neighbour):
    """One whose connection breaks."""

    def __init__(self, emulator: EmulatorServer, proxy: Proxy) -> None:
        super().__init__(emulator, f"http://127.0.0.1:{proxy.port}/v3")
        self.proxy = proxy

    def break_it(self, order: str) -> None:
        mode, _, at = order.partition("=")
        self.proxy.set_mode(_mode(mode), int(at or 0))

    def mend_it(self) -> None:
        self.proxy.set_mode("pass")


class TLSNeighbour(Neighbour):
    """One whose certificate proves nothing."""

    def __init__(self, emulator: EmulatorServer, proxy: Proxy, folder: Path) -> None:
        self.certificates = {
            "good": proxy.certificate,
            "expired": a_certificate(folder / "expired", ends_in=-timedelta(hours=1)),
            "wrong-host": a_certificate(folder / "wrong-host", hosts=["elsewhere.test"]),
        }
        # All of them are trusted: what is wrong with two of them is not who made them.
        bundle = folder / "ca.pem"
        bundle.write_bytes(
            b"".join(known.cert.read_bytes() for known in self.certificates.values() if known)
        )
        super().__init__(emulator, f"https://localhost:{proxy.port}/v3", ca_file=str(bundle))
        self.proxy = proxy

    def break_it(self, order: str) -> None:
        self.proxy.certificate = self.certificates[order]
        self.proxy.set_mode("pass")

    def mend_it(self) -> None:
        self.break_it("good")


class NameNeighbour(Neighbour):
    """One whose name leads nowhere."""

    def __init__(self, emulator: EmulatorServer) -> None:
        super().__init__(emulator, f"http://localhost:{emulator.port}/v3")
        self.order = ""
        self.mended = threading.Event()
        self.http.resolver = Resolver(self._look_up)

    def _look_up(self, host: str, port: int, **_: Any) -> list[AddressInfo]:
        del host
        if self.order == "fail":
            raise socket.gaierror(socket.EAI_NONAME, "canary text of the resolver")
        if self.order == "hang":
            self.mended.wait(60)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))]

    def break_it(self, order: str) -> None:
        self.order = order
        # A connection that is kept needs no name.
        self.emulator.faults.order(parse_fault("reset;times=1", time.time()))

    def mend_it(self) -> None:
        self.order = ""
        self.mended.set()


def _mode(text: str) -> Mode:
    modes: dict[str, Mode] = {
        "refuse": "refuse",
        "black-hole": "black-hole",
        "half-open": "half-open",
        "reset-at": "reset-at",
        "drip": "drip",
    }
    return modes[text]


@contextmanager
def a_neighbour(where: Where, folder: Path) -> Iterator[Neighbour]:
    """Run a CometChat that will be at fault there, with one user who has logged in before.

    Its time-outs are short: where the machine stood still at that login, another is run.
    """
    for number in range(TRIES):
        place = folder / str(number)
        place.mkdir()
        with ExitStack() as parts:
            neighbour = _neighbour(where, place, parts)
            if neighbour.login()[0].status_code == 201:
                yield neighbour
                return
    raise AssertionError("no login works")


def _neighbour(where: Where, folder: Path, parts: ExitStack) -> Neighbour:
    emulator = parts.enter_context(EmulatorServer(app_id=APP_ID, api_key=API_KEY))
    match where:
        case "answer":
            return Neighbour(emulator, emulator.rest_url)
        case "wire":
            return WireNeighbour(emulator, parts.enter_context(a_proxy(emulator.port)))
        case "tls":
            good = a_certificate(folder / "good")
            return TLSNeighbour(emulator, parts.enter_context(a_proxy(emulator.port, good)), folder)
        case "name":
            return NameNeighbour(emulator)


@pytest.mark.parametrize("row", FAULTS, ids=lambda row: row.fault)
def test_fault(row: Row, tmp_path: Path) -> None:
    """The promised answer in time, the reason in the record, and logins again by themselves.

    Ten seconds after the fault's end, or after the pause that CometChat has asked for.
    """
    with a_neighbour(row.where, tmp_path) as neighbour:
        neighbour.break_it(row.order)
        answers = [neighbour.login() for _ in range(LOGINS)]
        neighbour.mend_it()
        recovery_s = neighbour.recovery_s()
        records = neighbour.requests_in_log()[1 : 1 + LOGINS]
        log = neighbour.service.log.getvalue()

    for answer, took_s in answers:
        body = answer.get_json()
        assert (answer.status_code, body["code"], body["action"]) == (
            row.status,
            row.code,
            row.action,
        )
        assert took_s < DEADLINE_S + SLACK_S
        assert ("Retry-After" in answer.headers) == (row.code == "directory_unavailable")
    if row.retry_after_s is not None:
        told_s = int(answers[0][0].headers["Retry-After"])
        assert row.retry_after_s - 1 <= told_s <= row.retry_after_s
    assert records[0]["reason"] == row.reason
    assert {record["reason"] for record in records} <= {row.reason, "breaker_open"}
    said = log + "".join(answer.get_data(as_text=True) for answer, _ in answers)
    assert [text for text in (*FOREIGN, API_KEY) if text in said] == []
    # Where CometChat has said when to come back, that is when its fault ends.
    assert recovery_s <= RECOVERY_S + (row.retry_after_s or 0)


SECOND_TRY_MENDS = {"wrong-uid"}
"""At a creation: the second answer says that the user is there."""


@pytest.mark.parametrize(
    "row",
    [row for row in FAULTS if row.where == "answer" and row.order not in SECOND_TRY_MENDS],
    ids=lambda row: row.fault,
)
def test_fault_at_a_first_login(row: Row, tmp_path: Path) -> None:
    """The same where only the creation of a user goes wrong: nobody gets another's token."""
    with a_neighbour("answer", tmp_path) as neighbour:
        neighbour.break_it(f"{row.order};path=/v3/users")
        answer, took_s = neighbour.login("bob")
        neighbour.mend_it()
        recovery_s = neighbour.recovery_s()
        later, _ = neighbour.login("bob")

        assert (answer.status_code, answer.get_json()["code"]) == (row.status, row.code)
        assert took_s < DEADLINE_S + SLACK_S
        assert neighbour.requests_in_log()[1]["reason"] == row.reason
        assert recovery_s <= RECOVERY_S + (row.retry_after_s or 0)
        assert (later.status_code, neighbour.owner_of(later)) == (201, "bob")


def test_flapping(tmp_path: Path) -> None:
    """Up and down in turns: each login works or is told to come back, and at last all work."""
    with a_neighbour("answer", tmp_path) as neighbour:
        answers = []
        for _ in range(8):
            neighbour.break_it("status=500")
            answers += [neighbour.login() for _ in range(4)]
            neighbour.mend_it()
            answers += [neighbour.login() for _ in range(4)]
            neighbour.clock.advance(0.5)
        recovery_s = neighbour.recovery_s()
        owners = {neighbour.owner_of(answer) for answer, _ in answers if answer.status_code == 201}

    assert {answer.status_code for answer, _ in answers} == {201, FLAPPING.status}
    assert {answer.get_json().get("code", "ok") for answer, _ in answers} == {"ok", FLAPPING.code}
    assert max(took_s for _, took_s in answers) < DEADLINE_S + SLACK_S
    assert owners == {"alice"}
    assert recovery_s <= RECOVERY_S


@pytest.mark.parametrize("order", ["reset", "reset-in-body", "truncated", "status=500", "html"])
def test_one_bad_answer_costs_no_login(order: str, tmp_path: Path) -> None:
    """A single fault is not even noticed by the user."""
    with a_neighbour("answer", tmp_path) as neighbour:
        neighbour.break_it(f"{order};times=1")
        answer, _ = neighbour.login()

        assert (answer.status_code, neighbour.owner_of(answer)) == (201, "alice")
        assert neighbour.requests_in_log()[-1]["vendor_calls"] == 2


@pytest.mark.parametrize(
    "order", ["late-500", "reset-in-body", "truncated", "wrong-length", "wrong-uid"]
)
def test_creation_whose_answer_is_lost(order: str, tmp_path: Path) -> None:
    """The user was made, unseen: the second try finds it, and the login goes on."""
    with a_neighbour("answer", tmp_path) as neighbour:
        neighbour.break_it(f"{order};path=/v3/users;times=1")
        answer, _ = neighbour.login("bob")
        users = neighbour.emulator.world.apps[APP_ID].users

        assert (answer.status_code, answer.get_json()["userCreated"]) == (201, True)
        assert (neighbour.owner_of(answer), "bob" in users) == ("bob", True)


@pytest.mark.parametrize(
    ("order", "orphans"),
    [
        *(("truncated", 1), ("reset-in-body", 1), ("status=500", 1), ("status=504", 1)),
        *(("late-500", 1), ("html", 1), ("not-json", 1)),
        *(("429", None), ("refuse", None)),
    ],
)
def test_tokens_that_nobody_was_handed_are_on_record(
    order: str, orphans: int | None, tmp_path: Path
) -> None:
    """After a lost answer a token may exist that no client has: the record says so."""
    where: Where = "wire" if order == "refuse" else "answer"
    with a_neighbour(where, tmp_path) as neighbour:
        neighbour.break_it(order if order == "refuse" else f"{order};times=1")
        neighbour.login()

        assert neighbour.requests_in_log()[-1].get("orphaned_tokens") == orphans


def test_events_tell_the_operator(tmp_path: Path) -> None:
    """An outage is one alarm when it begins, and one line when it is over."""
    with a_neighbour("answer", tmp_path) as neighbour:
        neighbour.break_it("hang")
        for number in range(6):
            neighbour.login(f"user-{number}")
        neighbour.mend_it()
        neighbour.recovery_s()
        events = [line for line in neighbour.service.records() if line["event"] != "request"]

    assert [(line["event"], line["alarm"]) for line in events] == [
        ("breaker_opened", True),
        ("breaker_closed", False),
    ]


def test_refused_key_is_an_alarm(tmp_path: Path) -> None:
    """Our key is refused: nothing is repeated, and a person has to look."""
    with a_neighbour("answer", tmp_path) as neighbour:
        neighbour.break_it("status=401")
        for _ in range(3):
            neighbour.login()
        events = [line for line in neighbour.service.records() if line["event"] != "request"]

    assert [(line["event"], line["alarm"]) for line in events] == [("rest_key_refused", True)]
    assert neighbour.requests_in_log()[-1]["vendor_calls"] == 1


def test_rows_have_names_of_their_own() -> None:
    """Each fault is told from the others."""
    assert len({row.fault for row in ROWS}) == len(ROWS)
