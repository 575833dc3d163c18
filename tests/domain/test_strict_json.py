"""Strict JSON: one reading of a text, or none."""

import json
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.security.hostile_json import broken_json
from tokensvc.domain.strict_json import MAX_DEPTH, JSONError, parse_json, parse_json_object

GOOD: Final = b'{"alg":"HS256","n":1}'
NO_OBJECTS: Final = {"null", "true", "number", "text", "array", "empty-array", "array-of-pairs"}
BROKEN: Final = broken_json(GOOD, "alg")


@pytest.mark.parametrize("name", BROKEN)
def test_broken(name: str) -> None:
    """What is no JSON, or could be read in two ways, has no reading here."""
    with pytest.raises(JSONError):
        parse_json_object(BROKEN[name])


@pytest.mark.parametrize("name", sorted(BROKEN.keys() - NO_OBJECTS))
def test_broken_value(name: str) -> None:
    """And where any value would do, it is refused just the same."""
    with pytest.raises(JSONError):
        parse_json(BROKEN[name])


READINGS: Final[dict[str, tuple[bytes, object]]] = {
    "null": (b"null", None),
    "blanks": (b' \t\r\n{ "a" : 1 } \n', {"a": 1}),
    "zero": (b"-0", 0),
    "exponent": (b"1e3", 1000.0),
    "underflow": (b"1e-400", 0.0),
    "integer": (b"12345678901234567890", 12345678901234567890),
    "escapes": (b'"\\u0061\\n\\/"', "a\n/"),
    "utf-8": ('"é😀"'.encode(), "é😀"),
    "surrogate-pair": (b'"\\ud83d\\ude00"', "😀"),
    "escaped-backslash": (b'"\\\\ud800"', "\\ud800"),
    "equal-members-in-two-objects": (b'[{"a":1},{"a":2}]', [{"a": 1}, {"a": 2}]),
    "case-makes-two-members": (b'{"a":1,"A":2}', {"a": 1, "A": 2}),
    "empty-object": (b"{}", {}),
}


@pytest.mark.parametrize(("raw", "value"), READINGS.values(), ids=READINGS.keys())
def test_reading(raw: bytes, value: object) -> None:
    """What is legal is read as everybody reads it."""
    assert parse_json(raw) == value


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_depth(opening: str, closing: str) -> None:
    """32 levels are read, and one more is not."""
    inner = "[]" if opening == "[" else "{}"

    def nested(levels: int) -> bytes:
        return (opening * (levels - 1) + inner + closing * (levels - 1)).encode()

    assert parse_json(nested(MAX_DEPTH)) is not None
    with pytest.raises(JSONError):
        parse_json(nested(MAX_DEPTH + 1))


@pytest.mark.parametrize("levels", [1000, 100_000, 1_000_000])
def test_abyss(levels: int) -> None:
    """However deep a text goes, it is refused without a crash."""
    for raw in (b"[" * levels, b"[" * levels + b"]" * levels, b'{"a":' * levels):
        with pytest.raises(JSONError):
            parse_json(raw)


@pytest.mark.parametrize("raw", [b"[]", b'"{}"', b"1", b"null"])
def test_object(raw: bytes) -> None:
    """What must be an object is one; any other value is refused."""
    assert parse_json_object(GOOD) == {"alg": "HS256", "n": 1}

    with pytest.raises(JSONError):
        parse_json_object(raw)


def test_error_quotes_nothing() -> None:
    """A refusal says nothing of the text: it may hold a secret."""
    with pytest.raises(JSONError) as caught:
        parse_json(b'{"password":"hunter2"')

    assert str(caught.value) == ""
    assert caught.value.__suppress_context__


CALM: Final = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Hypothesis's clock is off: it measures the machine."""
TEXT: Final = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)


@given(value=PLAIN, ascii_only=st.booleans(), indent=st.none() | st.integers(0, 4))
@settings(CALM, max_examples=500)
def test_round_trip(value: object, *, ascii_only: bool, indent: int | None) -> None:
    """Whatever json.dumps makes of a plain value is read as that value."""
    raw = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()

    assert parse_json(raw) == value


JSONISH: Final = st.text('{}[]",:\\u0123456789abcdefDINn.+-eE \t\ufefftrsl', max_size=40)


@given(raw=st.binary() | JSONISH.map(lambda text: text.encode("utf-8")))
@settings(CALM, max_examples=2000)
def test_any_bytes(raw: bytes) -> None:
    """Any bytes have a reading that can be written down again, or none; nothing else happens."""
    try:
        value = parse_json(raw)
    except JSONError:
        return
    assert parse_json(json.dumps(value, allow_nan=False).encode()) == value
