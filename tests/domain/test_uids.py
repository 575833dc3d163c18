"""Uids: every result is legal, no two subjects ever meet, and nothing changes over time."""

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensvc.domain.errors import UidNotAllowedError
from tokensvc.domain.uids import clashing_prefixes, encoded, exact, is_legal_prefix, parse_uid

LEGAL = re.compile(r"[a-z0-9_-]{1,100}")
VALID_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)
NEAR_TEXT = st.text(alphabet="aA_4h1-é/.K\u212a", min_size=1, max_size=8)
PREFIXES = st.text(alphabet="ab_-1", max_size=40)


@pytest.mark.parametrize("subject", ["alice", "a", "0", "-", "_", "user_1-2", "z" * 100])
def test_exact_takes_legal_subjects_as_they_are(subject: str) -> None:
    """A legal subject is its own uid."""
    assert exact(subject) == subject


@pytest.mark.parametrize(
    "subject",
    [
        *("", "Alice", "alice ", " alice", "alice\n", "al ice", "a.b", "a@b", "a/b", "a|b"),
        *(
            "alice/../bob",
            "..",
            "%61",
            "\uff41\uff4c\uff49",
            "\u212a",
            "é",
            "a\x00",
            "z" * 101,
            "\ud800",
        ),
    ],
)
def test_exact_refuses_whatever_would_have_to_be_changed(subject: str) -> None:
    """Nothing is folded, stripped or decoded: two subjects would share an account."""
    with pytest.raises(UidNotAllowedError):
        exact(subject)


def test_exact_counts_the_prefix() -> None:
    """Prefix and subject share the 100 characters."""
    assert exact("a" * 97, prefix="x1-") == "x1-" + "a" * 97
    with pytest.raises(UidNotAllowedError):
        exact("a" * 98, prefix="x1-")


def test_a_prefix_does_not_make_an_empty_subject_legal() -> None:
    """An empty subject stays refused: a prefix alone would be everybody's account."""
    for strategy in (exact, encoded):
        with pytest.raises(UidNotAllowedError):
            strategy("", prefix="x-")


@pytest.mark.parametrize(
    ("subject", "uid"),
    [
        ("alice", "alice"),
        ("Alice", "_41lice"),
        ("a_b", "a_5fb"),
        ("alice@example.com", "alice_40example_2ecom"),
        ("auth0|5f7c", "auth0_7c5f7c"),
        ("é", "_c3_a9"),
        ("\u212a", "_e2_84_aa"),
    ],
)
def test_encoded_is_readable(subject: str, uid: str) -> None:
    """What is legal stays, byte for byte; the rest is spelled out in hex."""
    assert encoded(subject) == uid


def test_encoded_shortens_what_does_not_fit() -> None:
    """A long subject becomes a digest, which no readable form can look like."""
    uid = encoded("A" * 1000)

    assert re.fullmatch(r"_h[a-z2-7]{52}", uid)


def test_encoded_ends_at_a_thousand_characters() -> None:
    """A longer subject is refused, not digested."""
    with pytest.raises(UidNotAllowedError):
        encoded("a" * 1001)


def test_encoded_refuses_half_a_surrogate_pair() -> None:
    """What is no Unicode text has no bytes to spell."""
    with pytest.raises(UidNotAllowedError):
        encoded("\ud800")


@given(VALID_TEXT, PREFIXES)
def test_every_encoded_uid_is_legal(subject: str, prefix: str) -> None:
    """Whatever the subject and the prefix: CometChat takes the uid."""
    uid = encoded(subject, prefix=prefix)

    assert LEGAL.fullmatch(uid)
    assert uid.startswith(prefix)


@given(st.one_of(VALID_TEXT, NEAR_TEXT), st.one_of(VALID_TEXT, NEAR_TEXT))
def test_two_subjects_never_meet(first: str, second: str) -> None:
    """Different subjects have different uids, also where they look alike."""
    assert (encoded(first) == encoded(second)) == (first == second)


@given(st.text(alphabet="aé", min_size=30, max_size=60))
def test_subjects_never_meet_around_the_hundredth_character(subject: str) -> None:
    """A subject and the text of its own uid are two users, digested or not."""
    uid = encoded(subject)

    assert encoded(uid) != uid or uid == subject


@given(
    st.text(alphabet="ab-", max_size=3), st.text(alphabet="ab-", max_size=3), NEAR_TEXT, NEAR_TEXT
)
def test_prefixes_that_do_not_clash_keep_issuers_apart(
    one: str, other: str, first: str, second: str
) -> None:
    """Where no prefix begins the other, no two issuers ever name the same user."""
    if list(clashing_prefixes([one, other])):
        return

    assert encoded(first, prefix=one) != encoded(second, prefix=other)


def test_clashing_prefixes_do_share_users() -> None:
    """And where one begins the other, they can: that is why start-up refuses it."""
    assert list(clashing_prefixes(["a", "ab"])) == [("a", "ab")]
    assert exact("b-1", prefix="a") == exact("-1", prefix="ab")


def test_equal_and_empty_prefixes_clash() -> None:
    """Two issuers with the same prefix, or one without any, are refused."""
    assert list(clashing_prefixes(["x-", "x-"]))
    assert list(clashing_prefixes(["", "x-"]))
    assert not list(clashing_prefixes([""]))


@pytest.mark.parametrize(
    ("prefix", "legal"), [("", True), ("a" * 40, True), ("a" * 41, False), ("A", False)]
)
def test_prefixes_leave_room_for_a_digest(prefix: str, *, legal: bool) -> None:
    """A prefix is legal while prefix and digest fit into 100 characters."""
    assert is_legal_prefix(prefix) is legal


def test_uids_are_stable_over_processes() -> None:
    """Another process, with another hash seed, finds the same uids."""
    subjects = ["Alice@Example.com", "é" * 300, "auth0|x", "plain"]
    program = f"from tokensvc.domain.uids import encoded; print([encoded(s) for s in {subjects!r}])"

    answers = {
        subprocess.run(  # noqa: S603 (our own interpreter and program)
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert answers == {f"{[encoded(subject) for subject in subjects]}\n"}


def test_known_uids_stay() -> None:
    """These uids are in users' directories: a release that changes them locks people out."""
    assert encoded("é" * 300) == "_hojilmzqq7c35xvxv4vbg2ikdxs5g3atm5w2l5kfdlbuv3j4nwarq"
    assert parse_uid("alice") == "alice"
