"""Claims to profile: what of a person's data CometChat is told.

A login never fails because of a display name. What CometChat would refuse is
left out and named, so that the audit record can say so; the limits are those of
the vendor's page of properties and constraints.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar
from urllib.parse import urlsplit

from tokensvc.domain.model import Profile

MAX_NAME_CHARS: Final = 100
MAX_AVATAR_CHARS: Final = 3000
MAX_ROLE_CHARS: Final = 100
MAX_TAGS: Final = 25
MAX_TAG_CHARS: Final = 100
MAX_METADATA_BYTES: Final = 5 * 1024
"""Unverified: the vendor's newer pages say 5 KB, the older ones 1,600 characters."""

T = TypeVar("T")

ClaimPath = tuple[str, ...]
Claims = Mapping[str, object]


def parse_claim_path(text: str) -> ClaimPath:
    """Return where a claim stands: by its name, or by a JSON Pointer (RFC 6901).

    `name` is a member at the top; `/user_metadata/full_name` is one further in.
    """
    if not text.startswith("/"):
        return (text,)
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/"))


def claim_at(path: ClaimPath, claims: Claims) -> object:
    """Return the claim at *path*, or None."""
    value: object = claims
    for name in path:
        # What JSON has as an object: to ask for a Mapping in general takes ten times as long.
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


@dataclass(frozen=True, slots=True)
class ProfileClaims:
    """Which claims say what about a user; None means that none does."""

    name: ClaimPath | None = None
    avatar: ClaimPath | None = None
    role: ClaimPath | None = None
    tags: ClaimPath | None = None
    metadata: Mapping[str, ClaimPath] = field(default_factory=dict)

    def read(self, claims: Claims) -> tuple[Profile, tuple[str, ...]]:
        """Return the profile that *claims* describe, and the names of what was left out."""
        reading = _Reading(claims)
        profile = Profile(
            name=reading.take("name", self.name, _name),
            avatar=reading.take("avatar", self.avatar, _avatar),
            role=reading.take("role", self.role, _role),
            tags=reading.take("tags", self.tags, _tags) or (),
            metadata=reading.metadata(self.metadata),
        )
        return profile, tuple(reading.dropped)


@dataclass(slots=True)
class _Reading:
    claims: Claims
    dropped: list[str] = field(default_factory=list)

    def take(
        self, field_name: str, path: ClaimPath | None, parse: Callable[[object], T | None]
    ) -> T | None:
        raw = claim_at(path, self.claims) if path else None
        if _is_empty(raw):
            return None
        value = parse(raw)
        if value is None:
            self.dropped.append(field_name)
        return value

    def metadata(self, paths: Mapping[str, ClaimPath]) -> Mapping[str, object]:
        found = {name: claim_at(path, self.claims) for name, path in paths.items()}
        kept = {name: value for name, value in found.items() if not _is_empty(value)}
        if kept and len(json.dumps(kept).encode("utf-8")) > MAX_METADATA_BYTES:
            self.dropped.append("metadata")
            return {}
        return kept


def _is_empty(value: object) -> bool:
    """Return whether *value* says nothing; False and 0 do say something."""
    return value is None or (isinstance(value, str | list | Mapping) and not value)


def _name(raw: object) -> str | None:
    """Return the name, cut to what fits: half a name is better than a uid."""
    if not isinstance(raw, str):
        return None
    return raw.strip()[:MAX_NAME_CHARS].strip() or None


def _avatar(raw: object) -> str | None:
    if not isinstance(raw, str) or len(raw) > MAX_AVATAR_CHARS or not raw.isprintable():
        return None
    try:
        url = urlsplit(raw)
    except ValueError:
        return None
    is_web = url.scheme in {"http", "https"} and url.hostname is not None
    return raw if is_web and " " not in raw else None


def _role(raw: object) -> str | None:
    is_text = isinstance(raw, str) and bool(raw.strip())
    return str(raw) if is_text and len(str(raw)) <= MAX_ROLE_CHARS else None


def _tags(raw: object) -> tuple[str, ...] | None:
    """Return all tags or none: a part of them would be a lie about the user."""
    if not isinstance(raw, list) or len(raw) > MAX_TAGS:
        return None
    tags = tuple(tag for tag in raw if isinstance(tag, str) and tag.strip())
    fit = len(tags) == len(raw) and all(len(tag) <= MAX_TAG_CHARS for tag in tags)
    return tags if fit else None
