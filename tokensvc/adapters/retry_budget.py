"""The retry budget: second tries are a small part of all calls, however bad the day.

Retries help where one call in a hundred is lost. Where all are, they double the
load on a neighbour who is down already.
"""

import threading
from typing import Final

_CALL: Final = 1000
"""One try in the unit of the count; whole numbers, so that ten tenths are one."""


class RetryBudget:
    """A bucket of second tries: each call adds *ratio* of one, and *most* fit in.

    It begins full, so that a service with few logins may retry too. With a ratio
    of 0 there are none.
    """

    def __init__(self, ratio: float = 0.1, *, most: int = 10) -> None:
        self._deposit = round(ratio * _CALL)
        self._most = most * _CALL if self._deposit else 0
        self._saved = self._most
        self._lock = threading.Lock()

    def deposit(self) -> None:
        """Count one call."""
        with self._lock:
            self._saved = min(self._saved + self._deposit, self._most)

    def withdraw(self) -> bool:
        """Take one second try out, if there is one."""
        with self._lock:
            if self._saved < _CALL:
                return False
            self._saved -= _CALL
            return True
