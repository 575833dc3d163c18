"""Columns: where in a row of the app's own list the fields of a user stand."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

from tokensvc.domain.profiles import ClaimPath, claim_at, parse_claim_path

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


def _found(path: ClaimPath, row: Row) -> object:
    value = claim_at(path, row)
    return None if value == "" else value
