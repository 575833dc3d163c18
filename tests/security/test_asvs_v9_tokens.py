"""ASVS V9: a session token is proven, in time, of the right kind, and ours."""

from pathlib import Path
from typing import Any

import pytest

from tests.builders import NOW, Service, a_service, a_sessions_table, settings
from tests.raw_server import raw_server
from tests.security.forging import (
    ALGORITHMS,
    ED,
    ES,
    HS,
    KID,
    RS,
    RS_OTHER,
    Part,
    Signer,
    der,
    jwk,
    pem,
    session_tables,
    thief_for,
    token,
)
from tokensvc.settings_loading import ConfigurationError


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """Return a service that trusts five issuers, at one moment, with CometChat out of reach."""
    return a_service({"sessions": session_tables(tmp_path)}, now=lambda: NOW)


def reason(service: Service, text: str) -> str | None:
    """Log in, and return why that was refused; None where the token was good."""
    status = service.login(text).status_code
    record = service.records()[-1]
    return record["reason"] if status in {401, 422} else None


@pytest.mark.parametrize("signer", [HS, RS, ES, ED], ids=lambda signer: signer.alg)
def test_v9_1_1_good_tokens_are_told_by_their_signature(service: Service, signer: Signer) -> None:
    """With the issuer's signature a token is good; with a thief's, or none, the same one is not."""
    thief = thief_for(signer.alg)

    assert reason(service, token(signer)) is None
    assert reason(service, token(signer, sign=thief.sign)) == "signature_invalid"
    assert reason(service, token(signer, sign=lambda _: b"")) == "token_malformed"


@pytest.mark.parametrize("signer", [HS, RS, ES, ED], ids=lambda signer: signer.alg)
def test_v9_1_1_whatever_was_changed_is_noticed(service: Service, signer: Signer) -> None:
    """A token with one bit turned anywhere, in header, payload or signature, is refused."""
    good = token(signer)
    changed = [
        good[:place] + ("A" if good[place] != "A" else "B") + good[place + 1 :]
        for place in range(0, len(good), 7)
        if good[place] != "."
    ]

    assert [text for text in changed if reason(service, text) is None] == []


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", "hs256", "HS384", "RS256"])
def test_v9_1_2_algorithm_allow_list(service: Service, alg: str) -> None:
    """What is not on the issuer's list is refused, `none` in every spelling, signed or not."""
    text = token(HS, header={"alg": alg})

    assert reason(service, text) in {"alg_not_allowed", "alg_malformed"}
    assert reason(service, f"{text.rpartition('.')[0]}.") == "token_malformed"


@pytest.mark.parametrize("spelled", [pem, der, lambda key: pem(key).strip()])
@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_v9_1_2_a_public_key_is_no_secret(service: Service, alg: str, spelled: Any) -> None:
    """A token with a MAC under the public key, which everybody has, is refused."""
    secret = spelled(RS.public_key)
    mac = ALGORITHMS[alg]
    # PyJWT's own signer refuses such a key; an attacker's does not.
    text = token(RS, header={"alg": alg}, sign=lambda data: mac.sign(data, secret))

    assert reason(service, text) == "alg_not_allowed"


@pytest.mark.parametrize("algorithm", ["none", "RS256", "ES256"])
def test_v9_1_2_a_list_that_mixes_families_does_not_start(algorithm: str) -> None:
    """No issuer can have `none`, or a public key's algorithm beside a shared secret."""
    with pytest.raises(ConfigurationError):
        settings(sessions=[a_sessions_table(algorithms=["HS256", algorithm])])


def own_keys(url: str) -> dict[str, Part]:
    """Return headers that bring a key along, or say where one is."""
    thief = thief_for("RS256")
    return {
        "jwk": {"jwk": jwk(thief)},
        "jku": {"jku": f"{url}/jwks.json", "kid": KID},
        "x5u": {"x5u": f"{url}/cert.pem"},
        "x5c": {"x5c": ["MIIB"]},
        "kid-url": {"kid": f"{url}/jwks.json"},
        "kid-path": {"kid": "../../../../dev/null"},
        "kid-of-another": {"kid": "key-2"},
    }


@pytest.mark.parametrize("kind", own_keys("").keys())
def test_v9_1_3_keys_come_from_the_configuration(service: Service, kind: str) -> None:
    """A token that brings its own key, or its address, is judged by ours: nobody is asked."""
    with raw_server(b"") as stranger:
        header = own_keys(stranger.url)[kind]
        refused = reason(service, token(RS, header=header, sign=thief_for("RS256").sign))

    assert refused in {"signature_invalid", "key_unknown"}
    assert stranger.connections == 0


def test_v9_1_3_each_issuer_has_its_own_keys(service: Service) -> None:
    """A key that one issuer publishes under the same kid proves nothing for another."""
    assert reason(service, token(RS, sign=RS_OTHER.sign)) == "signature_invalid"
    assert reason(service, token(RS_OTHER)) is None


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"exp": NOW + 1}, None),
        ({"exp": NOW - 29}, None),
        ({"exp": NOW - 30}, "exp_past"),
        ({"exp": 0}, "exp_past"),
        ({"exp": ...}, "exp_missing"),
        ({"exp": str(int(NOW) + 600)}, "exp_malformed"),
        ({"nbf": NOW + 30}, None),
        ({"nbf": NOW + 31}, "nbf_in_future"),
        ({"iat": NOW + 31}, "iat_in_future"),
        ({"nbf": NOW + 31, "exp": NOW - 600}, "nbf_in_future"),
    ],
)
def test_v9_2_1_validity_time(
    service: Service, claims: dict[str, object], expected: str | None
) -> None:
    """A token counts from nbf and iat until exp, give or take the leeway; without exp never."""
    assert reason(service, token(HS, payload=claims)) == expected


@pytest.mark.parametrize(
    ("typ", "expected"),
    [
        ("JWT", None),
        ("at+jwt", None),
        ("dpop+jwt", "typ_not_allowed"),
        ("logout+jwt", "typ_not_allowed"),
        ("secevent+jwt", "typ_not_allowed"),
        ("id_token+jwt", "typ_not_allowed"),
        (["JWT"], "typ_malformed"),
    ],
)
def test_v9_2_2_token_type(service: Service, typ: object, expected: str | None) -> None:
    """A token that was made for another purpose says so in its typ, and is refused."""
    assert reason(service, token(HS, header={"typ": typ})) == expected


@pytest.mark.parametrize(
    ("audience", "expected"),
    [
        ("chat", None),
        (["web", "chat"], None),
        ("web", "aud_not_ours"),
        ("Chat", "aud_not_ours"),
        ("chat ", "aud_not_ours"),
        (["chatter", "https://chat"], "aud_not_ours"),
        ({"chat": 1}, "aud_malformed"),
    ],
)
def test_v9_2_3_audience(service: Service, audience: object, expected: str | None) -> None:
    """A token must name this service, letter for letter."""
    assert reason(service, token(HS, payload={"aud": audience})) == expected


@pytest.mark.parametrize("audience", [..., [], "", None])
def test_v9_2_4_a_token_without_audience_is_refused(service: Service, audience: object) -> None:
    """A token that could be for anybody is not for this service."""
    assert reason(service, token(HS, payload={"aud": audience})) in {
        "aud_malformed",
        "aud_not_ours",
    }


@pytest.mark.parametrize("audience", [None, [], ""])
def test_v9_2_4_no_service_without_an_audience(audience: object) -> None:
    """The check cannot be left out: settings without an audience do not start."""
    with pytest.raises(ConfigurationError, match="audience"):
        settings(sessions=[a_sessions_table(audience=audience)])
