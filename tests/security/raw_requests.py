"""Raw requests: what no client library would send, byte for byte."""

from typing import Final

from tests.builders import a_token

LATE: Final = 4_102_444_800
"""The year 2100: these tokens are made when the tests are collected, and used much later."""
ALICE: Final = f"Authorization: Bearer {a_token(sub='alice', exp=LATE)}"
BOB: Final = f"Authorization: Bearer {a_token(sub='bob', exp=LATE)}"
LOGIN: Final = "POST /v1/auth-tokens HTTP/1.1"
CHUNKED: Final = "Transfer-Encoding: chunked"
JSON: Final = "Content-Type: application/json"


def a_request(*headers: str, line: str = LOGIN, body: str = "", ends: bool = True) -> bytes:
    """Return a request with exactly these *headers*, after which the connection *ends*."""
    closing = ["Connection: close"] if ends else []
    return ("\r\n".join([line, *headers, *closing]) + "\r\n\r\n" + body).encode("latin-1")


def a_login(*headers: str, line: str = LOGIN, body: str = "", ends: bool = True) -> bytes:
    """Return a login of alice with these further *headers*."""
    return a_request("Host: x", ALICE, *headers, line=line, body=body, ends=ends)


SMUGGLED: Final = a_request("Host: x", BOB, "Content-Length: 0").decode("latin-1")
"""Bob's login, hidden in what may be alice's request."""

REFUSED: Final[dict[str, bytes]] = {
    "two-authorizations": a_login(BOB),
    "two-equal-authorizations": a_login(ALICE),
    "authorization-folded": a_request("Host: x", ALICE.replace("Bearer ", "Bearer\r\n ")),
    "header-folded": a_login("X-A: b\r\n c"),
    "space-before-colon": a_request("Host: x", ALICE.replace(":", " :", 1)),
    "authorization-spelled-http_": a_request("Host: x", f"Http_{ALICE}"),
    "nul-in-authorization": a_request("Host: x", f"{ALICE}\x00"),
    "beyond-ascii-in-authorization": a_request("Host: x", f"{ALICE}\xe9"),
    "9-kb-authorization": a_request("Host: x", "Authorization: Bearer " + "a" * 9216),
    "nul-in-a-value": a_login("X-A: a\x00b"),
    "control-in-a-value": a_login("X-A: a\x01b"),
    "delete-in-a-value": a_login("X-A: a\x7fb"),
    "return-in-a-value": a_login("X-A: a\rb"),
    "space-in-a-name": a_login("X A: b"),
    "beyond-ascii-in-a-name": a_login("X-\xe9: b"),
    "no-name": a_login(": b"),
    "no-colon": a_login("X-A"),
    "500-kb-header": a_login("X-A: " + "a" * 500_000),
    "200-kb-header": a_login("X-A: " + "a" * 200_000),
    "200-headers": a_login(*(f"X-{index}: a" for index in range(200))),
    "20000-headers": a_login(*(f"X-{index}: a" for index in range(20_000))),
    "two-lengths": a_login("Content-Length: 0", "Content-Length: 5", body="hello"),
    "lengths-in-a-list": a_login("Content-Length: 0, 0"),
    "length-with-sign": a_login("Content-Length: +0"),
    "negative-length": a_login("Content-Length: -1"),
    "length-in-hex": a_login("Content-Length: 0x0"),
    "length-overflows": a_login("Content-Length: 99999999999999999999"),
    "length-and-chunks": a_login("Content-Length: 0", CHUNKED, body="0\r\n\r\n"),
    "chunks-and-length": a_login(CHUNKED, "Content-Length: 5", body="0\r\n\r\n"),
    "encoding-unknown": a_login("Transfer-Encoding: xchunked", body="0\r\n\r\n"),
    "encoding-identity": a_login("Transfer-Encoding: identity"),
    "encoding-not-last": a_login("Transfer-Encoding: chunked, identity", body="0\r\n\r\n"),
    "encoding-gzip": a_login("Transfer-Encoding: gzip, chunked", body="0\r\n\r\n"),
    "two-encodings": a_login(CHUNKED, "Transfer-Encoding: identity", body="0\r\n\r\n"),
    "encoding-behind-a-tab": a_login("Transfer-Encoding: \x0bchunked", body="0\r\n\r\n"),
    "encoding-before-a-space": a_login("Transfer-Encoding : chunked", body="0\r\n\r\n"),
    "encoding-with-underscore": a_login("Transfer_Encoding: chunked", body="0\r\n\r\n"),
    "encoding-in-http-1.0": a_login(CHUNKED, line=LOGIN.replace("1.1", "1.0"), body="0\r\n\r\n"),
    "chunk-size-no-number": a_login(CHUNKED, JSON, body="zz\r\n{}\r\n0\r\n\r\n"),
    "chunk-size-negative": a_login(CHUNKED, JSON, body="-2\r\n{}\r\n0\r\n\r\n"),
    "chunk-size-overflows": a_login(CHUNKED, JSON, body="f" * 17 + "\r\n{}\r\n0\r\n\r\n"),
    "chunk-ends-in-bare-lf": a_login(CHUNKED, JSON, body="2\n{}\n0\n\n"),
    "chunk-extension-endless": a_login(
        CHUNKED, JSON, body="2;" + "a" * 100_000 + "\r\n{}\r\n0\r\n\r\n"
    ),
    "trailer-with-authorization": a_login(CHUNKED, body=f"0\r\n{BOB}\r\n\r\n"),
    "method-in-lower-case": a_login(line=LOGIN.replace("POST", "post")),
    "method-no-token": a_login(line=LOGIN.replace("POST", "P@ST")),
    "connect": a_login(line="CONNECT x:80 HTTP/1.1"),
    "connect-to-the-path": a_login(line=LOGIN.replace("POST", "CONNECT")),
    "trace": a_login(line=LOGIN.replace("POST", "TRACE")),
    "options-of-all": a_login(line="OPTIONS * HTTP/1.1"),
    "no-host": a_request(ALICE),
    "two-hosts": a_login("Host: y"),
    "http-0.9": b"POST /v1/auth-tokens\r\n\r\n",
    "http-1.2": a_login(line=LOGIN.replace("1.1", "1.2")),
    "http-2.0": a_login(line=LOGIN.replace("1.1", "2.0")),
    "http-2-preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "noise": b"\xff\xfe\x00noise\r\n\r\n",
    "bare-cr": a_login().replace(b"\r\n", b"\r"),
    "tabs-in-the-first-line": a_login(line=LOGIN.replace(" ", "\t")),
    "two-spaces-in-the-first-line": a_login(line=LOGIN.replace(" ", "  ", 1)),
    "a-word-more-in-the-first-line": a_login(line=LOGIN.replace(" H", " x H")),
    "target-beyond-ascii": a_login(line=LOGIN.replace("tokens", "tokens\xe9")),
    "target-without-slash": a_login(line=LOGIN.replace("/v1", "v1")),
    "target-of-70-kb": a_login(line=LOGIN.replace("tokens", "a" * 70_000)),
    "target-with-dots": a_login(line=LOGIN.replace("/v1", "/x/../v1")),
}
"""Requests that are wrong, or that two readers could read differently."""

BROKEN_OFF: Final[dict[str, bytes]] = {
    "first-line": LOGIN[:20].encode(),
    "headers": a_login()[:-10],
    "body": a_login("Content-Length: 100", JSON, body="{}"),
    "first-chunk": a_login(CHUNKED, JSON, body="2"),
}
"""Requests after whose last byte the client has no more to say."""

ACCEPTED: Final[dict[str, bytes]] = {
    "plain": a_login(),
    "length-of-0": a_login("Content-Length: 0"),
    "two-equal-lengths": a_login("Content-Length: 0", "Content-Length: 0"),
    "chunk-whole": a_login(CHUNKED, JSON, body="2\r\n{}\r\n0\r\n\r\n"),
    "chunk-extension": a_login(CHUNKED, JSON, body="2;a=b\r\n{}\r\n0\r\n\r\n"),
    "9-kb-header": a_login("X-A: " + "a" * 9216),
    "90-headers": a_login(*(f"X-{index}: a" for index in range(90))),
    "authorization-with-underscore": a_login(BOB.replace(":", "_:", 1)),
    "length-with-underscore": a_login("Content_Length: 5"),
    "beyond-ascii-in-a-value": a_login("X-A: \xe9\xff"),
    "absolute-target": a_login(line=LOGIN.replace("/v1", "http://other.example.test/v1")),
    "fragment": a_login(line=LOGIN.replace("tokens", "tokens#x")),
    "http-1.0": a_request(ALICE, line=LOGIN.replace("1.1", "1.0")),
    "blank-lines-first": b"\r\n" * 100 + a_login(),
    "bare-lf": a_login().replace(b"\r\n", b"\n"),
    "expectation-unknown": a_login("Expect: 200-ok"),
    "upgrade-to-http-2": a_login("Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
    "connection-names-authorization": a_login("Connection: Authorization"),
}
"""Requests that are odd and have one reading: alice's login, and nothing else."""

PAIRS: Final[dict[str, bytes]] = {
    "length-0-and-chunks": a_login("Content-Length: 0", CHUNKED, body="0\r\n\r\n", ends=False),
    "length-and-chunks": a_login(
        f"Content-Length: {5 + len(SMUGGLED)}", CHUNKED, body="0\r\n\r\n", ends=False
    ),
    "chunk-holds-it": a_login(
        CHUNKED, "Content-Length: 4", body=f"{len(SMUGGLED):x}\r\n{SMUGGLED}\r\n0\r\n\r\n"
    ),
    "encoding-behind-a-tab": a_login(
        "Content-Length: 0", "Transfer-Encoding: \x0bchunked", body="0\r\n\r\n", ends=False
    ),
    "encoding-with-underscore": a_login("Transfer_Encoding: chunked", body="0\r\n\r\n", ends=False),
    "chunk-size-no-number": a_login(CHUNKED, body="zz\r\n\r\n", ends=False),
    "body-holds-it": a_login(f"Content-Length: {len(SMUGGLED)}", body=SMUGGLED),
    "body-of-a-get": a_login(
        f"Content-Length: {len(SMUGGLED)}", line="GET /livez HTTP/1.1", body=SMUGGLED
    ),
    "body-of-a-refused-login": a_request(
        "Host: x", f"Content-Length: {len(SMUGGLED)}", body=SMUGGLED
    ),
    "two-lengths": a_login("Content-Length: 0", f"Content-Length: {len(SMUGGLED)}", ends=False),
    "folded-length": a_login(f"Content-Length:\r\n {len(SMUGGLED)}", ends=False),
}
"""Alice's request, ended at one place by one reader and at another by the next one."""
