"""Rosters: one row of the app's own list, read as a user of CometChat's.

Uids and profiles come about as at a login. A login leaves out what CometChat would
refuse; here somebody is there to mend it, and so the row is refused by name.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

from tokensvc.domain.errors import UidNotAllowedError
from tokensvc.domain.model import ChatUser, Profile, Uid
from tokensvc.domain.profiles import ClaimPath, ProfileClaims, claim_at, parse_claim_path
from tokensvc.domain.strict_json import JSONError, parse_json
from tokensvc.domain.uids import UidRule, parse_uid

Row = Mapping[str, object]

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "uid": ("uid",),
    "subject": ("subject", "sub", "id", "user_id", "userId"),
    "name": ("name", "full_name", "fullName", "display_name", "displayName"),
    "avatar": ("avatar", "avatar_url", "avatarUrl", "picture", "image_url", "imageUrl"),
    "role": ("role",),
    "tags": ("tags",),
    "metadata": ("metadata",),
    "deactivated": ("deactivated",),
}
"""The columns in which each field is looked for, unless others are named."""
IDS: Final = frozenset({"uid", "subject"})
"""Either names the user."""
SLIP: Final = 0.75
"""How much of a name is right, at least, where it was mistyped: two letters that changed places."""
METADATA_PREFIX: Final = "metadata."
TAG_SEPARATOR: Final = ";"

NO_UID: Final = "the row names no user: there is neither a uid nor a subject"
BAD_UID: Final = "the uid is not 1 to 100 of a-z, 0-9, _ and -"
FOREIGN_UID: Final = "no login has such a uid: it begins with no issuer's prefix"
BAD_SUBJECT: Final = (
    "the subject cannot be made a uid: that is 1 to 100 of a-z, 0-9, _ and -, or with "
    'uids.strategy = "encoded" any subject of 1 to 1,000 characters'
)
NO_ISSUER: Final = "there are several issuers, and the subject may be any of theirs"
HOLDS_NUL: Final = "the row holds a NUL character"
BAD_FIELDS: Final[Mapping[str, str]] = {
    "name": "the name is no text, or only blanks",
    "avatar": "the avatar is no http or https URL of at most 3,000 characters",
    "role": "the role is no text of 1 to 100 characters",
    "tags": "the tags are not at most 25 texts of 1 to 100 characters",
    "metadata": "the metadata is no JSON object of at most 5 KB",
    "deactivated": "the column deactivated says neither true nor false",
}
TRUTHS: Final[Mapping[str, bool]] = {"true": True, "false": False}


class RowError(Exception):
    """The row cannot be a user; the reason is a fixed sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the fields of a user stand in a row."""

    paths: Mapping[str, ClaimPath] = field(default_factory=dict)
    """By the field's name; the usual columns where it is not there."""
    metadata: Mapping[str, ClaimPath] = field(default_factory=dict)
    """By the member's name; without any, a column has all metadata."""

    def find(self, name: str, row: Row) -> object:
        """Return what *row* says of the field, or None."""
        if name in self.paths:
            return _found(self.paths[name], row)
        values = (row.get(alias) for alias in COLUMNS[name])
        return next((value for value in values if value is not None and value != ""), None)

    def unread(self, row: Row) -> Iterator[str]:
        """Yield the names of columns that say nothing about a user."""
        read = {column for name in COLUMNS for column in self._of(name)}
        return (name for name in row if name not in read)

    def missing(self, row: Row) -> Iterator[str]:
        """Yield the names of columns that are named, and that *row* has not."""
        paths = (*self.paths.values(), *self.metadata.values())
        return (path[0] for path in paths if path[0] not in row)

    def said(self, row: Row) -> Iterator[str]:
        """Yield the fields that *row* has a column for, whatever is in it."""
        return (name for name in COLUMNS if any(column in row for column in self._of(name)))

    def meant(self, mistyped: str, said: Collection[str]) -> str | None:
        """Return the name that *mistyped* looks like, if its field is not *said*."""
        known = {*said, *IDS} if IDS & {*said} else said
        fields = [name for name in COLUMNS if name not in known]
        names = {column.lower(): column for name in fields for column in self._of(name)}
        plain = mistyped.strip().lower().replace(" ", "_").replace("-", "_")
        close = get_close_matches(plain, names, n=1, cutoff=SLIP)
        return names[close[0]] if close else None

    def _of(self, name: str) -> Collection[str]:
        """Return the columns in which the field is looked for."""
        if name in self.paths:
            return {self.paths[name][0]}
        if name == "metadata" and self.metadata:
            return {path[0] for path in self.metadata.values()}
        return COLUMNS[name]


def parse_columns(pairs: Mapping[str, str]) -> Columns:
    """Return the columns that *pairs* of field and column name; raises `RowError`."""
    paths, metadata = {}, {}
    for name, column in pairs.items():
        if name.startswith(METADATA_PREFIX) and name != METADATA_PREFIX:
            metadata[name.removeprefix(METADATA_PREFIX)] = parse_claim_path(column)
        elif name in COLUMNS:
            paths[name] = parse_claim_path(column)
        else:
            raise RowError(f"fields are {', '.join(COLUMNS)} and metadata.NAME")
    return Columns(paths, metadata)


class NoIssuerError(RowError):
    """The row has a subject, and it is not known whose: other rows are no better."""


@dataclass(frozen=True, slots=True)
class RosterReader:
    """Reads rows as users: *uid_rule* and *prefixes* are those of the logins.

    Without *uid_rule* it is not known whose subjects they are.
    """

    columns: Columns
    uid_rule: UidRule | None
    prefixes: Collection[str] = ("",)

    def read(self, row: Row) -> ChatUser:
        """Return the user that *row* describes; raises `RowError`."""
        claims: dict[str, object] = {
            name: self.columns.find(name, row) for name in ("name", "avatar", "role")
        }
        claims["tags"] = _tags(self.columns.find("tags", row))
        claims["metadata"] = self._metadata(row)
        profile, dropped = _claims_of(claims["metadata"]).read(claims)
        if dropped:
            raise RowError(BAD_FIELDS[dropped[0]])
        if any("\0" in text for text in _texts([*claims.values()])):
            raise RowError(HOLDS_NUL)
        if self._truth(row) is None:
            raise RowError(BAD_FIELDS["deactivated"])
        return ChatUser(self._uid(row), profile)

    def is_deactivated(self, row: Row) -> bool:
        """Return whether *row* says that the user is shut out, and is to stay so."""
        return self._truth(row) is True

    def _truth(self, row: Row) -> bool | None:
        value = self.columns.find("deactivated", row)
        # Spreadsheets turn it into capitals, and JSON has a value of its own.
        return False if value is None else TRUTHS.get(str(value).lower())

    def _uid(self, row: Row) -> Uid:
        uid = self.columns.find("uid", row)
        if uid is None:
            return self._uid_of_subject(_id_text(self.columns.find("subject", row)))
        try:
            found = parse_uid(_id_text(uid))
        except UidNotAllowedError:
            raise RowError(BAD_UID) from None
        if not found.startswith(tuple(self.prefixes)):
            raise RowError(FOREIGN_UID)
        return found

    def _uid_of_subject(self, subject: str) -> Uid:
        if not subject:
            raise RowError(NO_UID)
        if self.uid_rule is None:
            raise NoIssuerError(NO_ISSUER)
        try:
            return self.uid_rule(subject)
        except UidNotAllowedError:
            raise RowError(BAD_SUBJECT) from None

    def _metadata(self, row: Row) -> Mapping[str, object]:
        if self.columns.metadata:
            return {name: claim_at(path, row) for name, path in self.columns.metadata.items()}
        value = self.columns.find("metadata", row)
        if isinstance(value, str):
            value = _from_json(value, "metadata")
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise RowError(BAD_FIELDS["metadata"])
        return value


def tags_cell(profile: Profile) -> str:
    """Return the tags as one cell, which is read as the same tags."""
    plain = TAG_SEPARATOR.join(profile.tags)
    is_plain = all(tag == tag.strip() and TAG_SEPARATOR not in tag for tag in profile.tags)
    return (
        plain
        if is_plain and not plain.startswith("[")
        else json.dumps([*profile.tags], ensure_ascii=False)
    )


def _found(path: ClaimPath, row: Row) -> object:
    value = claim_at(path, row)
    return None if value == "" else value


def _claims_of(metadata: object) -> ProfileClaims:
    names = metadata if isinstance(metadata, Mapping) else {}
    return ProfileClaims(
        name=("name",),
        avatar=("avatar",),
        role=("role",),
        tags=("tags",),
        metadata={name: ("metadata", name) for name in names},
    )


def _id_text(value: object) -> str:
    """Return an id as text: databases count their users with numbers."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else ""


def _tags(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value.startswith("["):
        return _from_json(value, "tags")
    return [tag.strip() for tag in value.split(TAG_SEPARATOR)]


def _from_json(text: str, name: str) -> object:
    try:
        return parse_json(text.encode())
    except (JSONError, UnicodeEncodeError):
        raise RowError(BAD_FIELDS[name]) from None


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield str(name)
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
