"""Fields: what may be in one, and what the vendor says if something else is.

Texts are the vendor's where one was recorded ("field is required", "must have a
value", "must be a valid URL") and Laravel's, unverified, where none was.
"""

import json
from typing import Any, Final
from urllib.parse import urlsplit

from tokensvc.emulator.bodies import parse_json

MAX_TEXT: Final = 3000
"""Documented for URLs; for status messages unverified."""
FIRST_TIME: Final = 10**9
LAST_TIME: Final = 10**10 - 1


def is_blank(value: object) -> bool:
    """Tell whether the vendor sees nothing there; spaces are trimmed."""
    return value is None or (isinstance(value, str) and not value.strip())


def text_fault(value: object, field: str, longest: int = MAX_TEXT) -> str | None:
    """Return what is wrong with a text."""
    if is_blank(value):
        return f"The {field} field must have a value."
    if not isinstance(value, str):
        return f"The {field} must be a string."
    if len(value) > longest:
        return f"The {field} may not be greater than {longest} characters."
    return None


def url_fault(value: object, field: str) -> str | None:
    """Return what is wrong with a URL."""
    fault = text_fault(value, field)
    if fault:
        return fault
    try:
        url = urlsplit(str(value))
        is_url = bool(url.scheme and url.hostname) and len(str(value).split()) == 1
    except ValueError:
        is_url = False
    return None if is_url else f"The {field} must be a valid URL."


def object_fault(value: object, field: str) -> str | None:
    """Return what is wrong with an object."""
    if not value and not isinstance(value, bool | int | float):
        return f"The {field} field must have a value."
    return None if isinstance(value, dict) else f"The {field} must be an array."


def metadata_fault(value: object, most_bytes: int) -> str | None:
    """Return what is wrong with metadata: an object, or a text (see `as_metadata`)."""
    fault = object_fault({"text": value} if isinstance(value, str) and value else value, "metadata")
    if fault:
        return fault
    written = json.dumps(as_metadata(value), ensure_ascii=False, separators=(",", ":"))
    if len(written.encode()) > most_bytes:
        return f"The metadata may not be greater than {most_bytes} bytes."
    return None


def as_metadata(value: Any) -> dict[str, Any]:  # noqa: ANN401 (an object or a text)
    """Return metadata as it is kept; that a text is read or else wrapped is unverified."""
    if isinstance(value, dict):
        return value
    try:
        read = parse_json(value.encode())
    except ValueError:
        read = None
    return read if isinstance(read, dict) else {"rawMetadata": value}


def time_fault(value: object) -> str | None:
    """Return what is wrong with a time: a UNIX time stamp, also as a text (documented)."""
    is_text = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 11  # noqa: PLR2004
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if (is_text or is_number) and FIRST_TIME <= int(str(value)) <= LAST_TIME:
        return None
    return "The time must be a UNIX time stamp of 10 digits."
