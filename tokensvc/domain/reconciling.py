"""Reconciling: where the app's list and CometChat differ, and what would mend it."""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from tokensvc.domain.model import ChatUser, Profile, Uid
from tokensvc.domain.ports import DirectoryUser

FIELDS: Final = ("name", "avatar", "role", "tags", "metadata")
DIGEST_BYTES: Final = 8


class Drift(StrEnum):
    """How a user differs."""

    MISSING = "missing"
    """On the list, and not at CometChat."""
    EXTRA = "extra"
    """Live at CometChat, and not on the list, though by the uid they could be."""
    DIFFERENT = "different"
    """On both, with another profile."""
    DEACTIVATED = "deactivated"
    """On the list, and deactivated at CometChat."""
    LIVE = "live"
    """Deactivated by the list, and live at CometChat."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One user who differs, and with DIFFERENT in which fields."""

    drift: Drift
    uid: Uid
    fields: tuple[str, ...] = ()


def differences(found: Profile, wanted: Profile) -> tuple[str, ...]:
    """Return the fields in which an update to *wanted* would change something at CometChat.

    Name, role and tags cannot be unset there, and roles are kept in lower case.
    """
    have, want = _digests(found), _digests(wanted)
    return tuple(name for name in FIELDS if _would_change(name, have[name], want[name]))


def _would_change(name: str, have: bytes, want: bytes) -> bool:
    is_unsettable = name in {"avatar", "metadata"}
    return have != want and (bool(want) or is_unsettable)


def _digests(profile: Profile) -> dict[str, bytes]:
    """Return eight bytes for each field, none for one that is absent: a list takes little room."""
    values: dict[str, object] = {
        "name": profile.name,
        "avatar": profile.avatar,
        "role": profile.role.lower() if profile.role else None,
        "tags": [*profile.tags],
        "metadata": dict(profile.metadata),
    }
    return {name: _digest(value) for name, value in values.items()}


def _digest(value: object) -> bytes:
    if not value:
        return b""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()[:DIGEST_BYTES]


@dataclass(slots=True)
class Reconciliation:
    """Compares CometChat's users with the list, of which it keeps digests alone."""

    unsaid: Collection[str] = ()
    """The fields of which the list says nothing, and in which nobody differs from it."""
    prefixes: tuple[str, ...] = ("",)
    """What the uids begin with of those whom the list is of; all others are somebody else's."""
    wanted: dict[Uid, tuple[bytes, ...]] = field(default_factory=dict)
    live_count: int = 0
    """How many of those are live at CometChat, once they were compared."""
    shut_out: set[Uid] = field(default_factory=set)

    def expect(self, user: ChatUser) -> None:
        """Take in a user of the list."""
        self.wanted[user.uid] = tuple(_digests(user.profile).values())

    def expect_nobody(self, uid: Uid) -> None:
        """Take in a user who is deactivated by the list."""
        self.shut_out.add(uid)

    def compare(self, directory: Iterable[DirectoryUser]) -> Iterator[Finding]:
        """Yield who differs: those at CometChat in its order, then who is missing there."""
        missing = dict.fromkeys(self.wanted)
        for entry in directory:
            self.live_count += not entry.is_deactivated and self._is_ours(entry)
            missing.pop(entry.user.uid, None)
            finding = self._finding(entry)
            if finding:
                yield finding
        for uid in missing:
            yield Finding(Drift.MISSING, uid)

    def _is_ours(self, entry: DirectoryUser) -> bool:
        return entry.user.uid.startswith(self.prefixes)

    def _finding(self, entry: DirectoryUser) -> Finding | None:
        uid = entry.user.uid
        wanted = self.wanted.get(uid)
        if uid in self.shut_out:
            return None if entry.is_deactivated else Finding(Drift.LIVE, uid)
        if wanted is None:
            # Who is gone from both is nobody's concern.
            is_extra = not entry.is_deactivated and self._is_ours(entry)
            return Finding(Drift.EXTRA, uid) if is_extra else None
        if entry.is_deactivated:
            return Finding(Drift.DEACTIVATED, uid)
        have = _digests(entry.user.profile).values()
        fields = tuple(
            name
            for name, known, want in zip(FIELDS, have, wanted, strict=True)
            if name not in self.unsaid and _would_change(name, known, want)
        )
        return Finding(Drift.DIFFERENT, uid, fields) if fields else None
