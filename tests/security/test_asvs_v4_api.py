"""ASVS V4: the API answers what it should, as HTTP wants it."""

import json
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.builders import Service, a_service, a_service_with, a_token
from tests.fakes import FakeDirectory
from tests.processes import serving
from tests.raw_server import an_answer, raw_server

PATHS = ["/v1/auth-tokens", "/livez", "/readyz", "/version", "/openapi.json", "/docs", "/nothing"]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"]


def a_plain_service() -> Service:
    return a_service_with(FakeDirectory())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", PATHS)
def test_v4_1_1_every_body_says_what_it_is(path: str, method: str) -> None:
    """Each answer's Content-Type is true: JSON parses as JSON, HTML is HTML and names UTF-8."""
    answer = a_plain_service().client.open(path, method=method)

    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    if not answer.data:
        return
    if answer.mimetype == "text/html":
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.text.startswith("<!doctype html>")
    else:
        assert answer.mimetype in {"application/json", "application/problem+json"}
        assert isinstance(json.loads(answer.data.decode("utf-8")), dict)


@pytest.mark.parametrize("path", [*PATHS, "//livez", "/v1//auth-tokens", "/docs/", "/v1"])
def test_v4_1_2_nothing_redirects(path: str) -> None:
    """No path redirects, not even a request that a proxy says came over plain HTTP."""
    client = a_plain_service().client

    for method in ("GET", "POST"):
        answer = client.open(path, method=method, headers={"X-Forwarded-Proto": "http"})
        assert not 300 <= answer.status_code < 400
        assert "Location" not in answer.headers


FORGED = {
    "X-Forwarded-For": "198.51.100.7",
    "X-Real-IP": "198.51.100.7",
    "Forwarded": "for=198.51.100.7",
    "X-Forwarded-Host": "evil.test",
    "X-Forwarded-Prefix": "/admin",
    "X-User-Id": "bob",
    "X-Remote-User": "bob",
    "X-HTTP-Method-Override": "DELETE",
}


def test_v4_1_3_headers_of_proxies_are_not_the_clients_to_set() -> None:
    """From a peer that is no proxy of ours such headers change neither address nor user."""
    service = a_plain_service()

    answer = service.login(headers=FORGED)

    (record,) = service.records()
    assert (answer.status_code, answer.get_json()["uid"]) == (201, "alice")
    assert (record["client_address"], record["method"]) == ("127.0.0.1", "POST")


def test_v4_1_3_what_stands_before_our_proxy_is_not_believed() -> None:
    """Behind a proxy of ours only what that proxy saw counts, not what the client wrote."""
    service = a_service_with(FakeDirectory(), http={"trusted_proxies": ["127.0.0.1/32"]})

    service.login(headers={**FORGED, "X-Forwarded-For": "6.6.6.6, 203.0.113.9"})

    assert service.records()[0]["client_address"] == "203.0.113.9"


def test_v4_1_4_only_documented_methods_are_answered() -> None:
    """A method that the API document does not name is 405 (OPTIONS and HEAD belong to HTTP)."""
    service = a_plain_service()
    documented = service.client.get("/openapi.json").get_json()["paths"]

    for path in PATHS[:-1]:
        named = {method.upper() for method in documented[path]}
        implied = {"OPTIONS"} | ({"HEAD"} if "GET" in named else set())
        refused = {
            method
            for method in METHODS
            if service.client.open(path, method=method).status_code == 405
        }
        assert named in ({"GET"}, {"POST"}), path
        assert refused == set(METHODS) - named - implied, path


def exchange(port: int, text: bytes) -> bytes:
    """Say *text* and return all that comes back until the other side closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as wire:
        wire.sendall(text)
        return b"".join(iter(lambda: wire.recv(65536), b""))


HEAD = b"POST /v1/auth-tokens HTTP/1.1\r\nHost: x\r\n"
SECOND = b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def test_v4_2_1_no_request_hides_in_another(tmp_path: Path) -> None:
    """With two lengths in one head the second request is not answered; asked openly it is."""
    both = HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    twice = HEAD + b"Content-Length: 0\r\nContent-Length: 30\r\n\r\n"
    openly = HEAD + b"Content-Length: 0\r\n\r\n"
    with (
        raw_server(an_answer(b"{}")) as vendor,
        serving(tmp_path, vendor_url=vendor.url) as process,
    ):
        port = urlsplit(process.url).port or 0
        answers = [exchange(port, first + SECOND) for first in (openly, both, twice)]

    assert [answer.count(b'"tokensvc"') for answer in answers] == [1, 0, 0]
    assert answers[2].startswith(b"HTTP/1.1 400")


def test_v4_2_5_requests_to_cometchat_stay_short() -> None:
    """The longest subject and the longest claims make a request line of some hundred bytes."""
    with raw_server(an_answer(b'{"data": {}}')) as vendor:
        service = a_service(
            {
                "cometchat": {"base_url": f"{vendor.url}/v3"},
                "upstream": {"retry_ratio": 0},
                "uids": {"strategy": "encoded"},
            }
        )
        service.login(a_token(sub="X" * 1000, name="n" * 3000))
        service.login(a_token(sub="x" * 1001))

    (request,) = vendor.requests
    head = request.partition(b"\r\n\r\n")[0]
    assert len(head.partition(b"\r\n")[0]) < 200
    assert len(head) < 1000
