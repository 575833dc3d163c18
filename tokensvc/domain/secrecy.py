"""Secrets that are none: what people leave standing where a secret should be."""

import re
from typing import Final

DEVELOPMENT_MARK: Final = "development-only-"
"""Begins the secrets that are published with this project; nothing else trusts them."""

_LEFT_STANDING: Final = re.compile(
    r"change[-_ ]?(me|this|it)|replace[-_ ]?(me|this|with)|placeholder|your[-_ ]"
    r"|example|<|>|\.\.\.|(?<![a-z0-9])(todo|x{3,})(?![a-z0-9])",
    re.IGNORECASE,
)
_IDLE_WORDS: Final = re.compile(
    r"256|384|512|32|64|1234567890|123456|abc|[^a-z0-9]"
    r"|secret|password|passphrase|development|production|characters|minimum|default|signing"
    r"|shared|simple|really|please|insecure|hmac|jwt|key|test|super|very|long|that|this|must"
    r"|least|bits?|bytes|token|local|demo|only|not|for|api|dev|use|the|min|my|is|at|be|in|an|a",
)
_FEWEST_KINDS: Final = 8
_FEWEST_LEFT: Final = 8


def looks_like_placeholder(secret: str) -> bool:
    """Return whether *secret* was left standing from somebody's template."""
    return bool(_LEFT_STANDING.search(secret)) or _repeats(secret)


def looks_guessable(secret: str) -> bool:
    """Return whether *secret* is a phrase: nothing much is left without its idle words."""
    left = _IDLE_WORDS.sub("", secret.lower())
    return len(set(secret)) < _FEWEST_KINDS or len(left) < _FEWEST_LEFT


def _repeats(secret: str) -> bool:
    """Return whether *secret* is one piece over and over, like `abcabcabc`."""
    return len(secret) > 1 and secret in (secret + secret)[1:-1]
