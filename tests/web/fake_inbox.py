"""An inbox in memory: what is put stays, once, and another body of the same id is a conflict."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from tokensvc.domain.accounts import UserEvent
from tokensvc.domain.errors import DeliveryConflictError, StorageUnavailableError
from tokensvc.domain.ports import Inbox


@dataclass
class FakeInbox:
    """Keeps events by source and id; while it *is_down* it takes nothing."""

    is_down: bool = False
    events: list[UserEvent] = field(default_factory=list)
    hashes: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def put(self, events: Sequence[UserEvent], *, body_hash: bytes) -> bool:
        if self.is_down:
            raise StorageUnavailableError("disk_full")
        names = [(event.source, event.event_id) for event in events]
        known = [self.hashes[name] for name in names if name in self.hashes]
        if any(stored != body_hash for stored in known):
            raise DeliveryConflictError("body_differs")
        if known:
            return False
        assert len(set(names)) == len(names), "one delivery holds two events of one id"
        self.events += events
        self.hashes.update(dict.fromkeys(names, body_hash))
        return True

    def forget(self) -> None:
        """Be empty again."""
        self.events.clear()
        self.hashes.clear()

    def as_port(self) -> Inbox:
        """Return itself as the port, of which webhooks use `put` alone."""
        return cast("Inbox", self)
