"""Validation: which fields an answer complains about, in the vendor's words."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from tokensvc.emulator import errors

MAX_NAME: Final = 100
MAX_URL: Final = 3000
MAX_TAGS: Final = 25
MAX_TAG: Final = 100
MAX_BULK: Final = 25
_ALPHA_DASH: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
UNSETTABLE: Final = ("avatar", "link", "metadata")
Body = Mapping[str, Any]


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
    complaints = Complaints()
    uid = _slug(body, "uid", complaints)
    if _blank(body.get("name")):
        complaints.add("name", "The name field is required.")
    fields = _fields(body, complaints, max_metadata_bytes)
    complaints.settle()
    return uid, fields


def parse_changes(body: Body, max_metadata_bytes: int) -> tuple[dict[str, Any], list[str]]:
    """Return the fields to set and the names of those to clear."""
    complaints = Complaints()
    if "name" in body and _blank(body["name"]):
        complaints.add("name", "The name field must have a value.")
    fields = _fields(body, complaints, max_metadata_bytes)
    unset = body.get("unset", [])
    if not isinstance(unset, list) or any(name not in UNSETTABLE for name in unset):
        complaints.add("unset", "The selected unset is invalid.")
        unset = []
    complaints.settle()
    return fields, unset


def parse_role(body: Body, *, new: bool) -> tuple[str, dict[str, Any]]:
    """Return the role's slug and its fields."""
    complaints = Complaints()
    slug = _slug(body, "role", complaints) if new else ""
    if new and _blank(body.get("name")):
        complaints.add("name", "The name field is required.")
    fields = {
        name: body[name] for name in ("name", "description", "metadata", "settings") if name in body
    }
    for name in ("name", "description"):
        if name in fields and not isinstance(fields[name], str):
            complaints.add(name, f"The {name} must be a string.")
    complaints.settle()
    return slug.lower(), fields


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


def _slug(body: Body, field: str, complaints: Complaints) -> str:
    value = body.get(field)
    if _blank(value):
        complaints.add(field, f"The {field} field is required.")
    elif not isinstance(value, str) or not _ALPHA_DASH.fullmatch(value):
        # Unverified: which code and text a bad character set yields.
        complaints.add(field, f"The {field} may only contain letters, numbers, dashes.")
    return str(value)


def _fields(body: Body, complaints: Complaints, max_metadata_bytes: int) -> dict[str, Any]:
    checks: Mapping[str, Callable[[Any], str | None]] = {
        "name": lambda value: _text_fault(value, "name", MAX_NAME),
        "avatar": lambda value: _url_fault(value, "avatar"),
        "link": lambda value: _url_fault(value, "link"),
        "role": lambda value: _text_fault(value, "role", MAX_NAME),
        "statusMessage": lambda value: _text_fault(value, "statusMessage", MAX_URL),
        "metadata": lambda value: _metadata_fault(value, max_metadata_bytes),
        "createdAt": _time_fault,
        "lastActiveAt": _time_fault,
    }
    fields = {}
    for name, check in checks.items():
        if name not in body or (name == "name" and _blank(body[name])):
            continue
        fault = check(body[name])
        if fault:
            complaints.add(name, fault)
        fields[name] = body[name]
    if "tags" in body:
        fields["tags"] = body["tags"]
        _check_tags(body["tags"], complaints)
    return fields


def _blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _text_fault(value: object, field: str, longest: int) -> str | None:
    if _blank(value):
        return f"The {field} field must have a value."
    if not isinstance(value, str):
        return f"The {field} must be a string."
    return None if len(value) <= longest else f"The {field} may not be greater than {longest}."


def _url_fault(value: object, field: str) -> str | None:
    fault = _text_fault(value, field, MAX_URL)
    if fault:
        return fault
    try:
        url = urlsplit(str(value))
    except ValueError:
        return f"The {field} must be a valid URL."
    return None if url.scheme and url.hostname else f"The {field} must be a valid URL."


def _metadata_fault(value: object, most_bytes: int) -> str | None:
    if not isinstance(value, dict | str) or not value:
        return "The metadata must be an object."
    if len(json.dumps(value)) > most_bytes:
        return "The metadata is too large."
    return None


def _time_fault(value: object) -> str | None:
    is_time = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**10
    return None if is_time else "The time must be a UNIX time stamp of 10 digits."


def _check_tags(tags: object, complaints: Complaints) -> None:
    if not isinstance(tags, list):
        complaints.add("tags", "The tags must be an array.")
        return
    if len(tags) > MAX_TAGS:
        complaints.add("tags", f"The tags may not have more than {MAX_TAGS} items.")
    for index, tag in enumerate(tags):
        if _blank(tag):
            complaints.add(f"tags.{index}", f"The tags.{index} field is required.")
        elif not isinstance(tag, str) or len(tag) > MAX_TAG:
            complaints.add(f"tags.{index}", f"The tags.{index} must be at most {MAX_TAG} long.")
