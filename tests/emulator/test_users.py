"""Users: created, looked up, listed and changed, in the recorded words."""

from typing import Any

import pytest

from tests.emulator.emulated import NOW, Caller

PICTURE = "https://app.example.test/alice.png"
VALIDATION = "Failed to validate the data sent with the request."


def test_create(vendor: Caller) -> None:
    """A new user is answered with 200, what was sent, and what the vendor adds."""
    answer = vendor.call("POST", "/users", json={"uid": "alice", "name": "Alice"})

    assert answer.status_code == 200
    assert answer.json() == {
        "data": {
            "uid": "alice",
            "name": "Alice",
            "status": "offline",
            "role": "default",
            "createdAt": int(NOW),
        }
    }


def test_create_with_everything(vendor: Caller) -> None:
    """Every documented field is kept and answered."""
    sent = {
        "avatar": PICTURE,
        "link": PICTURE,
        "statusMessage": "at work",
        "metadata": {"@private": {"email": "a@example.test"}},
        "tags": ["a", "b"],
    }

    assert sent.items() <= vendor.create(**sent).items()
    assert sent.items() <= vendor.data("GET", "/users/alice").items()


@pytest.mark.parametrize(
    "name", ["createdAt", "lastActiveAt", "friends", "status", "deactivatedAt"]
)
def test_create_takes_no_more(vendor: Caller, name: str) -> None:
    """Times are the import's alone, and unknown fields are dropped."""
    user = vendor.create(**{name: 1_500_000_000})

    assert 1_500_000_000 not in user.values()


def test_uid_is_lower_cased(vendor: Caller) -> None:
    """The vendor knows no case: what it answers is the lower-cased uid."""
    assert vendor.create("AliCE")["uid"] == "alice"
    assert vendor.data("GET", "/users/aLICe")["uid"] == "alice"


@pytest.mark.parametrize("again", ["alice", "ALICE"])
def test_create_twice(vendor: Caller, alice: str, again: str) -> None:
    """The second create of one uid is a 400 with a code of its own, not a 409."""
    answer = vendor.call("POST", "/users", json={"uid": again, "name": "Another"})

    assert answer.status_code == 400
    assert answer.json()["error"] == {
        "code": "ERR_UID_ALREADY_EXISTS",
        "source": "chat-api",
        "message": (
            f"The uid {alice} already exists. "
            "Please use another uid or try after permanently deleting the user."
        ),
        "devMessage": (
            f"The uid {alice} already exists. "
            "Please use another uid or try after permanently deleting the user."
        ),
    }


def test_create_twice_keeps_the_first(vendor: Caller, alice: str) -> None:
    """A refused create changes nothing."""
    vendor.call("POST", "/users", json={"uid": alice, "name": "Another"})

    assert vendor.data("GET", "/users/alice")["name"] == "Alice"


def test_create_without_anything(vendor: Caller) -> None:
    """Both required fields are complained about, in the recorded answer."""
    answer = vendor.call("POST", "/users", json={})

    assert answer.status_code == 400
    assert answer.json() == {
        "error": {
            "message": VALIDATION,
            "devMessage": VALIDATION,
            "source": "chat-api",
            "details": {
                "uid": ["The uid field is required."],
                "name": ["The name field is required."],
            },
            "code": "ERR_BAD_REQUEST",
        }
    }


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("uid", "", "The uid field is required."),
        ("uid", " ", "The uid field is required."),
        ("name", "", "The name field is required."),
        ("name", None, "The name field is required."),
        ("avatar", None, "The avatar field must have a value."),
        ("avatar", "", "The avatar field must have a value."),
        ("avatar", "not a URL", "The avatar must be a valid URL."),
        ("avatar", "http://[", "The avatar must be a valid URL."),
        ("link", "alice.png", "The link must be a valid URL."),
        ("name", "x" * 101, "The name may not be greater than 100 characters."),
        (
            "avatar",
            f"{PICTURE}?{'x' * 3000}",
            "The avatar may not be greater than 3000 characters.",
        ),
        ("tags", "a", "The tags must be an array."),
        ("tags", ["x"] * 26, "The tags may not have more than 25 items."),
        ("metadata", [], "The metadata field must have a value."),
        ("metadata", "", "The metadata field must have a value."),
        ("metadata", 5, "The metadata must be an array."),
    ],
)
def test_create_with_a_fault(vendor: Caller, field: str, value: Any, text: str) -> None:
    """One wrong field is one complaint, and nobody is created."""
    body = {"uid": "alice", "name": "Alice", field: value}

    assert vendor.details("POST", "/users", json=body) == {field: [text]}
    assert vendor.app.users == {}


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        (" ", "The tags.1 field is required."),
        (7, "The tags.1 must be a string."),
        ("x" * 101, "The tags.1 may not be greater than 100 characters."),
    ],
)
def test_faulty_tag(vendor: Caller, tag: Any, text: str) -> None:
    """A wrong tag is complained about by its place."""
    body = {"uid": "alice", "name": "Alice", "tags": ["good", tag]}

    assert vendor.details("POST", "/users", json=body) == {"tags.1": [text]}


@pytest.mark.parametrize(
    "uid", ["a.b", "a@b", "a b", "ä", "a/b", "x" * 101, "a\n", 7, True, ["a"], {"a": 1}]
)
def test_uid_of_another_shape(vendor: Caller, uid: Any) -> None:
    """Letters, digits, '-' and '_', at most 100: anything else is refused."""
    refusal = vendor.refusal("POST", "/users", json={"uid": uid, "name": "x"})

    assert refusal == (400, "ERR_BAD_REQUEST")


@pytest.mark.parametrize("uid", ["a", "0", "A-b_9", "x" * 100, "_", "-"])
def test_uid_of_a_good_shape(vendor: Caller, uid: str) -> None:
    """What the rule allows is created."""
    assert vendor.create(uid)["uid"] == uid.lower()


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({"a": 1}, {"a": 1}),
        ('{"a": 1}', {"a": 1}),
        ("{'a':1}", {"rawMetadata": "{'a':1}"}),
        ("[1]", {"rawMetadata": "[1]"}),
    ],
)
def test_metadata_as_text(vendor: Caller, sent: Any, kept: Any) -> None:
    """A text is read as JSON; one that is none is wrapped."""
    assert vendor.create(metadata=sent)["metadata"] == kept


def test_metadata_counts_bytes(vendor: Caller) -> None:
    """5 KB as written, in UTF-8: one byte more is refused."""
    full = "é" + "x" * (5120 - len('{"a":""}') - 2)
    over = {"uid": "over", "name": "x", "metadata": {"a": full + "x"}}

    assert vendor.create("full", metadata={"a": full})["metadata"] == {"a": full}
    assert "metadata" in vendor.details("POST", "/users", json=over)


def test_role_must_exist(vendor: Caller) -> None:
    """An unknown role is 404, and nobody is created; a known one is taken."""
    body = {"uid": "alice", "name": "Alice", "role": "Teacher"}

    assert vendor.refusal("POST", "/users", json=body) == (404, "ERR_ROLE_NOT_FOUND")
    assert vendor.app.users == {}
    vendor.data("POST", "/roles", json={"role": "teacher", "name": "Teacher"})
    assert vendor.data("POST", "/users", json=body)["role"] == "teacher"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_unknown_user(vendor: Caller, method: str) -> None:
    """Nobody of that name: 404, the recorded text, the uid lower-cased."""
    answer = vendor.call(method, "/users/Babu123", json={"name": "x"})

    assert answer.status_code == 404
    assert answer.json()["error"] == {
        "message": (
            "The UID babu123 does not exist, "
            "please make sure you have created a user with UID babu123."
        ),
        "devMessage": (
            "The UID babu123 does not exist, "
            "so please make sure you have created a user with UID babu123."
        ),
        "source": "chat-api",
        "code": "ERR_UID_NOT_FOUND",
    }


def test_uid_in_the_path_is_not_decoded(vendor: Caller, alice: str) -> None:
    """A path is taken as it is spelled: `%20` is named so, and `%61` is no `a`."""
    error = vendor.error("GET", "/users/%20")
    raw = vendor.call("GET", f"/users/{alice}")

    assert error["message"].startswith("The UID %20 does not exist, ")
    assert raw.status_code == 200


def test_update(vendor: Caller, alice: str) -> None:
    """What is named is replaced, the rest stays, and the change has a time."""
    vendor.clock.now += 5

    user = vendor.data("PUT", f"/users/{alice}", json={"name": "Alicia", "tags": ["a"]})

    assert (user["name"], user["tags"], user["role"]) == ("Alicia", ["a"], "default")
    assert (user["createdAt"], user["updatedAt"]) == (NOW, NOW + 5)


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("name", "", "The name field must have a value."),
        ("name", None, "The name field must have a value."),
        ("avatar", "not a URL", "The avatar must be a valid URL."),
        ("unset", ["name"], "The selected unset is invalid."),
        ("unset", "avatar", "The selected unset is invalid."),
        ("unset", [{}], "The selected unset is invalid."),
    ],
)
def test_update_with_a_fault(vendor: Caller, alice: str, field: str, value: Any, text: str) -> None:
    """A wrong change is complained about, and nothing is changed."""
    assert vendor.details("PUT", f"/users/{alice}", json={field: value}) == {field: [text]}
    assert "updatedAt" not in vendor.data("GET", f"/users/{alice}")


@pytest.mark.parametrize("field", ["uid", "createdAt", "lastActiveAt", "authToken"])
def test_update_of_what_is_fixed(vendor: Caller, alice: str, field: str) -> None:
    """The uid and the times cannot be changed."""
    user = vendor.data("PUT", f"/users/{alice}", json={field: "1500000000"})

    assert "1500000000" not in {str(value) for value in user.values()}


def test_update_to_an_unknown_role(vendor: Caller, alice: str) -> None:
    """The role of a change must exist too."""
    refusal = vendor.refusal("PUT", f"/users/{alice}", json={"role": "teacher"})

    assert refusal == (404, "ERR_ROLE_NOT_FOUND")


def test_unset(vendor: Caller) -> None:
    """What is unset is gone from the answer; what is not stays."""
    vendor.create(avatar=PICTURE, link=PICTURE, metadata={"a": 1})

    user = vendor.data("PUT", "/users/alice", json={"unset": ["avatar", "metadata"]})

    assert user.keys() & {"avatar", "link", "metadata"} == {"link"}


def test_list_is_newest_first(vendor: Caller) -> None:
    """The last one created comes first, with the documented pagination and cursor."""
    for uid in ("a", "b", "c"):
        vendor.create(uid)

    answer = vendor.call("GET", "/users").json()

    assert [user["uid"] for user in answer["data"]] == ["c", "b", "a"]
    assert answer["cursor"] == {"updatedAt": NOW, "affix": "prepend"}
    assert answer["meta"] == {
        "pagination": {
            "total": 3,
            "count": 3,
            "per_page": 100,
            "current_page": 1,
            "total_pages": 1,
        }
    }


def test_list_of_nobody(vendor: Caller) -> None:
    """An empty app has an empty list, one page of it."""
    answer = vendor.call("GET", "/users").json()

    assert answer["data"] == []
    assert answer["meta"]["pagination"]["total_pages"] == 1


@pytest.mark.parametrize(
    ("page", "shown", "count"), [(1, ["e", "d"], 2), (3, ["a"], 1), (4, [], 0)]
)
def test_pages(vendor: Caller, page: int, shown: list[str], count: int) -> None:
    """Pages follow each other without a gap, and end."""
    for uid in "abcde":
        vendor.create(uid)

    answer = vendor.call("GET", f"/users?perPage=2&page={page}").json()

    assert [user["uid"] for user in answer["data"]] == shown
    assert answer["meta"]["pagination"] == {
        "total": 5,
        "count": count,
        "per_page": 2,
        "current_page": page,
        "total_pages": 3,
    }


@pytest.mark.parametrize(
    ("per_page", "used"), [("1000", 1000), ("1001", 1000), ("x", 100), ("-1", 100), ("²", 100)]
)
def test_page_size(vendor: Caller, per_page: str, used: int) -> None:
    """At most 1,000 per page; what is no number is the default."""
    answer = vendor.call("GET", "/users", params={"perPage": per_page}).json()

    assert answer["meta"]["pagination"]["per_page"] == used


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("searchKey=al", {"alice", "x-1"}),
        ("searchKey=AL", {"alice", "x-1"}),
        ("searchKey=al&searchIn[]=uid", {"alice"}),
        ("searchKey=al&searchIn[]=name", {"alice", "x-1"}),
        ("searchKey=lice", set()),
        ("role=teacher", {"bob"}),
        ("roles[]=teacher&roles[]=default", {"alice", "bob", "x-1"}),
        ("tags=red", {"alice"}),
        ("tags=red,blue", {"alice", "bob"}),
        ("status=offline", {"alice", "bob", "x-1"}),
        ("status=available", set()),
        ("unknown=1", {"alice", "bob", "x-1"}),
    ],
)
def test_list_what_is_asked_for(vendor: Caller, query: str, found: set[str]) -> None:
    """A filter leaves in what it names, and nothing else."""
    vendor.data("POST", "/roles", json={"role": "teacher", "name": "Teacher"})
    vendor.create("alice", tags=["red"])
    vendor.create("bob", role="teacher", tags=["blue"])
    vendor.create("x-1", name="Alfred")

    assert {user["uid"] for user in vendor.data("GET", f"/users?{query}")} == found


@pytest.mark.parametrize(("query", "has_tags"), [("", False), ("?withTags=true", True)])
def test_tags_in_lists(vendor: Caller, query: str, has_tags: bool) -> None:  # noqa: FBT001 (a case)
    """A list shows tags only if asked to."""
    vendor.create(tags=["a"])

    assert ("tags" in vendor.data("GET", f"/users{query}")[0]) is has_tags


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["bob"]),
        ("?withDeactivated=true", ["bob", "alice"]),
        ("?onlyDeactivated=true", ["alice"]),
        ("?onlyDeactivated=false", ["bob"]),
    ],
)
def test_deactivated_in_lists(vendor: Caller, query: str, found: list[str]) -> None:
    """Who is deactivated is hidden unless asked for."""
    vendor.create("alice")
    vendor.create("bob")
    vendor.data("DELETE", "/users/alice")

    assert [user["uid"] for user in vendor.data("GET", f"/users{query}")] == found


@pytest.mark.parametrize(("flag", "has_token"), [(True, True), (False, False), ("true", False)])
def test_token_with_a_new_user(vendor: Caller, flag: Any, has_token: bool) -> None:  # noqa: FBT001
    """`withAuthToken` brings a token that works, inside the user object."""
    user = vendor.create(withAuthToken=flag)

    assert ("authToken" in user) is has_token
    assert list(vendor.app.tokens) == ([user["authToken"]] if has_token else [])
