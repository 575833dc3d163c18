"""Session JWTs: the app's own session token in, a proven Session out."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tokensvc.adapters.jws import UnverifiedJWS, parse_jws
from tokensvc.adapters.key_sets import KeySet
from tokensvc.domain.errors import CallerError, SessionError, SessionExpiredError
from tokensvc.domain.model import ChatUser, Session
from tokensvc.domain.profiles import ClaimPath, Claims, ProfileClaims, claim_at
from tokensvc.domain.strict_json import JSONError, parse_json_object
from tokensvc.domain.uids import UidRule

LATEST_TIME: Final = 253_402_300_799
"""The end of the year 9999; a larger time is a mistake, most often milliseconds."""
MAX_JTI_CHARS: Final = 256
MAX_SHOWN_CHARS: Final = 2048
"""More than the log has room for, so that it masks a secret before it cuts the text."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who may sign session tokens, with which keys, and what their claims mean."""

    name: str
    audiences: frozenset[str]
    algorithms: frozenset[str]
    keys: KeySet = field(repr=False)
    uid_rule: UidRule
    leeway_s: float = 30.0
    token_types: frozenset[str] = frozenset({"jwt", "at+jwt"})
    """Lower case; a token without a typ passes too (RFC 7519, section 5.1)."""
    uid_claim: ClaimPath = ("sub",)
    profile_claims: ProfileClaims = field(default_factory=ProfileClaims)


class JWTSessionVerifier:
    """Verifies the tokens of a fixed set of issuers (RFC 7519, RFC 8725).

    PyJWT does the cryptography. Size, shape, types and identity are decided
    here: a token that two readers could read differently is refused.
    """

    def __init__(self, issuers: Sequence[Issuer], *, now: Callable[[], float]) -> None:
        self._issuers: Mapping[str, Issuer] = {issuer.name: issuer for issuer in issuers}
        self._now = now

    def verify(self, unverified_token: str) -> Session:
        token = parse_jws(unverified_token)
        unverified_issuer = None
        try:
            unverified_issuer = self._issuer_of(token)
            return self._session(token, unverified_issuer)
        except CallerError as error:
            error.unverified_header = token.unverified_header
            error.issuer = unverified_issuer.name if unverified_issuer else None
            raise

    def _issuer_of(self, token: UnverifiedJWS) -> Issuer:
        """Choose by the claimed issuer; only its own keys can prove the claim."""
        claimed = _claims(token.unverified_payload).get("iss")
        if not isinstance(claimed, str) or claimed not in self._issuers:
            error = SessionError("iss_unknown")
            # A slash too many is the commonest mistake in a first set-up: let the log show it.
            error.unverified_issuer = _shown(claimed)
            raise error
        return self._issuers[claimed]

    def _session(self, token: UnverifiedJWS, issuer: Issuer) -> Session:
        declared_type = token.unverified_type
        if declared_type is not None and declared_type.lower() not in issuer.token_types:
            raise SessionError("typ_not_allowed")
        claims = _claims(token.verify(issuer.keys, issuer.algorithms))
        try:
            return self._accepted(claims, token, issuer)
        except CallerError as error:
            error.subject = _shown(claim_at(issuer.uid_claim, claims))
            error.token_id = _shown(claims.get("jti"))
            raise

    def _accepted(self, claims: Claims, token: UnverifiedJWS, issuer: Issuer) -> Session:
        """Return the session that proven *claims* open."""
        _demand_audience(claims, issuer.audiences)
        subject = _subject(claims, issuer.uid_claim)
        token_id = _token_id(claims)
        expires_at = self._demand_current(claims, issuer.leeway_s)
        profile, dropped = issuer.profile_claims.read(claims)
        return Session(
            issuer=issuer.name,
            subject=subject,
            user=ChatUser(issuer.uid_rule(subject), profile),
            expires_at=expires_at,
            header=token.unverified_header,
            token_id=token_id,
            dropped_claims=dropped,
            issued_at=_time(claims, "iat"),
        )

    def _demand_current(self, claims: Claims, leeway_s: float) -> float:
        """Return when the token expires. Looks at exp last: only a good token is told its age."""
        expires_at = _time(claims, "exp")
        if expires_at is None:
            raise SessionError("exp_missing")
        now = self._now()
        for name in ("nbf", "iat"):
            earliest = _time(claims, name)
            if earliest is not None and now < earliest - leeway_s:
                raise SessionError(f"{name}_in_future")
        if now >= expires_at + leeway_s:
            raise SessionExpiredError("exp_past")
        return expires_at


def _shown(claim: object) -> str | None:
    """Return *claim* for the log, if it is a text, as far as there is room."""
    return claim[:MAX_SHOWN_CHARS] if isinstance(claim, str) else None


def _claims(payload: bytes) -> dict[str, object]:
    try:
        return parse_json_object(payload)
    except JSONError:
        raise SessionError("payload_malformed") from None


def _demand_audience(claims: Claims, audiences: frozenset[str]) -> None:
    claimed = claims.get("aud")
    named = claimed if isinstance(claimed, list) else [claimed]
    if not named or not all(isinstance(name, str) for name in named):
        raise SessionError("aud_malformed")
    if audiences.isdisjoint(named):
        raise SessionError("aud_not_ours")


def _subject(claims: Claims, uid_claim: ClaimPath) -> str:
    if "sub" in claims:
        _demand_text(claims["sub"], "sub_malformed")
    subject = claim_at(uid_claim, claims)
    return _demand_text(
        subject, "uid_claim_malformed" if uid_claim != ("sub",) else "sub_malformed"
    )


def _demand_text(value: object, reason: str) -> str:
    if not isinstance(value, str) or not value:
        raise SessionError(reason)
    return value


def _token_id(claims: Claims) -> str | None:
    token_id = claims.get("jti")
    if token_id is None and "jti" not in claims:
        return None
    if not isinstance(token_id, str) or len(token_id) > MAX_JTI_CHARS:
        raise SessionError("jti_malformed")
    return token_id


def _time(claims: Claims, name: str) -> float | None:
    """Return a NumericDate: a number, not a bool, not a text, within four-digit years."""
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SessionError(f"{name}_malformed")
    if not (0 <= value <= LATEST_TIME and math.isfinite(value)):
        raise SessionError(f"{name}_malformed")
    return value
