"""Rosters: a row of the app's list is the user that a login would make of it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensvc.domain import rosters
from tokensvc.domain.columns import RowError, parse_columns
from tokensvc.domain.model import Profile
from tokensvc.domain.rosters import NoIssuerError, RosterReader, tags_cell
from tokensvc.domain.uids import uid_rule


def a_reader(
    *, strategy: str = "exact", prefix: str = "", others: tuple[str, ...] = (), **pairs: str
) -> RosterReader:
    columns = parse_columns({name.replace("__", "."): column for name, column in pairs.items()})
    return RosterReader(columns, uid_rule(strategy, prefix=prefix), {prefix, *others})


def refusal(row: dict[str, Any], reader: RosterReader | None = None) -> str:
    with pytest.raises(RowError) as caught:
        (reader or a_reader()).read(row)
    return caught.value.reason


def test_cells() -> None:
    """A row of text, as CSV has it."""
    user = a_reader().read(
        {
            "id": "alice",
            "full_name": " Alice ",
            "picture": "https://x.test/a.png",
            "role": "vip",
            "tags": "a; b",
            "metadata": '{"plan": "gold"}',
            "email": "",
        }
    )

    assert user.uid == "alice"
    assert user.profile == Profile(
        "Alice", "https://x.test/a.png", "vip", ("a", "b"), {"plan": "gold"}
    )


def test_members() -> None:
    """The same as JSON has it; an id may be a number there."""
    row = {"user_id": 42, "name": "Bob", "tags": ["x;y"], "metadata": {"level": 7}}

    user = a_reader().read(row)

    assert (user.uid, user.profile.tags, user.profile.metadata) == ("42", ("x;y",), {"level": 7})


def test_columns_of_ones_own() -> None:
    """A field stands where it is said to, further in too, and nowhere else."""
    reader = a_reader(name="who", metadata__plan="/attributes/plan")

    user = reader.read(
        {"uid": "a", "who": "Ann", "name": "no", "attributes": {"plan": "gold"}, "metadata": "?"}
    )

    assert (user.profile.name, user.profile.metadata) == ("Ann", {"plan": "gold"})


@pytest.mark.parametrize("cell", ["true", "TRUE", True])
def test_deactivated(cell: object) -> None:
    """A row can say that its user is shut out."""
    row = {"uid": "ann", "deactivated": cell}

    assert a_reader().read(row).uid == "ann"
    assert a_reader().is_deactivated(row)
    assert [*a_reader().columns.unread(row)] == []


@pytest.mark.parametrize("cell", ["", "false", "False", False, None])
def test_not_deactivated(cell: object) -> None:
    """Most rows say nothing of it."""
    assert not a_reader().is_deactivated({"uid": "ann", "deactivated": cell})
    assert not a_reader().is_deactivated({"uid": "ann"})


@pytest.mark.parametrize("cell", ["yes", "2026-11-28", 1, []])
def test_who_knows_whether_deactivated(cell: object) -> None:
    """Nobody is let in or shut out by a word that is not understood."""
    assert "neither true nor false" in refusal({"uid": "ann", "deactivated": cell})


def test_unread_columns() -> None:
    """What says nothing about a user can be told."""
    reader = a_reader(name="who")

    assert [*reader.columns.unread({"uid": "", "who": "", "name": "", "email": ""})] == [
        "name",
        "email",
    ]


def test_said_and_missing_columns() -> None:
    """A field is said where there is a column for it, though nothing is in it."""
    columns = a_reader(name="who", metadata__plan="/billing/plan").columns

    assert [*columns.said({"id": "a", "who": None, "avatar": ""})] == ["subject", "name", "avatar"]
    assert [*columns.missing({"id": "a", "who": None, "name": "Ann"})] == ["billing"]


@pytest.mark.parametrize(
    ("mistyped", "said", "meant"),
    [
        ("nmae", {"uid"}, "name"),
        ("Display Name", {"uid"}, "display_name"),
        ("USERID", set(), "userId"),
        ("nmae", {"uid", "name"}, None),
        ("uuid", {"subject"}, None),
        ("email", set(), None),
        ("", set(), None),
    ],
)
def test_slips(mistyped: str, said: set[str], meant: str | None) -> None:
    """A name that is nearly right is told, unless the field has its column."""
    assert a_reader().columns.meant(mistyped, said) == meant


def test_unknown_field() -> None:
    """A field that there is not is refused."""
    with pytest.raises(RowError):
        parse_columns({"nick": "x"})


@pytest.mark.parametrize(("strategy", "uid"), [("exact", "app1-ann"), ("encoded", "app1-ann")])
def test_subject_becomes_a_uid_as_at_a_login(strategy: str, uid: str) -> None:
    """The issuer's prefix is put before a subject, and not before a uid."""
    reader = a_reader(strategy=strategy, prefix="app1-")

    assert reader.read({"sub": "ann"}).uid == uid
    assert reader.read({"uid": "app1-ann", "sub": "x"}).uid == uid


def test_encoded_subject() -> None:
    """Any subject can be encoded; a uid cannot, it is one already."""
    reader = a_reader(strategy="encoded")

    assert reader.read({"sub": "Ann@x"}).uid == "_41nn_40x"
    assert refusal({"uid": "Ann@x"}, reader) == rosters.BAD_UID


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"name": "x"}, rosters.NO_UID),
        ({"uid": ""}, rosters.NO_UID),
        ({"uid": "Alice"}, rosters.BAD_UID),
        ({"uid": True}, rosters.BAD_UID),
        ({"uid": "../x"}, rosters.BAD_UID),
        ({"sub": "Alice"}, rosters.BAD_SUBJECT),
        ({"uid": "a", "name": 5}, rosters.BAD_FIELDS["name"]),
        ({"uid": "a", "avatar": "javascript:x"}, rosters.BAD_FIELDS["avatar"]),
        ({"uid": "a", "role": "x" * 101}, rosters.BAD_FIELDS["role"]),
        ({"uid": "a", "tags": ["x"] * 26}, rosters.BAD_FIELDS["tags"]),
        ({"uid": "a", "tags": "a;;b"}, rosters.BAD_FIELDS["tags"]),
        ({"uid": "a", "tags": "[1"}, rosters.BAD_FIELDS["tags"]),
        ({"uid": "a", "metadata": "x"}, rosters.BAD_FIELDS["metadata"]),
        ({"uid": "a", "metadata": [1]}, rosters.BAD_FIELDS["metadata"]),
        ({"uid": "a", "metadata": {"a": "x" * 6000}}, rosters.BAD_FIELDS["metadata"]),
        ({"uid": "a", "metadata": {"a": {"b": ["\0"]}}}, rosters.HOLDS_NUL),
        ({"uid": "a", "name": "a\0b"}, rosters.HOLDS_NUL),
    ],
)
def test_bad_rows(row: dict[str, Any], reason: str) -> None:
    """What a login would leave out is named, for somebody is there to mend it."""
    assert refusal(row) == reason


def test_subject_of_one_of_several_issuers() -> None:
    """Nobody knows whose it is; a uid says it by its prefix."""
    reader = RosterReader(parse_columns({}), None, {"shop-", "blog-"})

    assert reader.read({"uid": "shop-ann"}).uid == "shop-ann"
    with pytest.raises(NoIssuerError):
        reader.read({"id": "ann"})


def test_uid_of_no_issuer() -> None:
    """A uid that no login can have would be a user whom nobody can be."""
    assert refusal({"uid": "bob"}, a_reader(prefix="a-", others=("b-",))) == rosters.FOREIGN_UID
    assert a_reader(prefix="a-", others=("b-",)).read({"uid": "b-1"}).uid == "b-1"


@given(st.lists(st.text(min_size=1, max_size=100).filter(str.strip), max_size=25))
def test_tags_in_one_cell(tags: list[str]) -> None:
    """Whatever the tags are: the cell is read as the same ones."""
    if any("\0" in tag for tag in tags):
        tags = []
    cell = tags_cell(Profile(tags=tuple(tags)))

    assert a_reader().read({"uid": "a", "tags": cell}).profile.tags == tuple(tags)
    assert json.dumps(cell)
