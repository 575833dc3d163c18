"""What decides who is let in when there are too many."""

from collections.abc import Callable
from functools import partial
from wsgiref.types import WSGIApplication

from tokensvc.adapters.background import Periodic
from tokensvc.adapters.concurrency_limit import COMPUTING, ConcurrencyLimit
from tokensvc.adapters.metrics import Metrics
from tokensvc.adapters.upstream import Policy
from tokensvc.domain.audit import Notify
from tokensvc.domain.clocks import Clocks
from tokensvc.web.shedding import Crowd, Shedding


def concurrency_limit(policy: Policy, clock: Clocks, notify: Notify) -> ConcurrencyLimit:
    """Return the limit; its thread begins with the first crowd."""
    most = policy.bulkhead.most_inside + COMPUTING
    limit = ConcurrencyLimit(most, clock=clock.monotonic)
    limit.wake = Periodic("concurrency-limit", limit.beat, notify=notify).start_or_wake
    return limit


def shedding(
    policy: Policy,
    limit: ConcurrencyLimit,
    metrics: Metrics | None,
    clock: Clocks,
    notify: Notify,
) -> Callable[[WSGIApplication], Shedding]:
    """Return what is put in front of the app."""
    return partial(
        Shedding,
        crowd=Crowd(limit.has_room, policy.is_hopeless, limit.note_refusal),
        add=metrics.add if metrics else None,
        notify=notify,
        clock=clock.monotonic,
    )
