"""Secret files: looked at again and again, and read anew when they have changed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from tokensvc.adapters.background import Periodic
from tokensvc.adapters.key_sets import KeySet, VerificationKey
from tokensvc.domain.audit import Notify, OperationalEvent
from tokensvc.domain.deliveries import Delivery, Heading, Opened, Sender

LOOK_EVERY_S: Final = 3.0
"""A change is in force well within ten seconds."""
Mark = tuple[int, int, int]
"""Tells one state of a file from the next: time of change, inode and size of the link's target."""


class SecretRefusedError(ValueError):
    """What a file holds cannot be used; the text says why, and quotes nothing of it."""


@dataclass(slots=True)
class CurrentKeys:
    """The keys in force: what `find` answers changes when they are replaced.

    Both the current and the previous one verify, so that an issuer can change
    its key without a moment in which good tokens are refused.
    """

    current: KeySet = field(repr=False)
    previous: KeySet | None = field(repr=False, default=None)

    def find(self, algorithm: str, kid: str | None) -> VerificationKey | None:
        key = self.current.find(algorithm, kid)
        earlier = self.previous.find(algorithm, kid) if self.previous else None
        return replace(key, previous=earlier) if key and earlier else key or earlier


@dataclass(slots=True)
class CurrentSender:
    """The sender of webhooks in force: it changes when its secrets or keys are replaced."""

    current: Sender = field(repr=False)

    def admit(self, heading: Heading) -> bool:
        return self.current.admit(heading)

    def open(self, delivery: Delivery) -> Opened:
        return self.current.open(delivery)


@dataclass(slots=True)
class WatchedFile:
    """A file with a secret, and what to do when it has changed.

    *reread* puts the new content into force and returns whether it is another
    than before; it raises `SecretRefusedError` and leaves everything as it is
    if the content cannot be used.
    """

    setting: str
    path: Path
    reread: Callable[[], bool]
    seen: Mark | None = None
    """The state that was read last. Nothing yet: between the start and the first look it may
    have changed, so that the first look reads it in any case."""
    was_looked_at: bool = False
    is_refused: bool = False


class SecretWatcher:
    """Puts changed files into force, one by one: a bad one leaves the others alone.

    A file that cannot be used is told once for each of its states, and the value
    from before stays in force.
    """

    def __init__(self, files: Iterable[WatchedFile], *, notify: Notify) -> None:
        self.files = tuple(files)
        self._notify = notify

    def background(self) -> tuple[Periodic, ...]:
        """Return what there is to do beside the work: nothing, where no secret is a file."""
        return (Periodic("secret files", self.look, notify=self._notify),) if self.files else ()

    def look(self) -> float:
        """Read what has changed, and return the seconds until the next look."""
        for file in self.files:
            mark = _mark(file.path)
            if file.was_looked_at and mark == file.seen:
                continue
            # Before it is read: a change during the reading is seen at the next look.
            file.seen, file.was_looked_at = mark, True
            self._reread(file)
        return LOOK_EVERY_S

    def _reread(self, file: WatchedFile) -> None:
        try:
            has_changed = file.reread()
        except SecretRefusedError as error:
            file.is_refused = True
            facts = {"setting": file.setting, "reason": str(error)}
            self._notify(OperationalEvent("secret_refused", facts, is_alarm=True))
            return
        if has_changed or file.is_refused:
            file.is_refused = False
            self._notify(OperationalEvent("secret_reloaded", {"setting": file.setting}))


def _mark(path: Path) -> Mark | None:
    """Return the state of the file that *path* leads to, through all links; None for no file."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
