"""Login facts: what logins tell of their users, put into the inbox beside the logins.

A login hands over and goes on; it waits for no lock that anybody holds over a
database. A cache decides for most that there is nothing to tell.
"""

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Final

from tokensvc.domain.accounts import (
    LOGIN,
    Account,
    AccountState,
    EventKind,
    UserEvent,
    profile_hash,
)
from tokensvc.domain.audit import Notify, OperationalEvent
from tokensvc.domain.clocks import Clocks
from tokensvc.domain.errors import StorageUnavailableError
from tokensvc.domain.issuing import Provisioning
from tokensvc.domain.lifecycle import with_claims
from tokensvc.domain.model import ChatUser, Login, Profile, Session, Uid
from tokensvc.domain.ports import Accounts, Inbox

MAX_WAITING: Final = 1_000
MAX_AT_ONCE: Final = 100
"""Accounts that are read together: one by one they would cost half as much as their logins do."""
MAX_KNOWN: Final = 200_000
"""Users with the hash of their claims, at some 180 bytes each."""
KNOWN_FOR_S: Final = 900.0
"""At most: another process may have learnt something else about a user meanwhile."""
_HASH_CHARS: Final = 16
"""Whoever makes two profiles that agree in these has kept back news of themselves for as long."""
PAUSE_S: Final = 5.0
IDLE_S: Final = 3_600.0


_Hashed = tuple[Login, str]
"""A login, and the hash of its claims."""
_Generation = tuple[dict[Uid, str], float]
"""Users with their hashes, and until when they are known."""


class KnownProfiles:
    """Which claims of a user need no telling: the newest users, and not for ever.

    They are kept in two generations, and the older one is forgotten as a whole: so nobody
    waits for a lock here, and a login changes nothing. One thread adds.
    """

    def __init__(self, max_known: int, clock: Callable[[], float]) -> None:
        self._room = max(1, max_known // 2)
        self._clock = clock
        self._generations: tuple[_Generation, _Generation] = (({}, 0.0), ({}, 0.0))

    def has(self, uid: Uid, hashed: str) -> bool:
        """Return whether these claims were looked at not long ago."""
        for known, until in self._generations:
            if uid in known:
                return known[uid] == hashed[:_HASH_CHARS] and self._clock() < until
        return False

    def add(self, uid: Uid, hashed: str) -> None:
        """Keep in mind that these claims need no telling for a while."""
        newer, older = self._generations
        now = self._clock()
        if len(newer[0]) >= self._room or now >= newer[1] - KNOWN_FOR_S / 2:
            newer, older = ({}, now + KNOWN_FOR_S), newer
            self._generations = newer, older
        newer[0][uid] = hashed[:_HASH_CHARS]


class LoginFacts:
    """Takes logins from any thread, and tells the inbox of them from one.

    *wake* is called when there is something to `tell`, and must not wait.
    """

    def __init__(  # noqa: PLR0913 (what it reads, writes, calls and counts)
        self,
        inbox: Inbox,
        accounts: Accounts,
        *,
        provisioning: Provisioning,
        watches_drift: bool,
        clocks: Clocks,
        notify: Notify,
        max_waiting: int = MAX_WAITING,
        max_known: int = MAX_KNOWN,
    ) -> None:
        self._inbox = inbox
        self._accounts = accounts
        self._provisioning = provisioning
        self._watches_drift = watches_drift
        self._clocks = clocks
        self._notify = notify
        self._waiting: deque[_Hashed] = deque()
        self._max_waiting = max_waiting
        self._known = KnownProfiles(max_known, clocks.monotonic)
        self._dropped = 0
        self._lock = threading.Lock()
        self.wake: Callable[[], object] = lambda: None

    def observe(self, login: Login) -> None:
        """Take in a login, unless it tells nothing or too many are waiting."""
        user = login.session.user
        hashed = profile_hash(user.profile)
        has_happened = login.has_created or login.has_reactivated
        if not has_happened and self._known.has(user.uid, hashed):
            return
        with self._lock:
            if len(self._waiting) >= self._max_waiting:
                self._dropped += 1
                return
            self._waiting.append((login, hashed))
        self.wake()

    def tell(self) -> float:
        """Put what is new into the inbox; return the seconds until this is to be called again.

        While the storage is away the logins wait, and what is too much is dropped:
        the next login of the same user tells it again.
        """
        while logins := self._next():
            try:
                self._tell_each(logins)
            except StorageUnavailableError:
                return PAUSE_S
            finally:
                with self._lock:
                    self._waiting.extendleft(reversed(logins.values()))
                self._count_dropped()
        return IDLE_S

    def _tell_each(self, logins: dict[Uid, _Hashed]) -> None:
        """Tell of *logins*, and take each out of them that was told, or never can be."""
        find = self._look_up(logins)
        for uid, (login, hashed) in list(logins.items()):
            try:
                self._tell(login, find(uid))
                self._known.add(uid, hashed)
            except StorageUnavailableError:
                raise
            except Exception:
                del logins[uid]
                raise
            del logins[uid]

    def _look_up(self, uids: Collection[Uid]) -> Callable[[Uid], Account | None]:
        try:
            return self._accounts.find_each(uids).get
        except StorageUnavailableError:
            raise
        except Exception:  # noqa: BLE001 (one account that cannot be read costs its login alone)
            return self._accounts.find

    def _next(self) -> dict[Uid, _Hashed]:
        """Return the logins that have waited longest, of each user one: the next is for later.

        Between two of the same user a worker may change the account.
        """
        logins: dict[Uid, _Hashed] = {}
        with self._lock:
            while self._waiting and len(logins) < MAX_AT_ONCE:
                login, _ = self._waiting[0]
                uid = login.session.user.uid
                if uid in logins:
                    break
                logins[uid] = self._waiting.popleft()
        return logins

    def _count_dropped(self) -> None:
        with self._lock:
            dropped, self._dropped = self._dropped, 0
        if dropped:
            self._notify(OperationalEvent("login_facts_dropped", {"count": dropped}))

    def _tell(self, login: Login, account: Account | None) -> None:
        session = login.session
        if login.has_reactivated:
            self._put(self._fact(EventKind.REACTIVATED, session, account))
        if login.has_created or self._has_drifted(session, account):
            fact = self._fact(EventKind.UPDATED, session, account)
            self._put(replace(fact, profile=session.user.profile))
        elif account is not None and account.state is not AccountState.ACTIVE:
            # Whoever is not to be there, and yet was given a token, is for the worker to end.
            self._put(self._fact(EventKind.UPDATED, session, account))

    def _has_drifted(self, session: Session, account: Account | None) -> bool:
        """Return whether this login says something that CometChat does not have."""
        if not self._watches_drift:
            return False
        if account is None:
            return session.user.profile != Profile()
        after = with_claims(account, session.user.profile, session.version)
        user = self._provisioning.complete(ChatUser(session.user.uid, after.profile))
        return after != account and profile_hash(user.profile) != account.sent_profile_hash

    def _fact(self, kind: EventKind, session: Session, account: Account | None) -> UserEvent:
        """Return a fact that is the same for the same claims until the account has changed.

        So that the inbox does not fill up with repetitions while no worker runs.
        """
        user, revision = session.user, account.revision if account else 0
        event_id = f"{user.uid}:{kind.value}:{revision}:{profile_hash(user.profile)[:32]}"
        return UserEvent(kind, user.uid, session.version, LOGIN, event_id)

    def _put(self, event: UserEvent) -> None:
        body_hash = hashlib.sha256(event.event_id.encode()).digest()
        self._inbox.put([event], body_hash=body_hash)
