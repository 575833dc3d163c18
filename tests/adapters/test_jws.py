"""Compact JWS: what is read of a token before and after it is proven."""

from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.builders import SECRET
from tests.security.forging import HS, b64, token
from tokensvc.adapters.jws import MAX_TOKEN_BYTES, parse_jws
from tokensvc.adapters.key_sets import KeySet, PinnedKey, VerificationKey, key_from_secret
from tokensvc.domain.errors import SessionError
from tokensvc.domain.model import TokenHeader

CALM: Final = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Hypothesis's clock is off: it measures the machine."""
KEYS: Final[KeySet] = key_from_secret(SECRET.encode(), ["HS256"])


def reason_of(text: str) -> str:
    """Return why *text* is refused."""
    with pytest.raises(SessionError) as caught:
        parse_jws(text).verify(KEYS, ["HS256"])
    return caught.value.reason


def test_parts() -> None:
    """A token is read into its header and payload, both marked as unproven."""
    jws = parse_jws(token(header={"kid": "a"}, payload=b"any bytes"))

    assert jws.unverified_header == TokenHeader(alg="HS256", kid="a")
    assert (jws.unverified_type, jws.unverified_payload) == ("JWT", b"any bytes")


def test_verify() -> None:
    """The payload of a well signed token is handed over; a changed one is not."""
    good = token(payload=b"any bytes")
    head, _, signature = good.split(".")

    assert parse_jws(good).verify(KEYS, ["HS256"]) == b"any bytes"
    assert reason_of(f"{head}.{b64(b'other bytes')}.{signature}") == "signature_invalid"


def test_algorithm_must_be_configured() -> None:
    """An algorithm that is not configured is refused, even if there is a key for it."""
    jws = parse_jws(token())

    with pytest.raises(SessionError, match="alg_not_allowed"):
        jws.verify(KEYS, ["HS512"])


def test_key_must_be_bound_to_the_algorithm() -> None:
    """An algorithm that is configured is refused if no key is bound to it."""
    jws = parse_jws(token())

    with pytest.raises(SessionError, match="key_unknown"):
        jws.verify(PinnedKey({"HS512": VerificationKey("HS512", SECRET.encode())}), ["HS256"])


def test_none_is_never_verified() -> None:
    """Nothing verifies `none`, not even a service that was made to allow it."""
    jws = parse_jws(token(header={"alg": "none"}))

    with pytest.raises(SessionError, match="signature_invalid"):
        jws.verify(PinnedKey({"none": VerificationKey("none", None)}), ["none"])


def test_size() -> None:
    """A token has at most 8,192 characters."""
    assert reason_of("a" * MAX_TOKEN_BYTES) == "token_malformed"
    assert reason_of("a" * (MAX_TOKEN_BYTES + 1)) == "token_too_long"


@pytest.mark.parametrize("place", [0, 1, 2], ids=["header", "payload", "signature"])
@pytest.mark.parametrize(("good", "other"), [("AA", "AB"), ("AAA", "AAB")])
def test_one_spelling(place: int, good: str, other: str) -> None:
    """Each segment has one spelling: unused bits that are set are refused."""
    parts = [b64(b'{"alg":"HS256"}'), "AA", "AA"]
    parts[place] = other

    assert reason_of(".".join(parts)) == "token_malformed"
    if place:
        parts[place] = good
        assert reason_of(".".join(parts)) == "signature_invalid"


def test_repr_holds_no_token() -> None:
    """A token's parts are in no text that is made of it."""
    text = token(payload=b"payload-of-alice")

    printed = repr(parse_jws(text))

    assert "payload-of-alice" not in printed
    assert text.split(".")[1] not in printed


@CALM
@given(payload=st.binary(min_size=1, max_size=200), kid=st.none() | st.text("abc-._~ ", min_size=1))
def test_round_trip(payload: bytes, kid: str | None) -> None:
    """Whatever bytes are signed, those come out."""
    text = token(HS, header={"kid": kid or ...}, payload=payload)

    jws = parse_jws(text)

    assert jws.verify(KEYS, ["HS256"]) == payload
    assert jws.unverified_header.kid == (kid or None)


@CALM
@given(text=st.text() | st.from_regex(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"))
def test_any_text(text: str) -> None:
    """Whatever stands where a token should, it is refused as one."""
    assert reason_of(text)
