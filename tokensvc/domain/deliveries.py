"""Deliveries: what a webhook brings, and the facts in it once its sender is proven."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tokensvc.domain.accounts import EventKind, Version
from tokensvc.domain.profiles import Claims


@dataclass(frozen=True, slots=True)
class Heading:
    """What is there of a delivery before its body: headers, as hostile as all the rest."""

    unverified_headers: Mapping[str, str] = field(repr=False)
    """By their names in lower case."""
    received_at: float
    """UNIX seconds."""


@dataclass(frozen=True, slots=True)
class Delivery(Heading):
    """One HTTP attempt of a webhook. Everything in it is hostile until it is verified."""

    unverified_body: bytes = field(repr=False)

    @property
    def received_ms(self) -> Version:
        """When it arrived, as a version."""
        return int(self.received_at * 1000)


@dataclass(frozen=True, slots=True)
class Fact:
    """What a sender says of one user, in the sender's words for the user."""

    kind: EventKind
    claims: Claims = field(repr=False)
    """The user as the sender describes them: their id and profile stand in here."""
    version: Version
    event_id: str
    content_hash: bytes = field(repr=False)
    """Tells two events of one id apart."""
    tells_profile: bool = False
    """Whether the claims are a whole profile, so that what they leave out is absent."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A verified delivery: its facts, and how many of its events are none.

    `ignored` are events of kinds that say nothing of a user's life; `not_understood`
    are fixed words for those that should and make no sense.
    """

    facts: tuple[Fact, ...]
    ignored: int = 0
    not_understood: tuple[str, ...] = ()


class Sender(Protocol):
    """Knows one kind of webhook sender: its signature and its vocabulary."""

    def admit(self, heading: Heading) -> bool:
        """Return whether *heading* alone proves the sender, though not yet what it says.

        Raises `DeliveryRefusedError` if no body can make a delivery of it good: to
        wait for a body costs a thread, and whoever cannot even write the sender's
        headers shall not make us wait.
        """

    def open(self, delivery: Delivery) -> Opened:
        """Return what *delivery* says, now that it is proven to be the sender's.

        Raises `DeliveryRefusedError` if it is not, or is too old. Whatever a proven
        delivery holds, nothing else is raised for it.
        """


def hash_of(content: bytes) -> bytes:
    """Return what tells *content* from any other."""
    return hashlib.sha256(content).digest()
