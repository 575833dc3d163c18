"""Fuzzing: one mutant at a time through header parser and verifier, and what must never happen."""

import json
import time
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from tests.builders import AUDIENCE, NOW
from tests.security.forging import Signer, b64, jwk, pem
from tests.security.fuzz_mutants import Mutant, mutant
from tests.security.fuzz_vocabulary import SIGNERS, uid_prefix
from tests.security.second_reader import faults_of
from tokensvc.adapters.key_sets import KeySet, key_from_pem, key_from_secret, keys_from_jwks
from tokensvc.adapters.session_jwt import Issuer, JWTSessionVerifier
from tokensvc.domain.errors import TokenServiceError
from tokensvc.domain.model import Session
from tokensvc.domain.profiles import ProfileClaims
from tokensvc.domain.uids import uid_rule
from tokensvc.web.guard import unverified_bearer_token

MAX_CPU_S: Final = 0.020
"""What one token may cost at most."""
CPU_REPEATS: Final = 7
"""A token that seems slow is tried again so often: a busy machine is not the token's fault."""


class FindingError(AssertionError):
    """Something happened that never must; its text is the mutant."""


@dataclass(slots=True)
class Figures:
    """What came of the mutants so far."""

    mutants: int = 0
    accepted: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    slowest: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """The way of a session token from the header to its session, watched."""

    verify: Callable[[str], Session]
    parse_header: Callable[[str | None], str] = unverified_bearer_token
    figures: Figures = field(default_factory=Figures)

    def try_one(self, data: bytes) -> None:
        """Try the mutant that *data* spells, or raise `FindingError`."""
        made = mutant(data)
        self.figures.mutants += 1
        started = time.thread_time()
        try:
            session = self._session(made)
        except TokenServiceError as error:
            self.figures.refusals[f"{error.code}: {error.reason}"] += 1
        except Exception as error:
            raise FindingError(f"{type(error).__name__} from {made.authorization!r}") from error
        else:
            self.figures.accepted += 1
            _demand_signed(made, session)
        self._demand_cheap(made, time.thread_time() - started)

    def _session(self, made: Mutant) -> Session:
        return self.verify(self.parse_header(made.authorization))

    def _demand_cheap(self, made: Mutant, cost_s: float) -> None:
        for _ in range(CPU_REPEATS):
            if cost_s <= MAX_CPU_S:
                break
            cost_s = min(cost_s, self._cost_s(made))
        else:
            raise FindingError(f"{cost_s:.3f} s of CPU for {made.authorization!r}")
        if cost_s > self.figures.slowest_s:
            self.figures.slowest_s, self.figures.slowest = cost_s, made.authorization

    def _cost_s(self, made: Mutant) -> float:
        started = time.thread_time()
        with suppress(TokenServiceError):
            self._session(made)
        return time.thread_time() - started


def _demand_signed(made: Mutant, session: Session) -> None:
    """Demand that the accepted token is one that was signed, letter for letter, and rightly read.

    The signing input is compared as text: base64url has one spelling, and so has
    a token that is accepted.
    """
    scheme, _, text = made.authorization.partition(" ")
    signing_input, _, signature = text.rpartition(".")
    if scheme.lower() != "bearer" or signing_input not in made.signed:
        raise FindingError(f"accepted, and never signed: {made.authorization!r}")
    signer, genuine = made.signed[signing_input]
    if signature != b64(genuine):
        raise FindingError(f"accepted under another signature: {made.authorization!r}")
    header, payload = (urlsafe_b64decode(part + "==") for part in signing_input.split("."))
    faults = faults_of(session, signer, header, payload)
    if faults:
        raise FindingError(f"{', '.join(faults)}, accepted: {made.authorization!r}")


def issuers() -> Iterable[Issuer]:
    """Yield the issuers whose tokens the mutants are made from, with keys of every source."""
    for signer in SIGNERS:
        yield Issuer(
            name=signer.issuer,
            audiences=frozenset({AUDIENCE}),
            algorithms=frozenset({signer.alg}),
            keys=_keys(signer),
            uid_rule=uid_rule("encoded", prefix=uid_prefix(signer)),
            profile_claims=ProfileClaims(
                name=("name",),
                avatar=("picture",),
                role=("role",),
                tags=("tags",),
                metadata={"level": ("level",)},
            ),
        )


def verifier(chosen: Iterable[Issuer]) -> JWTSessionVerifier:
    """Return the verifier of the issuers *chosen*, at the time that the mutants are made for."""
    return JWTSessionVerifier(tuple(chosen), now=lambda: NOW)


def _keys(signer: Signer) -> KeySet:
    if isinstance(signer.key, bytes):
        return key_from_secret(signer.key, [signer.alg])
    if signer.kid is None:
        return key_from_pem(pem(signer.public_key), [signer.alg])
    jwks = {"keys": [jwk(signer, kid=signer.kid)]}
    return keys_from_jwks(json.dumps(jwks).encode(), [signer.alg])
