"""Roles: created before they are used, 25 at most, the default one for ever."""

from typing import Any

import pytest

from tests.emulator.emulated import NOW, Caller


@pytest.fixture
def teacher(vendor: Caller) -> str:
    """Have a role there, and return its slug."""
    vendor.data("POST", "/roles", json={"role": "teacher", "name": "Teacher", "description": "x"})
    return "teacher"


def test_create(vendor: Caller) -> None:
    """A role is answered as documented, its slug lower-cased."""
    sent = {"role": "TeacheR", "name": "Teacher", "settings": {"listUsers": "all"}}

    data = vendor.data("POST", "/roles", json=sent)

    assert data == {**sent, "role": "teacher", "createdAt": NOW}
    assert vendor.data("GET", "/roles/TEACHER") == data


@pytest.mark.parametrize("slug", ["teacher", "Teacher", "default"])
def test_create_twice(vendor: Caller, teacher: str, slug: str) -> None:
    """A role that is there is a 400, whatever the case."""
    del teacher

    refusal = vendor.refusal("POST", "/roles", json={"role": slug, "name": "x"})

    assert refusal == (400, "ERR_ROLE_ALREADY_EXISTS")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"role": ""}, "role"),
        ({"role": "a b"}, "role"),
        ({"role": 5}, "role"),
        ({"name": ""}, "name"),
        ({"name": 5}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"description": "x" * 256}, "description"),
        ({"settings": "all"}, "settings"),
        ({"metadata": []}, "metadata"),
    ],
)
def test_create_with_a_fault(vendor: Caller, change: dict[str, Any], field: str) -> None:
    """One wrong field is one complaint."""
    body = {"role": "teacher", "name": "Teacher", **change}

    assert list(vendor.details("POST", "/roles", json=body)) == [field]


def test_list(vendor: Caller, teacher: str) -> None:
    """Newest first, the default one included, in pages."""
    answer = vendor.call("GET", "/roles").json()

    assert [role["role"] for role in answer["data"]] == [teacher, "default"]
    assert answer["meta"]["pagination"]["total"] == 2


def test_update(vendor: Caller, teacher: str) -> None:
    """What is named is replaced, what is unset is gone, the rest stays."""
    vendor.clock.now += 5

    data = vendor.data("PUT", f"/roles/{teacher}", json={"name": "T", "unset": ["description"]})

    assert data == {"role": teacher, "name": "T", "createdAt": NOW, "updatedAt": NOW + 5}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"name": ""}, "The name field must have a value."),
        ({"unset": ["name"]}, "The selected unset is invalid."),
    ],
)
def test_update_with_a_fault(vendor: Caller, teacher: str, body: dict[str, Any], text: str) -> None:
    """A wrong change is complained about."""
    assert vendor.details("PUT", f"/roles/{teacher}", json=body) == {next(iter(body)): [text]}


def test_delete(vendor: Caller, teacher: str) -> None:
    """A deleted role is gone, and its users have the default one."""
    vendor.create(role=teacher)

    data = vendor.data("DELETE", f"/roles/{teacher}")

    assert data == {"success": True, "message": "Role teacher has been deleted successfully."}
    assert vendor.data("GET", "/users/alice")["role"] == "default"


def test_default_stays(vendor: Caller) -> None:
    """The default role cannot be deleted."""
    assert vendor.refusal("DELETE", "/roles/default") == (400, "ERR_ROLE_DELETE_DENIED")
    assert vendor.data("GET", "/roles/default")["name"] == "Default Role"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_unknown_role(vendor: Caller, method: str) -> None:
    """A role nobody made is 404."""
    error = vendor.error(method, "/roles/teacher")

    assert error["code"] == "ERR_ROLE_NOT_FOUND"
    assert error["message"] == (
        "The role teacher does not exist. Please use correct role or use create role API."
    )


def test_twenty_five_roles(vendor: Caller) -> None:
    """The 25th role is made, the 26th is not."""
    made = [
        vendor.call("POST", "/roles", json={"role": f"r{number}", "name": "x"}).status_code
        for number in range(25)
    ]

    assert made == [200] * 24 + [400]
