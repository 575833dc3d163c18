"""Hostile: one login that must be refused, and the word that the audit record says about it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.security.forging import Part, Signer, token

REASONS: Final = frozenset(
    {"alg_malformed", "alg_not_allowed", "aud_malformed", "aud_not_ours"}
    | {f"{name}_malformed" for name in ("exp", "nbf", "iat", "sub", "jti", "uid_claim")}
    | {f"{name}_malformed" for name in ("token", "header", "payload", "typ", "kid")}
    | {"exp_missing", "nbf_in_future", "iat_in_future", "iss_unknown", "header_missing"}
    | {"header_not_understood", "key_unknown", "signature_invalid", "token_too_long"}
    | {"typ_not_allowed", "subject_illegal", "uid_illegal"}
)
"""Every word there is for a refusal; none of them was written by whoever sent the token."""

Build = Callable[[str], str]
"""Makes a token that names the listener, whose URL is known only when the test runs."""


@dataclass(frozen=True, slots=True)
class Hostile:
    """A login that must be refused. `authorization` is None where the header is absent."""

    name: str
    reason: str
    authorization: str | Build | None = field(repr=False)
    request: Mapping[str, Any] = field(default_factory=dict, repr=False)
    status: int = 401

    def header(self, listener_url: str) -> str | None:
        """Return the header's text as a WSGI server hands it over: each char is a byte."""
        text = self.authorization
        if text is None:
            return None
        text = text if isinstance(text, str) else f"Bearer {text(listener_url)}"
        return text.encode("utf-8", "surrogatepass").decode("latin-1")


def hostile(name: str, reason: str, text: str, *, status: int = 401) -> Hostile:
    """Return the case of the token *text*."""
    return Hostile(name, reason, f"Bearer {text}", status=status)


def with_headers(signer: Signer, reason: str, changes: Mapping[str, Part]) -> Iterable[Hostile]:
    """Yield one case for each header, all of them correctly signed."""
    for name, header in changes.items():
        yield hostile(name, reason, token(signer, header=header))


def with_payloads(
    signer: Signer, reason: str, changes: Mapping[str, Part], *, status: int = 401
) -> Iterable[Hostile]:
    """Yield one case for each payload, all of them correctly signed."""
    for name, payload in changes.items():
        yield hostile(name, reason, token(signer, payload=payload), status=status)


def each(prefix: str, member: str, values: Mapping[str, object]) -> dict[str, Part]:
    """Return one change for each value of *member*, named `prefix-value`."""
    return {f"{prefix}-{name}": {member: value} for name, value in values.items()}
