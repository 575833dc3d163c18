"""Log lines: a dictionary as one JSON object, never longer than a pipe takes in one piece."""

import json
from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate
from json.encoder import encode_basestring_ascii
from typing import Final

MAX_LINE_BYTES: Final = 4096
"""With its line break. What is longer, a pipe may mix with another process's line (PIPE_BUF)."""
MAX_STRANGER_BYTES: Final[Mapping[str, int]] = {
    "alg": 64,
    "kid": 512,
    "jti": 512,
    "subject": 512,
    "user_agent": 512,
    "unverified_issuer": 512,
}
"""How much of a line each text may take that callers choose, once it is escaped."""
CUT: Final = "..."
_MOST_MEMBERS: Final = 16
_TIGHTER_BYTES: Final = (512, 256, 128, 64, 32, 16)


def rendered(line: Mapping[str, object]) -> str:
    """Return *line* as JSON, without a line break; texts for which there is no room are cut."""
    bounded = dict(line)
    for name, most in MAX_STRANGER_BYTES.items():
        if name in bounded:
            bounded[name] = _cut(bounded[name], most)
    text = json.dumps(bounded)
    for most in _TIGHTER_BYTES:
        if len(text) < MAX_LINE_BYTES:
            break
        bounded = {name: _cut(value, most) for name, value in bounded.items()}
        text = json.dumps(bounded)
    return text


def _cut(value: object, most: int) -> object:
    """Return *value* with no text in it that takes more than *most* bytes once it is escaped."""
    if isinstance(value, list):
        return [_cut(member, most) for member in value[:_MOST_MEMBERS]]
    if not isinstance(value, str):
        return value
    if _bytes_of(value) <= most:
        return value
    ends = list(accumulate(map(_bytes_of, value[:most])))
    return value[: bisect_right(ends, most - len(CUT))] + CUT


def _bytes_of(text: str) -> int:
    return len(encode_basestring_ascii(text)) - 2
