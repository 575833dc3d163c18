"""Planted faults: verifiers with one check left out, for the fuzzer to find."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.builders import AUDIENCE, NOW
from tests.security.forging import RS_OTHER
from tests.security.fuzz_mutants import BY_ISSUER
from tests.security.fuzzing import MAX_CPU_S, Target, issuers, verifier
from tokensvc.adapters.key_sets import PUBLIC_KEY_ALGORITHMS, KeySet, VerificationKey
from tokensvc.domain.errors import SessionError
from tokensvc.domain.model import ChatUser, Session


class GullibleKey(VerificationKey):
    """A key that finds every signature good."""

    def verifies(self, signing_input: bytes, signature: bytes) -> bool:  # noqa: ARG002 (it looks at none)
        return True


@dataclass(frozen=True, slots=True)
class CarelessKeys:
    """Keys with a check left out: *hand_out* says which key the verifier gets."""

    keys: KeySet
    hand_out: Callable[[KeySet, str, str | None], VerificationKey | None]

    def find(self, algorithm: str, kid: str | None) -> VerificationKey | None:
        return self.hand_out(self.keys, algorithm, kid)


def with_careless_keys(
    hand_out: Callable[[KeySet, str, str | None], VerificationKey | None], *algorithms: str
) -> Target:
    """Return the real verifier over keys that *hand_out* hands out, for more *algorithms*."""
    careless = (
        replace(
            issuer,
            keys=CarelessKeys(issuer.keys, hand_out),
            algorithms=issuer.algorithms | set(algorithms),
        )
        for issuer in issuers()
    )
    return Target(verifier(careless).verify)


def any_signature() -> Target:
    return with_careless_keys(lambda keys, alg, kid: keys.find(alg, kid) and GullibleKey(alg, b""))


def alg_none() -> Target:
    return with_careless_keys(
        lambda keys, alg, kid: GullibleKey(alg, b"") if alg == "none" else keys.find(alg, kid),
        "none",
    )


def public_key_as_secret() -> Target:
    """Make the oldest mistake: the token says HS256, and the key is whatever the issuer has."""

    def hand_out(keys: KeySet, alg: str, kid: str | None) -> VerificationKey | None:
        public = [key for name in PUBLIC_KEY_ALGORITHMS if (key := keys.find(name, None))]
        if alg != "HS256" or not public:
            return keys.find(alg, kid)
        return VerificationKey(alg, _pem(public[0].material))

    return with_careless_keys(hand_out, "HS256")


def _pem(key: Any) -> bytes:
    raw: bytes = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return raw


def one_key_for_two_issuers() -> Target:
    """Mix up issuers who share alg and kid, and could be told apart by neither."""
    rs = next(issuer for issuer in issuers() if issuer.name == RS_OTHER.issuer)
    return with_careless_keys(lambda keys, alg, kid: rs.keys.find(alg, kid) or keys.find(alg, kid))


def no_expiry() -> Target:
    return Target(verifier(replace(issuer, leeway_s=1e12) for issuer in issuers()).verify)


def any_audience() -> Target:
    """Take audiences that are meant for others."""
    audiences = frozenset({AUDIENCE, "Chat", "other"})
    return Target(verifier(replace(issuer, audiences=audiences) for issuer in issuers()).verify)


def pyjwt_alone() -> Target:
    """Use the library with the checks that it offers, at the time that the mutants are made for."""
    chosen = {issuer.name: issuer for issuer in issuers()}

    def verify(text: str) -> Session:
        try:
            name = jwt.decode(text, options={"verify_signature": False})["iss"]
            signer = BY_ISSUER[name]
            key = signer.key if isinstance(signer.key, bytes) else signer.public_key
            claims = jwt.decode(
                text,
                key,
                algorithms=[signer.alg],
                audience=AUDIENCE,
                issuer=name,
                options={
                    "require": ["exp", "sub"],
                    "verify_iat": False,
                    "verify_nbf": False,
                    "verify_exp": False,
                },
            )
            if claims["exp"] <= NOW:
                raise SessionError("refused")
            user = ChatUser(chosen[name].uid_rule(claims["sub"]))
        except (jwt.PyJWTError, KeyError, TypeError):
            raise SessionError("refused") from None
        return Session(name, claims["sub"], user, claims["exp"])

    return Target(verify)


def forgiving_base64() -> Target:
    real = verifier(issuers())
    return Target(lambda text: real.verify(text.replace("=", "")))


def forgiving_header() -> Target:
    return Target(verifier(issuers()).verify, lambda header: (header or "").split(" ")[-1])


def crash() -> Target:
    real = verifier(issuers())
    return Target(lambda text: real.verify(text.encode("ascii").decode("ascii")))


def dear() -> Target:
    """Take longer than a token may, for whatever is long."""
    real = verifier(issuers())

    def verify(text: str) -> Session:
        end = time.thread_time() + 2 * MAX_CPU_S
        while len(text) > 2000 and time.thread_time() < end:
            pass
        return real.verify(text)

    return Target(verify)
