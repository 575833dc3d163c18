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

    def put_each(self, events: Sequence[tuple[UserEvent, bytes]]) -> int:
        if self.is_down:
            raise StorageUnavailableError("disk_full")
        given = {(event.source, event.event_id): body_hash for event, body_hash in events}
        assert len(given) == len(events), "one delivery holds two events of one id"
        if any(self.hashes.get(name, body_hash) != body_hash for name, body_hash in given.items()):
            raise DeliveryConflictError("body_differs")
        new = [event for event, _ in events if (event.source, event.event_id) not in self.hashes]
        self.events += new
        self.hashes.update(given)
        return len(new)

    def forget(self) -> None:
        """Be empty again."""
        self.events.clear()
        self.hashes.clear()

    def as_port(self) -> Inbox:
        """Return itself as the port, of which webhooks use `put_each` alone."""
        return cast("Inbox", self)
