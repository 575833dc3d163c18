"""Whether Redis can be counted on: lost at its first fault, asked again beside the requests."""

import re
import threading
import time
from collections.abc import Callable
from typing import Final

from redis import exceptions as faults

from tokensvc.adapters.background import Periodic
from tokensvc.domain.audit import Notify, OperationalEvent

FIRST_DELAY_S: Final = 0.25
LONGEST_DELAY_S: Final = 4.0
"""Between two questions: with a time-out on top, Redis is found again within ten seconds."""
CALM_S: Final = 30.0
"""A loss that follows a return sooner than this is asked about no sooner than the one before."""
IDLE_S: Final = 3600.0
KEY_FAULTS_TOLD_EVERY_S: Final = 60.0
WRONG_TYPE: Final = "wrong_type"

_CODES: Final = {
    "OOM": "out_of_memory",
    "READONLY": "read_only",
    "WRONGTYPE": WRONG_TYPE,
    "NOAUTH": "password_refused",
    "WRONGPASS": "password_refused",
    "NOPERM": "not_permitted",
    "MISCONF": "cannot_persist",
    "MASTERDOWN": "master_down",
    "LOADING": "loading",
    "BUSY": "busy",
}
_CODE: Final = re.compile(rf"\b({'|'.join(_CODES)})\b")
"""Redis begins its errors with a code, and those of a script hold it further in."""
_KINDS: Final = (
    (faults.TimeoutError, "timeout"),
    (TimeoutError, "timeout"),
    (faults.AuthenticationError, "password_refused"),
    (faults.AuthorizationError, "not_permitted"),
    (faults.BusyLoadingError, "loading"),
    (faults.ConnectionError, "connection"),
    (OSError, "connection"),
)


def reason_of(error: Exception) -> str:
    """Return one word of ours for what went wrong; the server's own text may hold anything."""
    code = _CODE.search(str(error))
    if code:
        return _CODES[code[1]]
    return next((word for kind, word in _KINDS if isinstance(error, kind)), "refused")


class RedisHealth:
    """Remembers whether Redis was lost, and finds out by itself when it is back.

    *ask* does with Redis what a login needs, and raises if that cannot be done.
    Its thread is started by the first loss.
    """

    def __init__(
        self,
        ask: Callable[[], object],
        *,
        notify: Notify,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.epoch = 0
        """Grows with each loss and each return: tells a late failure from a fresh one."""
        self._ask = ask
        self._notify = notify
        self._now = now
        self._lock = threading.Lock()
        self._is_up = True
        self._changed_at = float("-inf")
        self._delay_s = FIRST_DELAY_S
        self._due_at = 0.0
        self._logins = 0
        self._key_fault_told_at = float("-inf")
        self._asking = Periodic("limit storage", self.ask_again, notify=notify)
        self._is_asking = False

    @property
    def is_up(self) -> bool:
        """Whether Redis is asked at all: while it is lost, nobody waits for it."""
        return self._is_up

    def fail(self, error: Exception, epoch: int) -> None:
        """Take note of *error*, met by a caller who began in *epoch*."""
        reason = reason_of(error)
        if reason == WRONG_TYPE:
            self._tell_of_key(reason)
        elif self._lose(epoch):
            self._notify(OperationalEvent("limit_storage_lost", {"reason": reason}, is_alarm=True))

    def count_login(self) -> None:
        """Count a login whose limit was kept by this process alone."""
        with self._lock:
            self._logins += 1
        if not self._is_asking:
            # When Redis was lost, no thread could be had.
            self._is_asking = self._asking.start_or_wake()

    def stop(self) -> None:
        """End the thread, if there is one."""
        self._asking.stop()

    def ask_again(self) -> float:
        """Ask if it is time to, and return the seconds until the next turn."""
        wait_s = self._due_at - self._now()
        if self._is_up:
            return IDLE_S
        if wait_s > 0:
            return wait_s
        try:
            self._ask()
        except Exception as error:  # noqa: BLE001 (whatever it was, Redis is not back)
            # But where our own key is misused, all others may be well.
            if reason_of(error) != WRONG_TYPE:
                self._delay_s = min(self._delay_s * 2, LONGEST_DELAY_S)
                return self._delay_s
        self._return()
        return IDLE_S

    def _lose(self, epoch: int) -> bool:
        with self._lock:
            if epoch != self.epoch:
                return False
            now = self._now()
            is_again = now - self._changed_at < CALM_S
            self._delay_s = min(self._delay_s * 2, LONGEST_DELAY_S) if is_again else FIRST_DELAY_S
            self._due_at = now + self._delay_s
            self._is_up, self._changed_at, self._logins = False, now, 0
            self.epoch += 1
        self._is_asking = self._asking.start_or_wake()
        return True

    def _return(self) -> None:
        with self._lock:
            now = self._now()
            facts = {"seconds": round(now - self._changed_at, 3), "logins": self._logins}
            self._is_up, self._changed_at = True, now
            self.epoch += 1
        self._notify(OperationalEvent("limit_storage_back", facts))

    def _tell_of_key(self, reason: str) -> None:
        """Tell, now and then, of a key that another program wrote to; the others are well."""
        with self._lock:
            if self._now() - self._key_fault_told_at < KEY_FAULTS_TOLD_EVERY_S:
                return
            self._key_fault_told_at = self._now()
        self._notify(OperationalEvent("limit_key_unusable", {"reason": reason}, is_alarm=True))
