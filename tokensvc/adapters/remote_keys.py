"""Remote keys: an issuer's published keys, fetched beside the requests and read without waiting."""

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Final

from tokensvc.adapters import key_schedule as schedule
from tokensvc.adapters.background import Periodic
from tokensvc.adapters.key_copies import KeyCopy, KeyStoreError
from tokensvc.adapters.key_refresh import KeyChange
from tokensvc.adapters.key_sets import (
    KeyPolicyError,
    NamedKeys,
    VerificationKey,
    keys_from_jwks,
)
from tokensvc.adapters.key_source import MIN_AGE_S, KeyFetchError, KeySource
from tokensvc.adapters.key_store import KeyStore, Version
from tokensvc.domain.audit import Notify, OperationalEvent
from tokensvc.domain.clocks import Clocks
from tokensvc.domain.errors import KeysUnavailableError

NEVER: Final = float("-inf")
OTHERS_TURN_S: Final = 0.2
"""How soon to look for what another process on this machine is fetching."""
_DRAWS: Final = random.SystemRandom()
"""The jitter of refreshes and retries: processes shall not ask an issuer all at once."""


@dataclass(frozen=True, slots=True)
class _Knowledge:
    """What is known since the last attempt. Never changed, only replaced as a whole.

    Times are monotonic, so that a clock that is set does not age any key.
    """

    keys: NamedKeys | None = field(default=None, repr=False)
    fetched_at: float = NEVER
    usable_until: float = NEVER
    due_at: float = NEVER
    failures: int = 0
    is_unconfirmed: bool = False
    """Whether the keys are a copy past its age that nobody has tried to renew yet."""


class RemoteKeys:
    """The `KeySet` of a `KeySource`; a thread of its own keeps it current.

    A set is replaced by the next one, never merged with it. While the source
    fails the last good set stays in use, up to *max_stale_s* after it was asked
    for. Each good set is kept in *store*, where the other processes find it.
    """

    def __init__(
        self,
        source: KeySource,
        store: KeyStore,
        *,
        max_stale_s: float,
        notify: Notify,
        clock: Clocks,
    ) -> None:
        self.source = source
        self._store = store
        self._max_stale_s = max_stale_s
        self._notify = notify
        self._clock = clock
        self._known = _Knowledge()
        self._found_wanting: _Knowledge | None = None
        self._seen: Version | None = None
        self._store_fault = ""
        self._is_too_old = False
        self._background = Periodic("keys", self.turn, notify=notify, retry_s=schedule.LAST_RETRY_S)
        self._take_copy()

    def start(self) -> None:
        """Begin to keep the keys current."""
        self._background.start()

    def stop(self) -> None:
        """Keep the keys current no more."""
        self._background.stop()

    @property
    def is_settled(self) -> bool:
        """Whether there are keys, or it has been seen that there are none to be had now."""
        known = self._known
        return (known.keys is not None and not known.is_unconfirmed) or known.failures > 0

    def find(self, algorithm: str, kid: str | None) -> VerificationKey | None:
        known = self._known
        if known.keys is None:
            raise KeysUnavailableError("keys_never_fetched")
        if known.is_unconfirmed:
            raise KeysUnavailableError("keys_being_fetched")
        now = self._clock.monotonic()
        if now > known.usable_until:
            raise KeysUnavailableError("keys_too_old")
        key = known.keys.find(algorithm, kid)
        if key is None and not known.keys.has(kid):
            self._demand_recent(known, now)
        return key

    def _demand_recent(self, known: _Knowledge, now: float) -> None:
        """Return if *known* tells that a key does not exist; else have it looked for, and raise."""
        if known.failures:
            raise KeysUnavailableError("key_unknown_and_fetch_failed")
        if now - known.fetched_at >= schedule.UNKNOWN_KID_PAUSE_S:
            # No lock: whoever writes an older knowledge here asks for nothing.
            self._found_wanting = known
            self._background.wake()
            raise KeysUnavailableError("key_unknown_and_being_fetched")

    def turn(self) -> float:
        """Do what is due, and return for how many seconds nothing more is."""
        self._take_copy()
        is_ours = not self._is_due() or self._fetch_in_turn()
        self._tell_age()
        if not is_ours:
            return OTHERS_TURN_S
        return max(0.0, min(schedule.WATCH_S, self._known.due_at - self._clock.monotonic()))

    def _fetch_in_turn(self) -> bool:
        """Fetch unless another process is at it, or has just done it; return whether it was us.

        Without any keys nobody waits for somebody else: no login could go on meanwhile.
        """
        if self._known.keys is None:
            self._fetch()
            return True
        with self._store.turn(self.source.issuer, self.source.url) as is_ours:
            if is_ours:
                self._take_copy()
                if self._is_due():
                    self._fetch()
            return is_ours

    def _is_due(self) -> bool:
        known = self._known
        return self._found_wanting is known or self._clock.monotonic() >= known.due_at

    def _fetch(self) -> None:
        asked_at, started = self._clock.now(), self._clock.monotonic()
        try:
            fetched = self.source.fetch()
        except KeyFetchError as error:
            self._note_failure(error)
            return
        copy = KeyCopy(
            self.source.issuer, self.source.url, asked_at, fetched.max_age_s, fetched.jwks
        )
        if self._known.failures:
            self._tell("keys_fetch_recovered", {"failures": self._known.failures})
        self._adopt(fetched.keys, copy, fetched_at=started)
        try:
            self._store.save(copy)
        except KeyStoreError as error:
            self._note_store_fault(error.reason)

    def _note_failure(self, error: KeyFetchError) -> None:
        failures = self._known.failures + 1
        delay_s = schedule.retry_after_s(failures, draw=_DRAWS.random())
        self._known = replace(
            self._known,
            failures=failures,
            due_at=self._clock.monotonic() + delay_s,
            is_unconfirmed=False,
        )
        facts = {"reason": error.reason} | ({"detail": error.detail} if error.detail else {})
        is_alarm = bool(error.detail) or self._known.keys is None
        self._tell("keys_fetch_failed", facts, is_alarm=is_alarm)

    def _adopt(
        self, keys: NamedKeys, copy: KeyCopy, *, fetched_at: float, is_unconfirmed: bool = False
    ) -> None:
        before = self._known.keys
        delay_s = schedule.refresh_after_s(copy.max_age_s, draw=_DRAWS.random())
        self._known = _Knowledge(
            keys=keys,
            fetched_at=fetched_at,
            usable_until=fetched_at + self._max_stale_s,
            due_at=fetched_at + delay_s,
            is_unconfirmed=is_unconfirmed,
        )
        if change := KeyChange.between(before, keys):
            counts = {name: len(names) for name, names in asdict(change).items()}
            self._tell("keys_changed", counts)

    def _take_copy(self) -> None:
        """Use what is in the store, if another process has asked later than this one."""
        source = self.source
        try:
            seen = self._store.version(source.issuer, source.url)
            self._note_store_fault("")
            if seen == self._seen:
                return
            self._seen = seen
            copy = self._store.load(source.issuer, source.url)
            if copy:
                self._take(copy)
        except KeyStoreError as error:
            self._note_store_fault(error.reason)
        except KeyPolicyError:
            self._note_store_fault("copy_refused")

    def _take(self, copy: KeyCopy) -> None:
        # By its age, and not by its time: clocks are set.
        age_s = max(0.0, self._clock.now() - copy.fetched_at)
        fetched_at = self._clock.monotonic() - age_s
        if fetched_at > self._known.fetched_at:
            max_age_s = min(max(copy.max_age_s, MIN_AGE_S), self.source.reach.max_age_s)
            keys = keys_from_jwks(copy.jwks, self.source.algorithms)
            # At a start only: a key may have been removed long ago, and a fetch is under way.
            is_unconfirmed = not self.is_settled and age_s > max_age_s
            bounded = replace(copy, max_age_s=max_age_s)
            self._adopt(keys, bounded, fetched_at=fetched_at, is_unconfirmed=is_unconfirmed)

    def _note_store_fault(self, reason: str) -> None:
        """Tell of a fault of the store when it begins, not every two seconds."""
        if reason and reason != self._store_fault:
            self._tell("keys_store_unusable", {"reason": reason}, is_alarm=True)
        self._store_fault = reason

    def _tell_age(self) -> None:
        known = self._known
        is_too_old = known.keys is not None and self._clock.monotonic() > known.usable_until
        if is_too_old and not self._is_too_old:
            self._tell("keys_too_old", {}, is_alarm=True)
        self._is_too_old = is_too_old

    def _tell(self, name: str, facts: Mapping[str, str | int], *, is_alarm: bool = False) -> None:
        self._notify(OperationalEvent(name, {"issuer": self.source.issuer, **facts}, is_alarm))
