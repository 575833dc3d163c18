"""Subject to uid: the one place where a CometChat user id comes into being.

CometChat lower-cases uids, so `Alice` and `alice` are one account there, and a
uid travels in URL paths. Nothing here folds, strips or normalises: whatever is
not legal as it stands is refused or encoded, so that two subjects never share
an account.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Collection, Iterator
from functools import partial
from itertools import permutations
from typing import Final

from tokensvc.domain.errors import UidNotAllowedError
from tokensvc.domain.model import Uid

MAX_UID_CHARS: Final = 100
MAX_SUBJECT_CHARS: Final = 1000
MAX_PREFIX_CHARS: Final = 40
"""Leaves room for a digest: `_h` and 52 characters of base32."""

_LEGAL: Final = re.compile(r"[a-z0-9_-]{1,100}")
_PREFIX: Final = re.compile(r"[a-z0-9_-]{0,40}")
_KEPT: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-")
_READABLE: Final = tuple(chr(byte) if byte in _KEPT else f"_{byte:02x}" for byte in range(256))

UidRule = Callable[[str], Uid]
"""Makes the uid of one issuer's subject, or raises `UidNotAllowedError`."""


def uid_rule(strategy: str, *, prefix: str = "") -> UidRule:
    """Return the rule of an issuer: *strategy* is `exact` or `encoded`."""
    return partial(_STRATEGIES[strategy], prefix=prefix)


def parse_uid(text: str) -> Uid:
    """Return *text* as a uid if it is one already, letter for letter."""
    if not is_uid(text):
        raise UidNotAllowedError(reason="uid_illegal")
    return Uid(text)


def is_uid(text: str) -> bool:
    """Return whether *text* is a uid, letter for letter."""
    return _LEGAL.fullmatch(text) is not None


def exact(subject: str, *, prefix: str = "") -> Uid:
    """Return *prefix* and *subject*, joined as they are.

    The subject must be legal by itself: 1 to 100 of a-z, 0-9, `_` and `-`.
    """
    if not _LEGAL.fullmatch(subject):
        raise UidNotAllowedError(reason="subject_illegal")
    return parse_uid(prefix + subject)


def encoded(subject: str, *, prefix: str = "") -> Uid:
    """Return a readable uid for any subject of 1 to 1,000 characters.

    Lower-case letters, digits and `-` stay; every other UTF-8 byte becomes `_`
    and two hex digits. What does not fit becomes `_h` and the base32 of its
    SHA-256. The two forms cannot meet: `h` is no hex digit.
    """
    if not 1 <= len(subject) <= MAX_SUBJECT_CHARS:
        raise UidNotAllowedError(reason="subject_length")
    try:
        octets = subject.encode("utf-8")
    except UnicodeEncodeError:
        raise UidNotAllowedError(reason="subject_not_unicode") from None
    readable = "".join(_READABLE[octet] for octet in octets)
    if len(prefix) + len(readable) > MAX_UID_CHARS:
        digest = base64.b32encode(hashlib.sha256(octets).digest())
        readable = "_h" + digest.decode("ascii").rstrip("=").lower()
    return parse_uid(prefix + readable)


_STRATEGIES: Final = {"exact": exact, "encoded": encoded}


def is_legal_prefix(prefix: str) -> bool:
    """Return whether *prefix* may begin uids: at most 40 of a-z, 0-9, `_` and `-`."""
    return _PREFIX.fullmatch(prefix) is not None


def clashing_prefixes(prefixes: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the pairs in which the first begins the second.

    With such a pair two issuers can name the same user: `a` with subject `b-1`
    and `ab` with subject `-1` are both `ab-1`.
    """
    return (
        (first, second) for first, second in permutations(prefixes, 2) if second.startswith(first)
    )
