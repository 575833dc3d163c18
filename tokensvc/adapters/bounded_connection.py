"""PostgreSQL: a connection on which no wait is longer than was set, whatever the server does.

A statement's time-out is for the server to keep. One whose processes stand still keeps
none, and TCP is content as long as its kernel answers.
"""

import math
import time
from collections.abc import Generator
from typing import Any, Final

import psycopg

LATE_S: Final = 0.25
"""How much longer than a statement may take the server has to say so itself."""


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that gives up when its server says nothing for *patience_s* in one wait.

    It is of no use afterwards: it is still in the middle of something.
    """

    patience_s = math.inf

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (psycopg's)
        """Drive *gen* as psycopg does, to its end or to that of our patience."""
        return super().wait(self._bounded(gen), *args, **kwargs)

    def _bounded(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        deadline = time.monotonic() + self.patience_s
        try:
            wanted = next(gen)
            while True:
                # It is sent what the socket is ready for: now and again, nothing.
                ready = yield wanted
                if not ready and time.monotonic() > deadline:
                    raise psycopg.OperationalError("the server does not answer")
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value
