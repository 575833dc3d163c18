"""ASVS V11: proven cryptography, strong keys, and no hint when it fails."""

import hashlib
import hmac
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa

from tests.builders import NOW, Service, a_service, a_sessions_table, settings
from tests.security.forging import ED, ES, HS, RS, Signer, pem, session_tables, thief_for, token
from tests.security.source_tree import PACKAGE, ROOT, SERVICE, attributes_of, imported, room
from tokensvc.adapters.key_sets import (
    MIN_RSA_BITS,
    MIN_SECRET_BYTES,
    PUBLIC_KEY_ALGORITHMS,
    SECRET_ALGORITHMS,
    key_from_secret,
)
from tokensvc.settings_faults import secret_tables
from tokensvc.settings_loading import ConfigurationError

RULES = (ROOT / "docs" / "security.md").read_text()
CRYPTOGRAPHY = RULES.partition("## Keys and cryptography")[2].partition("\n## ")[0]
SECRETS = [
    f"{'.'.join(str(part) for part in place if isinstance(part, str))}.{name}"
    for _, place, name in secret_tables(
        {"cometchat": {}, "limits": {}, "audit": {}, "sessions": [{}]}
    )
]


@pytest.mark.parametrize("stage", ["made", "given", "used", "replaced", "deleted"])
def test_v11_1_1_the_life_of_a_key_is_written_down(stage: str) -> None:
    """The written policy follows a key from its making to its end."""
    (life,) = re.findall(r"A key lives like this:(.*?)\.\s", CRYPTOGRAPHY, re.DOTALL)

    assert stage in life


@pytest.mark.parametrize("name", SECRETS)
def test_v11_1_2_every_secret_is_in_the_inventory(name: str) -> None:
    """Each secret setting has a row that says what it is used for."""
    assert re.search(rf"^\| `{re.escape(name)}`.*\|.*\|", CRYPTOGRAPHY, re.MULTILINE)


def test_v11_1_2_every_algorithm_is_in_the_inventory() -> None:
    """The inventory names the algorithms that the code knows, with their bounds, and no other."""
    named = set(re.findall(r"\b(?:[HRPE]S\d{3}|EdDSA)\b", CRYPTOGRAPHY))

    assert named == SECRET_ALGORITHMS | PUBLIC_KEY_ALGORITHMS
    assert ", ".join(map(str, MIN_SECRET_BYTES.values())) in CRYPTOGRAPHY
    assert f"RSA {MIN_RSA_BITS} bits" in CRYPTOGRAPHY


def test_v11_2_1_cryptography_comes_from_proven_libraries() -> None:
    """Signatures and hashes are made by `cryptography`, PyJWT and the standard library alone."""
    homes = {"jwt", "cryptography", "hashlib", "hmac", "ssl", "secrets"}
    known = homes | {"Crypto", "Cryptodome", "nacl", "ecdsa", "rsa", "jose", "authlib", "OpenSSL"}
    used = {name.partition(".")[0] for path in SERVICE for name in imported(path)}
    locked = set(
        re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    )

    assert used & known <= homes
    assert {"cryptography", "pyjwt"} <= locked
    assert not locked & {"pycrypto", "pycryptodome", "pynacl", "ecdsa", "rsa", "python-jose"}


def reason(service: Service, text: str) -> str | None:
    """Log in, and return why that was refused; None where the token was good."""
    refused = service.login(text).status_code == 401
    return service.records()[-1]["reason"] if refused else None


def a_service_for(table: dict[str, Any]) -> Service:
    return a_service({"sessions": [table]}, now=lambda: NOW)


@pytest.mark.parametrize("signer", [RS, ES, ED], ids=lambda signer: signer.alg)
def test_v11_2_2_algorithm_is_a_setting(tmp_path: Path, signer: Signer) -> None:
    """Another algorithm and key are a change of the settings; then the old ones are refused."""
    (tmp_path / "key.pem").write_bytes(pem(signer.public_key))
    table = a_sessions_table(
        issuer=HS.issuer,
        secret=None,
        public_key_file=str(tmp_path / "key.pem"),
        algorithms=[signer.alg],
    )
    service = a_service_for(table)
    new = Signer(HS.issuer, signer.alg, signer.key)

    assert reason(service, token(new)) is None
    assert reason(service, token(HS)) == "alg_not_allowed"


@pytest.mark.parametrize(
    ("algorithm", "length"), [(name, least - 1) for name, least in MIN_SECRET_BYTES.items()]
)
def test_v11_2_3_short_secrets_do_not_start(algorithm: str, length: int) -> None:
    """A secret with fewer bytes than its digest is refused, and has 256 bits at least."""
    secret = ("Zk3vQ8pLr2Xw9TbN6mHs4JdYc7FgA1eU" * 2)[:length]

    with pytest.raises(ConfigurationError, match="needs at least"):
        settings(sessions=[a_sessions_table(algorithms=[algorithm], secret=secret)])


WEAK = {
    "rsa-1024": rsa.generate_private_key(65537, 1024).public_key(),  # noqa: S505 (which is why)
    "p-192": ec.generate_private_key(ec.SECP192R1()).public_key(),
    "secp256k1": ec.generate_private_key(ec.SECP256K1()).public_key(),
    "ed448": ed448.Ed448PrivateKey.generate().public_key(),
}


@pytest.mark.parametrize("kind", WEAK)
def test_v11_2_3_weak_and_unlisted_keys_do_not_start(tmp_path: Path, kind: str) -> None:
    """RSA below 2048 bits and curves that are not on the list are refused at start-up."""
    (tmp_path / "key.pem").write_bytes(pem(WEAK[kind]))
    table = a_sessions_table(
        secret=None, public_key_file=str(tmp_path / "key.pem"), algorithms=["RS256"]
    )

    with pytest.raises(ConfigurationError):
        settings(sessions=[table])
    with pytest.raises(ConfigurationError):
        settings(sessions=[{**table, "algorithms": ["ES256"]}])


class Watched(bytes):
    """Bytes that notice when they are compared by `==`, which stops at the first difference."""

    compared = False

    def __eq__(self, other: object) -> bool:
        type(self).compared = True
        return bytes(self) == other

    __hash__ = bytes.__hash__


@pytest.mark.parametrize("algorithm", sorted(SECRET_ALGORITHMS))
def test_v11_2_4_macs_are_compared_in_constant_time(algorithm: str) -> None:
    """A token's MAC is judged without a comparison that stops at the first wrong byte."""
    secret = b"Zk3vQ8pLr2Xw9TbN6mHs4JdYc7FgA1eU" * 2
    digest = getattr(hashlib, f"sha{algorithm[2:]}")
    mac = hmac.digest(secret, b"signed", digest)
    key = key_from_secret(secret, [algorithm]).find(algorithm, None)

    assert key is not None
    assert key.verifies(b"signed", Watched(mac))
    assert not key.verifies(b"signed", Watched(bytes(len(mac))))
    assert not Watched.compared


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """Return a service that trusts five issuers, at one moment."""
    return a_service({"sessions": session_tables(tmp_path)}, now=lambda: NOW)


@pytest.mark.parametrize("signer", [HS, RS, ES, ED], ids=lambda signer: signer.alg)
@pytest.mark.parametrize("length", [1, 31, 63, 64, 65, 255, 256, 257, 1024])
def test_v11_2_5_odd_signatures_are_refused_like_wrong_ones(
    service: Service, signer: Signer, length: int
) -> None:
    """A signature of any form or length is an ordinary refusal: no crash, and no other answer."""
    odd = service.login(token(signer, sign=lambda _: b"\xff" * length))
    wrong = service.login(token(signer, sign=thief_for(signer.alg).sign))

    assert odd.status_code == wrong.status_code == 401
    assert {**odd.get_json(), "requestId": ""} == {**wrong.get_json(), "requestId": ""}
    assert service.records()[-2]["reason"] == "signature_invalid"


def test_v11_4_1_only_approved_hash_functions() -> None:
    """The service's own hashes are of the SHA-2 family, and so are those of its signatures."""
    own = attributes_of("hashlib")
    signatures = {name[2:] for name in SECRET_ALGORITHMS | PUBLIC_KEY_ALGORITHMS - {"EdDSA"}}

    assert "sha256" in own
    assert own <= {"sha256", "sha384", "sha512"}
    assert signatures == {"256", "384", "512"}


def test_v11_5_1_no_guessable_random_numbers() -> None:
    """Python's guessable generator serves to spread waiting times out, and for nothing else."""
    guessing = [path for path in PACKAGE.rglob("*.py") if "random" in imported(path)]

    assert [room(path) for path in guessing if "jitter" not in path.read_text()] == []
