"""The deadline: a moment after which no byte of an answer is waited for any more.

A read time-out begins anew with each byte that drips in, in the head of an answer
as well as in its body. Here every single read of a response asks how much time is
left, below everything that parses: status line, interim answers, headers, chunk
sizes, body and trailers. Names, connections and handshakes ask too.
"""

import time
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import Self

from tokensvc.adapters.connecting import RESOLVER, Resolver


@dataclass(slots=True)
class Exchange:
    """One request and its answer: when it must be over, and whether the request has left us."""

    ends_at: float
    """On the monotonic clock."""
    resolver: Resolver = RESOLVER
    is_sent: bool = False
    """After that nobody knows, without an answer, what has come of it."""
    _before: "Token[Exchange] | None" = field(repr=False, default=None)

    def __enter__(self) -> Self:
        """Be the current exchange in the block."""
        self._before = _exchange.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        """Let the one before be it again."""
        if self._before is not None:
            _exchange.reset(self._before)

    def left_s(self, most_s: float) -> float:
        """Return the seconds that are left, or *most_s* if that is less; none: TimeoutError."""
        left_s = self.ends_at - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        return min(left_s, most_s)


_exchange: ContextVar[Exchange] = ContextVar("exchange")


def exchange_within(seconds: float, resolver: Resolver = RESOLVER) -> Exchange:
    """Give the exchange in the block *seconds* in all; a read past them raises TimeoutError."""
    return Exchange(time.monotonic() + seconds, resolver)


def current_exchange() -> Exchange:
    """Return the exchange of the block that this is called in."""
    return _exchange.get()
