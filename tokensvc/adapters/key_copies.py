"""Key copies: the last good key set of an issuer as text, to be kept and read back."""

import json
import math
from dataclasses import dataclass, field
from typing import Final

from tokensvc.domain.strict_json import JSONError, parse_json_object

MAX_COPY_BYTES: Final = 4 * 1024 * 1024
"""The largest key set, with each of its characters escaped, and some room."""


class KeyStoreError(Exception):
    """A copy cannot be kept or used; *reason* is a fixed word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class KeyCopy:
    """A key set as *url* answered it at *fetched_at* (UNIX seconds, when it was asked for)."""

    issuer: str
    url: str
    fetched_at: float
    max_age_s: float
    jwks: bytes = field(repr=False)

    def to_text(self) -> bytes:
        """Return the copy as JSON; the set itself is a text in it, byte for byte."""
        members = {
            "issuer": self.issuer,
            "url": self.url,
            "fetched_at": self.fetched_at,
            "max_age_s": self.max_age_s,
            "jwks": self.jwks.decode("utf-8"),
        }
        return json.dumps(members, indent=1).encode()


def parse_copy(raw: bytes) -> KeyCopy:
    """Return the copy that *raw* spells, or raise `KeyStoreError`; its keys are not looked at."""
    try:
        members = parse_json_object(raw)
    except JSONError:
        raise KeyStoreError("copy_malformed") from None
    return KeyCopy(
        issuer=_text(members.get("issuer")),
        url=_text(members.get("url")),
        fetched_at=_number(members.get("fetched_at")),
        max_age_s=_number(members.get("max_age_s")),
        jwks=_text(members.get("jwks")).encode(),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise KeyStoreError("copy_malformed")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise KeyStoreError("copy_malformed")
    if not (math.isfinite(value) and value >= 0):
        raise KeyStoreError("copy_malformed")
    return float(value)
