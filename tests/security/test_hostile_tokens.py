"""The corpus at the door: hundreds of logins that must be refused, and the twins that must not."""

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Thread
from typing import Any, Final

import pytest

from tests.builders import NOW, Service, a_service
from tests.security.forging import SIGNERS, Signer, session_tables, token
from tests.security.hostile import REASONS, Hostile
from tests.security.hostile_shapes import LIMIT, a_token_of
from tests.security.hostile_tokens import HOSTILE

PROBLEMS: Final = {
    401: {
        "type": "urn:tokensvc:problem:session_invalid",
        "title": "The session token was refused",
        "status": 401,
        "code": "session_invalid",
        "action": "reauthenticate",
    },
    422: {
        "type": "urn:tokensvc:problem:uid_not_allowed",
        "title": "The user's id cannot be used at CometChat",
        "status": 422,
        "code": "uid_not_allowed",
        "action": "stop",
    },
}


class Listener:
    """A neighbour who counts who knocks, and hangs up on everybody."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._knocks = 0
        self._told = 0
        self._thread = Thread(target=self._answer, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def _answer(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._knocks += 1
            connection.close()

    def knocks(self) -> int:
        """Return how many connections there were since this was asked last.

        Knocks itself first: connections are taken in turn, so whoever came
        before has been counted when this one is.
        """
        with socket.create_connection(self._socket.getsockname()) as connection:
            connection.recv(1)
        told, self._told = self._told, self._knocks
        return self._told - told - 1

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Everything about a refusal that a caller, an operator or a neighbour could notice."""

    status: int
    body: dict[str, Any]
    challenge: str | None
    reason: str | None
    uid: str | None
    vendor_calls: int
    connections: int


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture(scope="module")
def service(listener: Listener, tmp_path_factory: pytest.TempPathFactory) -> Service:
    """Return the service that the whole corpus is thrown at: five issuers, one clock."""
    return a_service_beside(listener, tmp_path_factory)


def a_service_beside(listener: Listener, folders: pytest.TempPathFactory) -> Service:
    """Return a service whose CometChat is the listener."""
    return a_service(
        {
            "sessions": session_tables(folders.mktemp("keys")),
            "cometchat": {"base_url": f"{listener.url}/v3"},
            # The listener hangs up on everybody: one knock is one call.
            "upstream": {"retry_ratio": 0},
        },
        now=lambda: NOW,
    )


def knock(service: Service, authorization: str | None, **request: Any) -> Any:
    """Ask for an auth token with exactly this header, as a WSGI server would hand it over."""
    raw = {} if authorization is None else {"HTTP_AUTHORIZATION": authorization}
    return service.client.post("/v1/auth-tokens", environ_overrides=raw, **request)


def refusal(service: Service, listener: Listener, case: Hostile) -> Refusal:
    """Throw *case* at the service and return what came of it."""
    answer = knock(service, case.header(listener.url), **case.request)
    record = json.loads(service.log.getvalue().splitlines()[-1])
    body = {name: value for name, value in answer.json.items() if name != "requestId"}
    return Refusal(
        status=answer.status_code,
        body=body,
        challenge=answer.headers.get("WWW-Authenticate"),
        reason=record.get("reason"),
        uid=record.get("uid"),
        vendor_calls=record["vendor_calls"],
        connections=listener.knocks(),
    )


@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: case.name)
def test_hostile(case: Hostile, service: Service, listener: Listener) -> None:
    """A hostile login gets the one refusal there is, for its own reason, and calls nobody."""
    seen = refusal(service, listener, case)

    assert seen == Refusal(
        status=case.status,
        body=PROBLEMS[case.status],
        challenge='Bearer error="invalid_token"' if case.status == 401 else None,
        reason=case.reason,
        uid=None,
        vendor_calls=0,
        connections=0,
    )


def test_the_corpus_is_large() -> None:
    """The corpus has its hundreds of cases, no two of one name, and uses every reason."""
    assert len({case.name for case in HOSTILE}) == len(HOSTILE) >= 400
    assert {case.reason for case in HOSTILE} == REASONS


@pytest.fixture
def other_listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture
def other_service(other_listener: Listener, tmp_path_factory: pytest.TempPathFactory) -> Service:
    """Return a service that has not met the corpus."""
    return a_service_beside(other_listener, tmp_path_factory)


@pytest.mark.parametrize("signer", SIGNERS.values(), ids=SIGNERS.keys())
def test_good_twin(signer: Signer, other_service: Service, other_listener: Listener) -> None:
    """And without hostility it would: a good token of every issuer gets as far as CometChat."""
    answer = knock(other_service, f"Bearer {token(signer)}")

    assert (answer.status_code, answer.json["code"]) == (503, "directory_unavailable")
    assert other_listener.knocks() == 1


@pytest.mark.parametrize("member", ["jku", "x5u"])
def test_address_in_a_good_token(
    member: str, other_service: Service, other_listener: Listener
) -> None:
    """A good token may carry an address: the one call is CometChat's, nobody follows it."""
    text = token(header={member: f"{other_listener.url}/jwks.json"})

    answer = knock(other_service, f"Bearer {text}")

    assert (answer.status_code, other_listener.knocks()) == (503, 1)


LEGAL_ODDITIES: Final = {
    "the-largest-token": a_token_of(LIMIT),
    "no-typ": token(header={"typ": ...}),
    "typ-at+jwt": token(header={"typ": "AT+JWT"}),
    "unknown-header-member": token(header={"x": [1, {"y": None}]}),
    "any-kid-under-a-pinned-key": token(header={"kid": "../../etc/passwd"}),
    "blanks-in-the-json": token(header=b'\n{ "alg" :\t"HS256" }\r\n'),
    "escaped-alg": token(header=b'{"\\u0061lg":"HS\\u003256"}'),
    "one-aud-of-several": token(payload={"aud": ["other", "chat"]}),
    "whole-surrogate-pair": token(payload={"x": "😀"}),
    "depth-32": token(payload={"x": json.loads("[" * 31 + "]" * 31)}),
    "late-by-less-than-the-leeway": token(payload={"exp": NOW - 29}),
}


@pytest.mark.parametrize("text", LEGAL_ODDITIES.values(), ids=LEGAL_ODDITIES.keys())
def test_legal_oddity(text: str, other_service: Service, other_listener: Listener) -> None:
    """What is odd and yet legal passes: the corpus's borders are where they are said to be."""
    answer = knock(other_service, f"Bearer {text}")

    assert (answer.status_code, other_listener.knocks()) == (503, 1)


@pytest.mark.parametrize("signer", SIGNERS.values(), ids=SIGNERS.keys())
def test_expired(signer: Signer, service: Service, listener: Listener) -> None:
    """A token that is good but for its age gets a code of its own, and calls nobody either."""
    answer = knock(service, f"Bearer {token(signer, payload={'exp': NOW - 60})}")

    assert (answer.status_code, answer.json["code"]) == (401, "session_expired")
    assert listener.knocks() == 0
