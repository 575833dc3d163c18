"""Validation: which fields an answer complains about, in the vendor's words."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from tokensvc.emulator import errors
from tokensvc.emulator.fields import (
    as_metadata,
    is_blank,
    metadata_fault,
    object_fault,
    text_fault,
    time_fault,
    url_fault,
)

MAX_NAME: Final = 100
MAX_DESCRIPTION: Final = 255
MAX_TAGS: Final = 25
MAX_TAG: Final = 100
MAX_BULK: Final = 25
_ALPHA_DASH: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
_UNSETTABLE: Final = ("avatar", "link", "metadata")
_UNSETTABLE_OF_ROLES: Final = ("settings", "description", "metadata")
_READINGS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "metadata": as_metadata,
    "createdAt": int,
    "lastActiveAt": int,
}
"""What is not kept as it was sent."""

Body = Mapping[str, Any]
Checks = Mapping[str, Callable[[Any], str | None]]


class Complaints:
    """Collects what is wrong, field by field; `settle` answers with all of it."""

    def __init__(self) -> None:
        self.details: dict[str, list[str]] = {}

    def add(self, field: str, text: str) -> None:
        """Note one fault of *field*."""
        self.details.setdefault(field, []).append(text)

    def settle(self) -> None:
        """Raise the validation error if there is any fault."""
        if self.details:
            raise errors.invalid(self.details)


def parse_new_user(body: Body, max_metadata_bytes: int) -> tuple[str, dict[str, Any]]:
    """Return the uid as spelled and the fields of a user to create."""
    return _parse_user(body, _user_checks(max_metadata_bytes))


def parse_import_row(body: Body, max_metadata_bytes: int) -> tuple[str, dict[str, Any]]:
    """Return the same of a row of the import, which alone can set times."""
    times = {"createdAt": time_fault, "lastActiveAt": time_fault}
    return _parse_user(body, {**_user_checks(max_metadata_bytes), **times})


def parse_changes(body: Body, max_metadata_bytes: int) -> tuple[dict[str, Any], list[str]]:
    """Return the fields to set and the names of those to clear."""
    complaints = Complaints()
    fields = _fields(body, _user_checks(max_metadata_bytes), complaints)
    _take_tags(body, fields, complaints)
    unset = _unset(body, _UNSETTABLE, complaints)
    complaints.settle()
    return fields, unset


def parse_new_role(body: Body) -> tuple[str, dict[str, Any]]:
    """Return the slug of a role to create, and its fields."""
    complaints = Complaints()
    slug = _slug(body, "role", complaints)
    fields = _new_fields(body, _ROLE_CHECKS, complaints)
    complaints.settle()
    return slug.lower(), fields


def parse_role_changes(body: Body) -> tuple[dict[str, Any], list[str]]:
    """Return the fields of a role to set and the names of those to clear."""
    complaints = Complaints()
    fields = _fields(body, _ROLE_CHECKS, complaints)
    unset = _unset(body, _UNSETTABLE_OF_ROLES, complaints)
    complaints.settle()
    return fields, unset


def parse_uids(body: Body, field: str) -> list[str]:
    """Return the uids of a bulk request, as spelled: at most 25 (from an older page)."""
    uids = body.get(field)
    complaints = Complaints()
    if not isinstance(uids, list) or not uids:
        complaints.add(field, f"The {field} field is required.")
    elif len(uids) > MAX_BULK:
        complaints.add(field, f"The {field} may not have more than {MAX_BULK} items.")
    elif not all(isinstance(uid, str) for uid in uids):
        complaints.add(field, f"The {field} must be an array of strings.")
    complaints.settle()
    return list(dict.fromkeys(uids or []))


def parse_flag(body: Body, field: str) -> bool | None:
    """Return a flag, or None without one; that only true and false pass is unverified."""
    value = body.get(field)
    if value is None or isinstance(value, bool):
        return value
    raise errors.invalid({field: [f"The {field} field must be true or false."]})


def _parse_user(body: Body, checks: Checks) -> tuple[str, dict[str, Any]]:
    complaints = Complaints()
    uid = _slug(body, "uid", complaints)
    fields = _new_fields(body, checks, complaints)
    _take_tags(body, fields, complaints)
    complaints.settle()
    return uid, fields


def _user_checks(max_metadata_bytes: int) -> Checks:
    return {
        "name": lambda value: text_fault(value, "name", MAX_NAME),
        "avatar": lambda value: url_fault(value, "avatar"),
        "link": lambda value: url_fault(value, "link"),
        "role": lambda value: text_fault(value, "role", MAX_NAME),
        "statusMessage": lambda value: text_fault(value, "statusMessage"),
        "metadata": lambda value: metadata_fault(value, max_metadata_bytes),
    }


_ROLE_CHECKS: Final[Checks] = {
    "name": lambda value: text_fault(value, "name", MAX_NAME),
    "description": lambda value: text_fault(value, "description", MAX_DESCRIPTION),
    "metadata": lambda value: object_fault(value, "metadata"),
    "settings": lambda value: object_fault(value, "settings"),
}


def _slug(body: Body, field: str, complaints: Complaints) -> str:
    value = body.get(field)
    if is_blank(value):
        complaints.add(field, f"The {field} field is required.")
    elif not isinstance(value, str) or not _ALPHA_DASH.fullmatch(value):
        # Unverified: which code and text a bad character set yields.
        complaints.add(field, f"The {field} may only contain letters, numbers, dashes.")
    return str(value)


def _new_fields(body: Body, checks: Checks, complaints: Complaints) -> dict[str, Any]:
    """Return the fields of what is created: the name is required, and said to be so."""
    if is_blank(body.get("name")):
        complaints.add("name", "The name field is required.")
        checks = {name: check for name, check in checks.items() if name != "name"}
    return _fields(body, checks, complaints)


def _fields(body: Body, checks: Checks, complaints: Complaints) -> dict[str, Any]:
    fields = {}
    for name, check in checks.items():
        if name not in body:
            continue
        fault = check(body[name])
        if fault:
            complaints.add(name, fault)
        else:
            fields[name] = _READINGS[name](body[name]) if name in _READINGS else body[name]
    return fields


def _unset(body: Body, allowed: tuple[str, ...], complaints: Complaints) -> list[str]:
    unset = body.get("unset", [])
    if isinstance(unset, list) and all(name in allowed for name in unset):
        return unset
    complaints.add("unset", "The selected unset is invalid.")
    return []


def _take_tags(body: Body, fields: dict[str, Any], complaints: Complaints) -> None:
    if "tags" not in body:
        return
    tags = fields["tags"] = body["tags"]
    if not isinstance(tags, list):
        complaints.add("tags", "The tags must be an array.")
        return
    if len(tags) > MAX_TAGS:
        complaints.add("tags", f"The tags may not have more than {MAX_TAGS} items.")
    for index, tag in enumerate(tags):
        field = f"tags.{index}"
        if is_blank(tag):
            complaints.add(field, f"The {field} field is required.")
        elif fault := text_fault(tag, field, MAX_TAG):
            complaints.add(field, fault)
