"""Masking: whatever looks like a secret, out of a log line."""

import json
import re
from collections.abc import Iterable, MutableMapping
from itertools import chain
from typing import Final

MASK: Final = "[masked]"
TOKEN_SHAPES: Final = {
    # A JWT, or its beginning.
    r"(?:eyJ|ewo|ewk|eyA)[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)*": r"eyj|ewo|ewk|eya",
    # Whatever looks like one.
    r"[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}": r"\.[a-z0-9_-]{16,}\.",
    # A CometChat auth token.
    r"[A-Za-z0-9_-]{1,100}_[0-9]{10}[0-9a-fA-F]{30}": r"_[0-9]{10}",
    r"(?i:bearer)(?:\s|\\t)+[^\s\"\\]+": r"bearer",
}
"""What is masked, each with a trace of it: what no such text is without, in lower case."""
_TRACES: Final = tuple(re.compile(trace).search for trace in TOKEN_SHAPES.values())


class Mask:
    """Covers secrets, and what has the shape of a token.

    To look for those takes as long as to write the line down, and next to no line has
    one: so a line is looked through for traces first, as a whole.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        spellings = [(secret, json.dumps(secret)[1:-1]) for secret in secrets]
        self._literal = tuple(dict.fromkeys(chain.from_iterable(spellings)))
        self._pattern = re.compile("|".join([*map(re.escape, self._literal), *TOKEN_SHAPES]))

    def over(self, line: MutableMapping[str, object]) -> MutableMapping[str, object]:
        """Return *line* with a mask over each secret in its texts, and in lists of them."""
        if not self._may_cover("\n".join(_texts(line.values()))):
            return line
        return {name: self._covered(value) for name, value in line.items()}

    def _may_cover(self, text: str) -> bool:
        folded = text.lower()
        return any(find(folded) for find in _TRACES) or any(
            secret in text for secret in self._literal
        )

    def _covered(self, value: object) -> object:
        if isinstance(value, list):
            return [self._covered(member) for member in value]
        return self._pattern.sub(MASK, value) if isinstance(value, str) else value


def _texts(values: Iterable[object]) -> list[str]:
    texts: list[str] = []
    for value in values:
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, list):
            texts += _texts(value)
    return texts
