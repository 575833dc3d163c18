"""Rosters: one row of the app's own list, read as a user of CometChat's.

Uids and profiles come about as at a login. A login leaves out what CometChat would
refuse; here somebody is there to mend it, and so the row is refused by name.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tokensvc.domain.columns import Columns, Row, RowError
from tokensvc.domain.errors import UidNotAllowedError
from tokensvc.domain.model import ChatUser, Profile, Uid
from tokensvc.domain.profiles import ProfileClaims, claim_at
from tokensvc.domain.strict_json import JSONError, parse_json
from tokensvc.domain.uids import UidRule, parse_uid

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
