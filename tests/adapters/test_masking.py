"""Masking: the look for traces saves time, and hides nothing from the mask."""

import re
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tokensvc.adapters.masking import MASK, TOKEN_SHAPES, Mask

SECRETS: Final = ("Zk3vQ8pLr2Xw7Nt5", 'a "quoted" one', "\u0130\u212a")
PIECES: Final = (
    *("eyJ", "ewo", "ewk", "eyA", "EYJ", "e", "y", ".", "_", "-", " ", "\n", "\\t", "\\", '"'),
    *("A" * 16, "b" * 15, "1234567890", "f" * 30, "0" * 40, "Bearer", "bEARER", "bear", "er"),
    *(*SECRETS, SECRETS[0][:8], SECRETS[0][8:], 'a \\"quoted\\" one', "\u0130", "\u017f", "\xe9"),
)
TEXTS: Final = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
LINES: Final = st.dictionaries(
    st.sampled_from("abc"), TEXTS | st.lists(TEXTS, max_size=3) | st.none() | st.integers()
)
EVERYTHING: Final = re.compile(
    "|".join([*map(re.escape, (*SECRETS, 'a \\"quoted\\" one', "\\u0130\\u212a")), *TOKEN_SHAPES])
)


def covered(value: object) -> object:
    if isinstance(value, list):
        return [covered(member) for member in value]
    return EVERYTHING.sub(MASK, value) if isinstance(value, str) else value


@given(line=LINES)
@example(line={"a": "eyJhbGciOi"})
def test_line_is_masked_text_by_text(line: dict[str, object]) -> None:
    """Whatever a line holds, each of its texts comes out as if it had been looked at alone."""
    assert Mask(SECRETS).over(line) == {name: covered(value) for name, value in line.items()}


@pytest.mark.parametrize("shape", TOKEN_SHAPES)
@given(data=st.data())
def test_each_shape_has_its_trace(shape: str, data: st.DataObject) -> None:
    """Whatever has the shape of a token is found by the trace that is said to be in it."""
    text = data.draw(st.from_regex(shape))

    assert re.search(TOKEN_SHAPES[shape], text.lower())


@pytest.mark.parametrize(
    "token",
    [
        "eyJhbGciOi",
        ".".join(["A" * 20] * 3),
        "abcdefgh_" + "1" * 40,
        "BEARER x",
        SECRETS[0],
    ],
)
def test_neighbours_do_not_hide_a_secret(token: str) -> None:
    """It is found in any text of the line, and what is beside it stays as it is."""
    line = {"a": "A" * 20, "b": token, "c": ["z", token], "d": 1}

    assert Mask(SECRETS).over(line) == {"a": "A" * 20, "b": MASK, "c": ["z", MASK], "d": 1}
