"""Key sources: which URLs are asked, what is believed of the answer, and for how long."""

import json
from typing import Any, Final

import pytest

from tests.raw_server import an_answer
from tests.remote_issuers import a_provider, a_set, published
from tests.security.forging import RS
from tokensvc.adapters.discovery import configuration_url, parse_jwks_uri
from tokensvc.adapters.http_client import Bounds
from tokensvc.adapters.key_schedule import refresh_after_s, retry_after_s
from tokensvc.adapters.key_sets import MAX_JWKS_BYTES, KeyPolicyError
from tokensvc.adapters.key_source import KeyFetchError, KeySource, Reach, lifetime_s
from tokensvc.adapters.key_urls import parse_key_url


def a_source(url: str, *, issuer: str = RS.issuer, is_discovery: bool = False) -> KeySource:
    reach = Reach(Bounds(0.5, 1.0, 1.0), max_age_s=3600.0)
    return KeySource(issuer, url, frozenset({"RS256"}), is_discovery, reach)


def test_fetch() -> None:
    """The keys, the text that published them, and for how long they are good."""
    with a_provider(published(RS, cache_control="public, max-age=600")) as provider:
        fetched = a_source(provider.jwks_url).fetch()

    assert fetched.keys.find("RS256", "key-1")
    assert (fetched.jwks, fetched.max_age_s) == (a_set(RS), 600)


def test_request() -> None:
    """The request has the URL's own path and query, and no connection is kept."""
    with a_provider(published(RS)) as provider:
        a_source(f"HTTP://localhost:{provider.port}/a%2Fb/keys?p=one&q=%20").fetch()
        head = provider.server.requests[0].lower()

    assert head.startswith(b"get /a%2fb/keys?p=one&q=%20 http/1.1\r\n")
    assert b"\r\nconnection: close\r\n" in head
    assert head.endswith(b"\r\n\r\n")


def test_url_without_a_path() -> None:
    """A URL may be a host alone."""
    with a_provider(published(RS)) as provider:
        assert a_source(f"http://localhost:{provider.port}").fetch().keys.has("key-1")


@pytest.mark.parametrize("media_type", ["application/jwk-set+json", "text/plain", "x"])
def test_media_type_does_not_matter(media_type: str) -> None:
    """Keys often lie in plain storage; what they are is read from the text alone."""
    with a_provider(an_answer(a_set(RS), f"Content-Type: {media_type}")) as provider:
        assert a_source(provider.jwks_url).fetch().keys.has("key-1")


def test_largest_set() -> None:
    """512 KB are read, more than of any other answer; and not a byte more."""
    text = a_set(RS)
    with a_provider(an_answer(text.ljust(MAX_JWKS_BYTES))) as provider:
        assert a_source(provider.jwks_url).fetch().keys.has("key-1")
        provider.answer = an_answer(text.ljust(MAX_JWKS_BYTES + 1))

        with pytest.raises(KeyFetchError, match="answer_too_large"):
            a_source(provider.jwks_url).fetch()


def test_discovered() -> None:
    """The configuration of the issuer says where the keys are, on whatever host."""
    with a_provider(published(RS)) as keys, a_provider(b"") as issuer:
        name = f"http://localhost:{issuer.port}/tenant/"
        document = {"issuer": name, "jwks_uri": keys.jwks_url}
        issuer.answer = an_answer(json.dumps(document).encode())
        found = a_source(configuration_url(name), issuer=name, is_discovery=True).fetch()
        asked = issuer.server.requests[0].split(b" ")[1]

    assert found.keys.has("key-1")
    assert asked == b"/tenant/.well-known/openid-configuration"
    assert (issuer.fetches, keys.fetches) == (1, 1)


def test_refusal_quotes_nothing() -> None:
    """What an issuer wrote is in no error, also not further down its chain."""
    secret = an_answer(b'{"keys": [{"kid": "canary", "kty": "oct"}]}')
    with a_provider(secret) as provider, pytest.raises(KeyFetchError) as caught:
        a_source(provider.jwks_url).fetch()

    assert caught.value.reason == "keys_refused"
    assert caught.value.detail == "the JWKS holds a secret or private key"
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", 300),
        ("max-age=600", 600),
        ("public, MAX-AGE = 600 , immutable", 600),
        ('max-age="600"', 600),
        ("max-age=1", 60),
        ("max-age=0", 60),
        ("max-age=86400", 3600),
        ("max-age=" + "9" * 400, 3600),
        ("max-age=-5", 300),
        ("max-age=junk", 300),
        ("max-age", 300),
        ("max-age=\u0661", 300),
        ("s-maxage=900", 300),
        ("no-store", 60),
        ("no-cache, max-age=600", 60),
        (",,;=,", 300),
    ],
)
def test_lifetime(header: str, seconds: float) -> None:
    """Cache-Control is believed between a minute and what is configured, else it is 5 minutes."""
    assert lifetime_s(header, most_s=3600) == seconds
    assert lifetime_s(header, most_s=300) == min(seconds, 300)


def test_schedule() -> None:
    """Sets are fetched ahead of their age, failures soon, and processes not in step."""
    assert [refresh_after_s(300, draw=draw) for draw in (0, 0.5, 1)] == [225, 240, 255]
    assert [retry_after_s(count, draw=0) for count in (1, 2, 3, 4, 1000)] == [1, 2, 4, 5, 5]
    assert retry_after_s(4, draw=1) == 3.75


URLS: Final = {
    "plain": "https://login.example.test/jwks",
    "query": "https://login.example.test/keys?p=b2c_1",
    "port": "https://login.example.test:8443/jwks",
    "loopback": "http://127.0.0.1:8080/jwks",
    "loopback-name": "http://localhost/jwks",
    "loopback-6": "http://[::1]:80/jwks",
}
NO_URLS: Final = {
    "http": "http://login.example.test/jwks",
    "http-private": "http://10.0.0.1/jwks",
    "http-like-loopback": "http://127.0.0.1.example.test/jwks",
    "http-localhost-dot": "http://localhost.example.test/jwks",
    "file": "file:///etc/passwd",
    "ftp": "ftp://login.example.test/jwks",
    "no-scheme": "login.example.test/jwks",
    "no-host": "https:///jwks",
    "user": "https://user@login.example.test/jwks",
    "password": "https://u:p@login.example.test/jwks",
    "fragment": "https://login.example.test/jwks#x",
    "empty-fragment": "https://login.example.test/jwks#",
    "backslash": "https://login.example.test\\@evil.test/jwks",
    "blank": "https://login.example.test/jw ks",
    "newline": "https://login.example.test/jwks\nHost: x",
    "not-ascii": "https://lögin.example.test/jwks",
    "port-zero": "https://login.example.test:0/jwks",
    "port-text": "https://login.example.test:x/jwks",
    "port-large": "https://login.example.test:99999/jwks",
    "bracket": "https://[login/jwks",
    "empty": "",
    "long": "https://login.example.test/" + "x" * 1000,
}


@pytest.mark.parametrize("text", URLS.values(), ids=URLS.keys())
def test_key_url(text: str) -> None:
    """Keys come over https, or from this machine."""
    assert parse_key_url(text) == text


@pytest.mark.parametrize("text", NO_URLS.values(), ids=NO_URLS.keys())
def test_no_key_url(text: str) -> None:
    """From anywhere else, or in a spelling that could be read in two ways, they do not come."""
    with pytest.raises(ValueError, match="must "):
        parse_key_url(text)


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        ("https://a.test", "https://a.test/.well-known/openid-configuration"),
        ("https://a.test/", "https://a.test/.well-known/openid-configuration"),
        ("https://a.test/b/c", "https://a.test/b/c/.well-known/openid-configuration"),
    ],
)
def test_configuration_url(issuer: str, url: str) -> None:
    """The path of the issuer goes first, a slash at its end does not count."""
    assert configuration_url(issuer) == url


def a_configuration(**members: Any) -> bytes:
    good = {"issuer": RS.issuer, "jwks_uri": "https://keys.example.test/"}
    return json.dumps({**good, **members}).encode()


def test_jwks_uri() -> None:
    """A configuration of the issuer itself names where its keys are."""
    assert parse_jwks_uri(a_configuration(), RS.issuer) == "https://keys.example.test/"


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "http://localhost:8080/jwks"])
def test_jwks_uri_on_this_machine(url: str) -> None:
    """Only an issuer on this machine may point at it: others would have us ask our neighbours."""
    here = "http://localhost:1"

    assert parse_jwks_uri(a_configuration(issuer=here, jwks_uri=url), here) == url
    with pytest.raises(KeyPolicyError, match="is not https"):
        parse_jwks_uri(a_configuration(jwks_uri=url), RS.issuer)


@pytest.mark.parametrize("url", ["https://127.0.0.1/", "https://localhost/", "https://[::1]:8443/"])
def test_jwks_uri_on_this_machine_over_https(url: str) -> None:
    """With a certificate it is as much on this machine as without."""
    here = "https://localhost:1"

    assert parse_jwks_uri(a_configuration(issuer=here, jwks_uri=url), here) == url
    with pytest.raises(KeyPolicyError, match="is on this machine"):
        parse_jwks_uri(a_configuration(jwks_uri=url), RS.issuer)


@pytest.mark.parametrize(
    "issuer", ["", None, 7, RS.issuer.upper(), f"{RS.issuer}/", f"{RS.issuer}#", [RS.issuer]]
)
def test_configuration_of_another(issuer: object) -> None:
    """The issuer is compared letter for letter."""
    with pytest.raises(KeyPolicyError, match="of another issuer"):
        parse_jwks_uri(a_configuration(issuer=issuer), RS.issuer)
