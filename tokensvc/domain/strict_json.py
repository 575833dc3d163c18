"""JSON as strangers send it: one reading of a text, or none."""

import json
import math
import re
from collections.abc import Iterable
from typing import Final, NoReturn

MAX_DEPTH: Final = 32
_SURROGATE_ESCAPE: Final = re.compile(r"\\u[dD][89a-fA-F]")


class JSONError(ValueError):
    """The text is not JSON, or two readers could disagree about it."""


def parse_json(raw: bytes) -> object:
    """Return the value that *raw* spells.

    Takes UTF-8 without a byte order mark, at most 32 levels deep. Refuses what
    parsers are known to read differently (RFC 8259, section 4 and 6; RFC 7493):
    a member that is given twice, also when one of the two is spelled with
    escapes; NaN, Infinity and numbers that overflow; halves of surrogate pairs.
    """
    try:
        text = raw.decode("utf-8")
        value: object = _DECODER.decode(text)
        if _SURROGATE_ESCAPE.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        # UnicodeError is a ValueError too, and so is an int of 5,000 digits.
        raise JSONError from None
    # With fewer brackets than levels there is nothing to walk through.
    if text.count("[") + text.count("{") > MAX_DEPTH and _deeper_than(MAX_DEPTH, value):
        raise JSONError
    return value


def parse_json_object(raw: bytes) -> dict[str, object]:
    """Return the JSON object that *raw* spells."""
    value = parse_json(raw)
    if not isinstance(value, dict):
        raise JSONError
    return value


def _unique_members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise JSONError
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise JSONError
    return number


def _refuse_constant(_: str) -> NoReturn:
    raise JSONError


def _deeper_than(limit: int, value: object) -> bool:
    """Walk level by level, so that a deep value cannot exhaust the stack."""
    level = [value]
    for _ in range(limit):
        level = [inner for outer in level for inner in _children(outer)]
        if not level:
            return False
    return any(isinstance(value, dict | list) for value in level)


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique_members, parse_float=_finite, parse_constant=_refuse_constant
)
