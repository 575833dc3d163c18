"""Bodies: JSON texts, read as strictly as the vendor's language reads them."""

import json
import math
from typing import Any, Final

MAX_DEPTH: Final = 512
"""PHP's own limit (unverified); it also keeps what is stored within reach of our writer."""


def parse_json(raw: bytes) -> Any:  # noqa: ANN401 (whatever the JSON holds)
    """Return what *raw* holds, or raise ValueError.

    Refused, unlike by Python's own reader: NaN and infinities, halves of surrogate
    pairs, and what is nested too deep.
    """
    try:
        value = json.loads(raw.decode("utf-8"))
    except RecursionError as error:
        raise ValueError from error
    level = [value]
    for _ in range(MAX_DEPTH):
        if not level:
            return value
        level = [inner for outer in level for inner in _inside(outer)]
    raise ValueError


def _inside(value: object) -> list[object]:
    if isinstance(value, str):
        value.encode("utf-8")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError
    if isinstance(value, dict):
        return [*value, *value.values()]
    return value if isinstance(value, list) else []
