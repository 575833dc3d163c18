"""Situations: a directory, accounts and what applies facts to both."""

from dataclasses import dataclass, field, replace
from typing import Any

from tests.builders import a_uid
from tests.fakes import FakeUserDirectory
from tests.fakes_sync import Clock, FakeAccounts
from tokensvc.domain.accounts import Account, EventKind, UserEvent
from tokensvc.domain.issuing import Provisioning
from tokensvc.domain.lifecycle import LifecyclePolicy
from tokensvc.domain.model import Profile
from tokensvc.domain.ports import UserDirectory
from tokensvc.domain.syncing import UserSync
from tokensvc.domain.telling import Telling

SHOWN = {EventKind.CREATED, EventKind.UPDATED}


def a_fact(kind: str, version: int = 1, uid: str = "alice", **changes: Any) -> UserEvent:
    """Return a fact; a creation and an update say what the user looks like."""
    chosen = EventKind(kind)
    profile = Profile(name=f"{uid.title()} {version}") if chosen in SHOWN else None
    event = UserEvent(chosen, a_uid(uid), version, "app", f"{kind}-{uid}-{version}", profile)
    return replace(event, **changes)


@dataclass
class Situation:
    """Alice, perhaps, at CometChat and in the accounts."""

    directory: FakeUserDirectory = field(default_factory=FakeUserDirectory)
    clock: Clock = field(default_factory=Clock)
    policy: LifecyclePolicy = field(default_factory=LifecyclePolicy)
    provisioning: Provisioning = field(default_factory=Provisioning)
    accounts: FakeAccounts = field(init=False)

    def __post_init__(self) -> None:
        self.accounts = FakeAccounts(self.clock)

    def sync(self, directory: UserDirectory | None = None) -> UserSync:
        """Return what applies facts, on *directory* or this one."""
        telling = Telling(directory or self.directory, self.provisioning)
        return UserSync(self.accounts, telling, self.policy, self.clock)

    def after(self, *kinds: str, **changes: Any) -> list[str]:
        """Let facts come true one after the other, and return what the last one cost in calls."""
        for kind in kinds:
            self.clock.pass_by(1)
            self.directory.calls.clear()
            version = changes.get("version", int(self.clock() * 1000))
            self.sync().apply(a_fact(kind, **{**changes, "version": version}))
        return self.directory.calls

    def account(self, uid: str = "alice") -> Account:
        """Return what is written down."""
        return self.accounts.accounts[a_uid(uid)]

    def name_at_cometchat(self, uid: str = "alice") -> str | None:
        """Return the name of a user who is live there, or None."""
        user = self.directory.find_user(a_uid(uid))
        return user.profile.name if user else None
