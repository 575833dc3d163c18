"""Session JWTs: which claims prove who is calling, and until when."""

import base64
import json
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.builders import AUDIENCE, NOW
from tests.security.forging import (
    ED,
    ES,
    HS,
    RS,
    RS_OTHER,
    SIGNERS,
    Signer,
    header_of,
    jwk,
    payload_of,
    pem,
    token,
)
from tokensvc.adapters.key_sets import KeySet, key_from_pem, key_from_secret, keys_from_jwks
from tokensvc.adapters.session_jwt import Issuer, JWTSessionVerifier
from tokensvc.domain.errors import SessionError, SessionExpiredError, UidNotAllowedError
from tokensvc.domain.profiles import ProfileClaims
from tokensvc.domain.uids import uid_rule

LEEWAY_S: Final = 30


def keys_of(signer: Signer) -> KeySet:
    """Return the keys of *signer* as an operator would configure them."""
    if signer.alg == "HS256":
        return key_from_secret(signer.key, [signer.alg])
    if signer.kid is None:
        return key_from_pem(pem(signer.public_key), [signer.alg])
    jwks = json.dumps({"keys": [jwk(signer)]}).encode()
    return keys_from_jwks(jwks, [signer.alg])


def an_issuer(signer: Signer = HS, **changes: Any) -> Issuer:
    """Return *signer* as a configured issuer."""
    good: dict[str, Any] = {
        "name": signer.issuer,
        "audiences": frozenset({AUDIENCE}),
        "algorithms": frozenset({signer.alg}),
        "keys": keys_of(signer),
        "uid_rule": uid_rule("exact"),
        "leeway_s": LEEWAY_S,
    }
    return Issuer(**good | changes)


def a_verifier(*issuers: Issuer) -> JWTSessionVerifier:
    """Return a verifier at the time that the tokens were issued."""
    return JWTSessionVerifier(issuers or [an_issuer()], now=lambda: NOW)


ALL: Final = a_verifier(*map(an_issuer, SIGNERS.values()))


def reason_of(verifier: JWTSessionVerifier, text: str) -> str:
    """Return why *verifier* refuses *text*."""
    with pytest.raises((SessionError, UidNotAllowedError)) as caught:
        verifier.verify(text)
    return caught.value.reason


# What a good token proves.


@pytest.mark.parametrize("signer", SIGNERS.values(), ids=SIGNERS.keys())
def test_good(signer: Signer) -> None:
    """A good token proves its issuer and its subject."""
    text = token(signer, payload={"jti": "one"})

    session = ALL.verify(text)

    assert (session.issuer, session.subject, session.user.uid) == (signer.issuer, "alice", "alice")
    assert (session.token_id, session.expires_at) == ("one", NOW + 600)
    assert session.header.kid == signer.kid


def test_profile() -> None:
    """The configured claims become the profile, and what CometChat would refuse is named."""
    verifier = a_verifier(an_issuer(profile_claims=ProfileClaims(name=("name",), role=("role",))))

    session = verifier.verify(token(payload={"name": "Alice", "role": 7}))

    assert session.user.profile.name == "Alice"
    assert session.dropped_claims == ("role",)


def test_profile_claims_are_not_read_unasked() -> None:
    """And without being configured a claim says nothing about the user."""
    session = ALL.verify(token(payload={"name": "Alice", "role": "admin", "tags": ["x"]}))

    assert (session.user.profile.name, session.user.profile.role) == (None, None)


def test_uid_claim() -> None:
    """The configured claim names the user, whatever sub says."""
    verifier = a_verifier(an_issuer(uid_claim=("ids", "chat")))

    session = verifier.verify(token(payload={"sub": "Auth0|1", "ids": {"chat": "alice"}}))

    assert (session.subject, session.user.uid) == ("alice", "alice")


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "AT+JWT", ...])
def test_type(typ: object) -> None:
    """The configured types pass in any case, and a token that names none."""
    assert ALL.verify(token(header={"typ": typ}))


def test_type_is_a_setting() -> None:
    """And without at+jwt among the types such a token is refused."""
    verifier = a_verifier(an_issuer(token_types=frozenset({"jwt"})))

    assert reason_of(verifier, token(header={"typ": "at+jwt"})) == "typ_not_allowed"


@pytest.mark.parametrize("aud", ["web", ["web"], ["other", AUDIENCE]])
def test_several_audiences(aud: object) -> None:
    """One of the configured audiences suffices, and none of them does not."""
    verifier = a_verifier(an_issuer(audiences=frozenset({AUDIENCE, "web"})))

    assert verifier.verify(token(payload={"aud": aud}))
    assert reason_of(verifier, token(payload={"aud": "other"})) == "aud_not_ours"


# Time.


@pytest.mark.parametrize(
    ("claim", "passes", "fails", "reason"),
    [
        ("exp", NOW - LEEWAY_S + 0.5, NOW - LEEWAY_S, "exp_past"),
        ("nbf", NOW + LEEWAY_S, NOW + LEEWAY_S + 0.5, "nbf_in_future"),
        ("iat", NOW + LEEWAY_S, NOW + LEEWAY_S + 0.5, "iat_in_future"),
        ("exp", 253_402_300_799, 253_402_300_800, "exp_malformed"),
        ("nbf", 0, -1, "nbf_malformed"),
        ("iat", 0.0, -0.1, "iat_malformed"),
    ],
)
def test_time(claim: str, passes: float, fails: float, reason: str) -> None:
    """Each time has its edge, and a clock may differ by the leeway and no more."""
    assert ALL.verify(token(payload={claim: passes}))
    assert reason_of(ALL, token(payload={claim: fails})) == reason


def test_no_leeway() -> None:
    """And without leeway a token ends when it says so."""
    verifier = a_verifier(an_issuer(leeway_s=0))

    assert verifier.verify(token(payload={"exp": NOW + 0.5}))
    assert reason_of(verifier, token(payload={"exp": NOW})) == "exp_past"


@pytest.mark.parametrize("claim", ["nbf", "iat", "jti"])
def test_optional(claim: str) -> None:
    """nbf, iat and jti may be missing."""
    assert ALL.verify(token(payload={claim: ...}))


@pytest.mark.parametrize("signer", SIGNERS.values(), ids=SIGNERS.keys())
def test_expired(signer: Signer) -> None:
    """A token that is good but for its age is told so, by an error of its own."""
    with pytest.raises(SessionExpiredError) as caught:
        ALL.verify(token(signer, payload={"exp": NOW - 60}))

    assert caught.value.issuer == signer.issuer


AMISS: Final[dict[str, dict[str, Any]]] = {
    "signature": {"sign": lambda _: bytes(32)},
    "alg": {"header": {"alg": "HS512"}},
    "typ": {"header": {"typ": "x"}},
    "crit": {"header": {"crit": ["x"]}},
    "iss": {"payload": {"iss": "x"}},
    "aud": {"payload": {"aud": "x"}},
    "sub": {"payload": {"sub": 1}},
    "jti": {"payload": {"jti": 1}},
    "nbf": {"payload": {"nbf": NOW + 60}},
    "iat": {"payload": {"iat": "x"}},
}


@pytest.mark.parametrize("amiss", AMISS.values(), ids=AMISS.keys())
def test_expired_and_amiss(amiss: dict[str, Any]) -> None:
    """And with anything else amiss its age is not told: the other reason goes first."""
    payload = {"exp": NOW - 60, "iat": NOW - 660} | amiss.get("payload", {})

    with pytest.raises(SessionError) as caught:
        ALL.verify(token(**amiss | {"payload": payload}))

    assert type(caught.value) is SessionError


def test_age_before_uid() -> None:
    """An expired token is refused for its age, whether or not its subject could be a uid."""
    with pytest.raises(SessionExpiredError):
        ALL.verify(token(payload={"exp": NOW - 60, "sub": "Not/Legal"}))


# Several issuers.


@pytest.mark.parametrize("victim", SIGNERS.values(), ids=SIGNERS.keys())
@pytest.mark.parametrize("signer", SIGNERS.values(), ids=SIGNERS.keys())
def test_one_key_one_issuer(signer: Signer, victim: Signer) -> None:
    """A key proves the tokens of its own issuer, and nobody else's."""
    text = token(victim, header=header_of(signer), sign=signer.sign)

    if signer is victim:
        assert ALL.verify(text).issuer == victim.issuer
    else:
        assert reason_of(ALL, text) in {"alg_not_allowed", "signature_invalid"}


def test_same_kid() -> None:
    """Two issuers with one algorithm and one kid still have keys of their own."""
    assert RS.kid == RS_OTHER.kid
    text = token(RS, payload={"iss": RS_OTHER.issuer})

    assert reason_of(ALL, text) == "signature_invalid"


def test_uid_prefix_of_the_proven_issuer() -> None:
    """Each issuer's uids wear its own prefix, so that equal subjects stay two users."""
    issuers = [
        an_issuer(signer, uid_rule=uid_rule("exact", prefix=f"{name}_"))
        for name, signer in {"rs": RS, "ed": ED}.items()
    ]
    verifier = a_verifier(*issuers)

    uids = [verifier.verify(token(signer)).user.uid for signer in (RS, ED)]
    assert uids == ["rs_alice", "ed_alice"]


# What the audit record is told.


def test_error_names_header_and_issuer() -> None:
    """A refusal carries how the token says it was signed, and the issuer it claims."""
    with pytest.raises(SessionError) as caught:
        ALL.verify(token(RS, header={"kid": "x"}))

    header = caught.value.unverified_header
    assert header is not None
    assert (header.alg, header.kid, caught.value.issuer) == ("RS256", "x", RS.issuer)


def test_error_names_no_stranger() -> None:
    """And an issuer that is not configured is not written down."""
    with pytest.raises(SessionError) as caught:
        ALL.verify(token(payload={"iss": "https://evil.test"}))

    assert (caught.value.reason, caught.value.issuer) == ("iss_unknown", None)


# Anything at all.

CALM: Final = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Hypothesis's clock is off: it measures the machine."""
GOOD: Final = [token(signer) for signer in SIGNERS.values()]
REFUSALS: Final = (SessionError, UidNotAllowedError)
SEGMENTS: Final = st.binary(min_size=1, max_size=60).map(
    lambda raw: base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
)


@given(text=st.text() | st.tuples(SEGMENTS, SEGMENTS, SEGMENTS).map(".".join))
@settings(CALM, max_examples=1000)
def test_any_text(text: str) -> None:
    """No text that comes by chance is a session."""
    with pytest.raises(REFUSALS):
        ALL.verify(text)


@given(
    text=st.sampled_from(GOOD),
    place=st.integers(0, 2000),
    cut=st.integers(0, 5),
    inserted=st.text(max_size=3) | st.text("ABCabc019-_.=", max_size=3),
)
@settings(CALM, max_examples=2000)
def test_mutated(text: str, place: int, cut: int, inserted: str) -> None:
    """A good token that is changed anywhere is a good one no more."""
    place %= len(text) + 1
    mutated = text[:place] + inserted + text[place + cut :]

    if mutated == text:
        assert ALL.verify(text)
    else:
        with pytest.raises(REFUSALS):
            ALL.verify(mutated)


VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)
CLAIMS: Final = st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "jti"])
PARAMETERS: Final = st.sampled_from(["alg", "typ", "kid", "crit", "jwk", "b64", "x"])


@given(changes=st.dictionaries(CLAIMS, VALUES, min_size=1))
@settings(CALM, max_examples=1000)
def test_any_claims(changes: dict[str, object]) -> None:
    """Whatever a signed payload holds, a session has a text for a subject and ends in time."""
    try:
        session = ALL.verify(token(payload=payload_of(HS, changes)))
    except REFUSALS:
        return
    assert session.user.uid == session.subject != ""
    assert NOW - LEEWAY_S < session.expires_at <= 253_402_300_799


@given(
    signer=st.sampled_from([HS, RS, ES, ED]),
    changes=st.dictionaries(PARAMETERS, VALUES, min_size=1),
)
@settings(CALM, max_examples=1000)
def test_any_header(signer: Signer, changes: dict[str, object]) -> None:
    """Whatever a signed header holds, only the algorithm of its issuer ever proves a token."""
    try:
        session = ALL.verify(token(signer, header=changes))
    except REFUSALS:
        return
    assert (session.issuer, session.header.alg) == (signer.issuer, signer.alg)
