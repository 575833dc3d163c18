"""Profiles: what CometChat would take is kept, the rest is left out and named."""

import pytest

from tokensvc.domain.model import Profile
from tokensvc.domain.profiles import ProfileClaims, parse_claim_path

EVERYTHING = ProfileClaims(
    name=("name",),
    avatar=("picture",),
    role=("role",),
    tags=("groups",),
    metadata={"team": ("team",), "level": ("level",)},
)


def test_claims_become_a_profile() -> None:
    """Each claim goes where the settings say."""
    profile, dropped = EVERYTHING.read(
        {
            "name": "Alice",
            "picture": "https://x.test/a.png",
            "role": "staff",
            "groups": ["a", "b"],
            "team": {"id": 7},
            "level": 0,
        }
    )

    assert not dropped
    assert profile == Profile(
        name="Alice",
        avatar="https://x.test/a.png",
        role="staff",
        tags=("a", "b"),
        metadata={"team": {"id": 7}, "level": 0},
    )


@pytest.mark.parametrize("empty", [None, "", [], {}])
def test_empty_claims_are_absent(empty: object) -> None:
    """Null and empty say nothing; CometChat would refuse them."""
    names = ("name", "picture", "role", "groups", "team")

    profile, dropped = EVERYTHING.read(dict.fromkeys(names, empty))

    assert (profile, dropped) == (Profile(metadata={}), ())


@pytest.mark.parametrize(
    ("claim", "value", "field"),
    [
        ("name", 7, "name"),
        ("name", "   ", "name"),
        ("name", ["Alice"], "name"),
        ("picture", "javascript:alert(1)", "avatar"),
        ("picture", "/a.png", "avatar"),
        ("picture", "https://", "avatar"),
        ("picture", "https://[x", "avatar"),
        ("picture", "https://x.test/a b", "avatar"),
        ("picture", "https://x.test/\n", "avatar"),
        ("picture", "https://x.test/" + "a" * 3000, "avatar"),
        ("picture", 1, "avatar"),
        ("role", ["admin"], "role"),
        ("role", "r" * 101, "role"),
        ("role", " ", "role"),
        ("groups", "admin", "tags"),
        ("groups", ["a", 7], "tags"),
        ("groups", ["a", " "], "tags"),
        ("groups", ["t" * 101], "tags"),
        ("groups", [str(n) for n in range(26)], "tags"),
        ("team", "x" * 6000, "metadata"),
    ],
)
def test_what_would_be_refused_is_left_out_and_named(claim: str, value: object, field: str) -> None:
    """A login does not fail because of a picture; the audit record says what was dropped."""
    profile, dropped = EVERYTHING.read({claim: value})

    assert dropped == (field,)
    assert profile == Profile(metadata={})


def test_long_names_are_cut() -> None:
    """A name of more than 100 characters is cut: half a name is better than a uid."""
    profile, dropped = EVERYTHING.read({"name": "x" * 150})

    assert (profile.name, dropped) == ("x" * 100, ())


def test_pointers_reach_inner_claims() -> None:
    """A claim can stand further in, as several identity providers put it."""
    claims = ProfileClaims(name=parse_claim_path("/user_metadata/full~1name"))

    profile, _ = claims.read({"user_metadata": {"full/name": "Alice"}})

    assert profile.name == "Alice"


def test_names_with_slashes_inside_are_names() -> None:
    """A namespaced claim like https://app/role is a name, not a pointer."""
    assert parse_claim_path("https://app/role") == ("https://app/role",)


def test_unconfigured_claims_are_not_read() -> None:
    """What no setting names is nobody's business."""
    profile, dropped = ProfileClaims().read({"name": "Alice", "role": "admin"})

    assert (profile, dropped) == (Profile(metadata={}), ())
