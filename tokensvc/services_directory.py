"""Composition of CometChat's side: the client, and the policy that all of its calls are under."""

from typing import Final

from tokensvc.adapters.breaker import Breaker, BreakerRule
from tokensvc.adapters.bulkhead import Bulkhead
from tokensvc.adapters.cometchat import CometChatClient
from tokensvc.adapters.http_client import Bounds, HTTPClient
from tokensvc.adapters.redis_limits import redis_client
from tokensvc.adapters.request_budget import RequestBudget, Share
from tokensvc.adapters.rest_keys import RESTKeys
from tokensvc.adapters.retry_budget import RetryBudget
from tokensvc.adapters.shared_spending import RedisSpending
from tokensvc.adapters.upstream import Policy, Upstream
from tokensvc.domain.audit import Notify
from tokensvc.domain.clocks import Clocks
from tokensvc.domain.issuing import Provisioning
from tokensvc.domain.lifecycle import LifecyclePolicy
from tokensvc.rotation import SecretsInForce
from tokensvc.settings import Settings
from tokensvc.web.body_places import deliveries_at_once
from tokensvc.web.record import note_vendor_call
from tokensvc.web.tokens import MAX_BODIES_AT_ONCE

MOST_WAITING: Final = 8
"""Who waits in vain is refused the usual way, and while CometChat hangs all do."""


def chat_directory(
    settings: Settings,
    secrets: SecretsInForce,
    clock: Clocks,
    notify: Notify,
    share: Share = "login",
) -> CometChatClient:
    """Return the client of CometChat's REST API, under the policy that *settings* ask for.

    *share* says whose part of the plan its calls are.
    """
    cometchat = settings.cometchat
    bounds = Bounds(
        connect_s=cometchat.connect_timeout_s,
        read_s=cometchat.read_timeout_s,
        total_s=cometchat.try_timeout_s,
    )
    http = HTTPClient(
        cometchat.rest_url,
        pool_size=cometchat.max_in_flight,
        bounds=bounds,
        ca_file=cometchat.ca_file,
        now=clock.now,
    )
    policy = Policy(
        breaker=_breaker(settings, clock, notify),
        bulkhead=_bulkhead(settings),
        retry_budget=RetryBudget(settings.upstream.retry_ratio),
        request_budget=_request_budget(settings, secrets, clock, notify),
        errand_s=cometchat.total_timeout_s,
    )
    return CometChatClient(
        upstream=Upstream(http, policy, observe_try=note_vendor_call, clock=clock.monotonic),
        keys=RESTKeys(secrets.api_keys, notify=notify, clock=clock.monotonic),
        app_id=cometchat.app_id,
        share=share,
    )


def _breaker(settings: Settings, clock: Clocks, notify: Notify) -> Breaker:
    upstream = settings.upstream
    rule = BreakerRule(
        failure_ratio=upstream.breaker_failure_ratio,
        min_calls=upstream.breaker_min_calls,
        window_s=upstream.breaker_window_s,
        timeouts_in_a_row=upstream.breaker_timeouts,
        open_s=upstream.breaker_open_s,
        max_open_s=upstream.breaker_max_open_s,
    )
    return Breaker(rule, notify=notify, clock=clock.monotonic)


def _bulkhead(settings: Settings) -> Bulkhead:
    """Let a few wait for a place, on half of the threads that nothing else can hold at most."""
    cometchat = settings.cometchat
    max_waiting = cometchat.max_waiting
    if max_waiting is None:
        threads = settings.server.threads
        deliveries = deliveries_at_once(threads) if settings.webhooks else 0
        bodies = MAX_BODIES_AT_ONCE + deliveries
        spare = threads - cometchat.max_in_flight - bodies
        max_waiting = min(MOST_WAITING, max(0, spare // 2))
    return Bulkhead(cometchat.max_in_flight, max_waiting=max_waiting, wait_s=cometchat.max_wait_s)


def _request_budget(
    settings: Settings, secrets: SecretsInForce, clock: Clocks, notify: Notify
) -> RequestBudget:
    cometchat = settings.cometchat
    per_minute = cometchat.plan_limit_per_minute
    shared = None
    if not secrets.storage_url().startswith("memory:"):
        shared = RedisSpending(
            lambda: redis_client(secrets.storage_url),
            key_prefix=f"tokensvc:request-budget:{cometchat.app_id}",
            step=max(1, per_minute // 100),
            notify=notify,
            clock=clock.monotonic,
        )
    return RequestBudget(
        per_minute,
        notify=notify,
        login_reserve=cometchat.login_reserve,
        shared=shared,
        now=clock.now,
    )


def provisioning_of(settings: Settings) -> Provisioning:
    """Return what new users get."""
    provisioning = settings.provisioning
    return Provisioning(
        default_role=provisioning.default_role,
        default_tags=tuple(provisioning.default_tags),
        reactivate_on_login=provisioning.reactivate_on_login,
    )


def lifecycle_policy_of(settings: Settings) -> LifecyclePolicy:
    """Return what becomes of users who are deleted, and of those who come back."""
    return LifecyclePolicy(
        delete_after_s=settings.lifecycle.delete_after_s,
        allow_recreate=settings.lifecycle.allow_recreate,
    )
