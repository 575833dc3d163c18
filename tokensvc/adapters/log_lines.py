"""Log lines: a dictionary as one JSON object, never longer than a pipe takes in one piece."""

import json
from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate
from typing import Final

MAX_LINE_BYTES: Final = 4096
"""With its line break. What is longer, a pipe may mix with another process's line (PIPE_BUF)."""
MAX_STRANGER_BYTES: Final[Mapping[str, int]] = {
    "alg": 64,
    "kid": 512,
    "jti": 512,
    "user_agent": 512,
    "unverified_issuer": 512,
}
"""How much of a line each text may take that callers choose, once it is escaped."""
CUT: Final = "..."
_MOST_MEMBERS: Final = 16
_MOST_BYTES_OF_ONE: Final = 12
"""What a character takes that has to be escaped as two halves."""
_TIGHTER_BYTES: Final = (512, 256, 128, 64, 32, 16)


def rendered(line: Mapping[str, object]) -> str:
    """Return *line* as JSON, without a line break; texts for which there is no room are cut."""
    bounded = {name: _cut(value, MAX_STRANGER_BYTES.get(name)) for name, value in line.items()}
    text = json.dumps(bounded)
    for most in _TIGHTER_BYTES:
        if len(text) < MAX_LINE_BYTES:
            break
        bounded = {name: _cut(value, most) for name, value in bounded.items()}
        text = json.dumps(bounded)
    return text


def _cut(value: object, most: int | None) -> object:
    """Return *value* with no text in it that takes more than *most* bytes once it is escaped."""
    if most is None:
        return value
    if isinstance(value, list):
        return [_cut(member, most) for member in value[:_MOST_MEMBERS]]
    if not isinstance(value, str):
        return value
    # Most texts are short enough however they are escaped: to write them out takes longer.
    if len(value) * _MOST_BYTES_OF_ONE <= most or _bytes_of(value) <= most:
        return value
    ends = list(accumulate(map(_bytes_of, value[:most])))
    return value[: bisect_right(ends, most - len(CUT))] + CUT


def _bytes_of(text: str) -> int:
    return len(json.dumps(text)) - 2
