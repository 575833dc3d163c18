"""Composition root: what is plugged into what."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Final, TextIO
from wsgiref.types import WSGIApplication

from limits import parse_many
from limits.strategies import MovingWindowRateLimiter

from tokensvc.adapters.accounts import SQLAccounts
from tokensvc.adapters.audit_log import AuditLog
from tokensvc.adapters.background import Periodic
from tokensvc.adapters.cometchat import CometChatClient
from tokensvc.adapters.errand import errand_within
from tokensvc.adapters.key_sets import KeySet
from tokensvc.adapters.limit_storage import WindowStorage, storage_url
from tokensvc.adapters.line_queue import stdout_lines
from tokensvc.adapters.metrics import MEDIA_TYPE, Metrics
from tokensvc.adapters.redis_limits import shared_options
from tokensvc.adapters.remote_keys import RemoteKeys
from tokensvc.adapters.secrets import SecretWatcher
from tokensvc.adapters.session_jwt import Issuer, JWTSessionVerifier
from tokensvc.domain.audit import Announcer, Fingerprinter, Notify, Observer
from tokensvc.domain.clocks import Clocks
from tokensvc.domain.issuing import TokenIssuer
from tokensvc.domain.login_facts import LoginFacts
from tokensvc.domain.model import LoginObserver
from tokensvc.domain.ports import Inbox
from tokensvc.domain.profiles import ClaimPath, ProfileClaims, parse_claim_path
from tokensvc.domain.uids import uid_rule
from tokensvc.rotation import SecretsInForce
from tokensvc.rotation_webhooks import WebhookSecretsInForce
from tokensvc.services_directory import chat_directory, provisioning_of
from tokensvc.services_keys import remote_keys
from tokensvc.services_shedding import concurrency_limit, shedding
from tokensvc.services_storage import Storage, storage_of
from tokensvc.services_webhooks import webhook_room
from tokensvc.settings import Settings
from tokensvc.settings_loading import ConfigurationError
from tokensvc.settings_sections import SessionSettings
from tokensvc.web.failed_attempts import FailedAttempts
from tokensvc.web.guard import RouteLimiter, caller
from tokensvc.web.operations import Exposition
from tokensvc.web.record import Recording
from tokensvc.web.tokens import ChatApp, TokenRoom
from tokensvc.web.webhooks import WebhookRoom

LOGINS_GATHER_S: Final = 0.05
"""How long what logins tell may wait for more of it, to be looked at together."""
LIMIT_KEY_PREFIX: Final = "tokensvc:moving-window"
"""Names the strategy: Redis keys of another one have another type, and would clash."""


@dataclass(frozen=True, slots=True)
class Services:
    """What the doors open on."""

    tokens: TokenRoom
    webhooks: WebhookRoom
    limiter: RouteLimiter
    recording: Recording
    metrics: Exposition | None
    watcher: SecretWatcher
    notify: Notify
    """Is told of what happens beside the requests."""
    key_sets: tuple[RemoteKeys, ...] = ()
    """Those that are fetched, once a door has started them."""
    shed: Callable[..., WSGIApplication] = lambda inner, **_: inner
    """Puts in front of the app what refuses logins for which there is no room."""
    background: Sequence[Periodic] = ()
    """What else goes on beside the requests; a door starts it."""

    def is_ready(self) -> bool:
        """Return whether the keys of all issuers have been asked for."""
        return all(keys.is_settled for keys in self.key_sets)


def assemble(
    settings: Settings,
    *,
    now: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
    log_stream: TextIO | None = None,
    inbox: Inbox | None = None,
) -> Services:
    """Return the services that *settings* ask for, writing their log to stdout.

    *inbox* takes the place of the one that the settings ask for.
    """
    clock = Clocks(now, monotonic)
    notify, audit_log, metrics = _log(settings, log_stream)
    secrets = SecretsInForce(settings, mask=audit_log.mask)
    webhook_secrets = WebhookSecretsInForce(settings, mask=audit_log.mask)
    watcher = SecretWatcher((*secrets.files(), *webhook_secrets.files()), notify=notify)
    remote = remote_keys(settings, notify=notify, clock=clock)
    storage = storage_of(settings, now=now)
    directory = chat_directory(settings, secrets, clock, notify)
    limit = concurrency_limit(directory.upstream.policy, clock, notify)
    return Services(
        tokens=TokenRoom(
            verifier=_verifier(settings, {**secrets.session_keys, **remote}, now),
            failed_attempts=_failed_attempts(settings),
            demand_chance=directory.upstream.policy.demand_chance,
            issuer=_issuer_of_tokens(settings, directory, storage, clock, notify),
            one_deadline=_one_deadline(settings, clock),
            fingerprinter=Fingerprinter(secrets.log_key),
            chat_app=ChatApp(settings.cometchat.app_id, settings.cometchat.region),
            now=now,
        ),
        webhooks=webhook_room(
            settings, webhook_secrets.senders, inbox or _inbox(settings, storage), notify
        ),
        limiter=_limiter(settings, secrets, notify),
        recording=_recording(settings, (limit.observe, audit_log, metrics), now),
        metrics=Exposition(metrics.render, MEDIA_TYPE) if metrics else None,
        watcher=watcher,
        notify=notify,
        key_sets=tuple(remote.values()),
        shed=shedding(directory.upstream.policy, limit, metrics, clock, notify),
        background=watcher.background(),
    )


def _log(
    settings: Settings, log_stream: TextIO | None
) -> tuple[Announcer, AuditLog, Metrics | None]:
    """Return who is told of events, and the two who read them: the log, and the counters."""
    notify = Announcer()
    audit_log = AuditLog(log_stream or stdout_lines(notify), secrets=settings.secret_values())
    metrics = Metrics() if settings.http.metrics else None
    notify.readers = (audit_log.note, metrics.note) if metrics else (audit_log.note,)
    return notify, audit_log, metrics


def _one_deadline(
    settings: Settings, clock: Clocks
) -> Callable[[], AbstractContextManager[object]]:
    return partial(errand_within, settings.cometchat.total_timeout_s, clock.monotonic)


def _recording(
    settings: Settings, observers: Sequence[Observer | None], now: Callable[[], float]
) -> Recording:
    return Recording(
        observers=[observe for observe in observers if observe],
        trusted_proxies=settings.http.trusted_proxies,
        server_timing=settings.http.server_timing,
        now=now,
    )


def _inbox(settings: Settings, storage: Storage) -> Inbox:
    """Return the inbox; without one, nothing that is acknowledged would be kept."""
    if settings.webhooks and not storage.is_kept:
        raise ConfigurationError(["webhooks: need a database; set storage.url"])
    return storage.inbox


def _issuer_of_tokens(
    settings: Settings,
    directory: CometChatClient,
    storage: Storage,
    clock: Clocks,
    notify: Notify,
) -> TokenIssuer:
    memory = _memory(settings, storage, clock, notify)
    return TokenIssuer(directory, provisioning_of(settings), *memory)


def _memory(
    settings: Settings, storage: Storage, clock: Clocks, notify: Notify
) -> tuple[SQLAccounts | None, LoginObserver]:
    """Return what is known of users, and what takes in logins, where there is a database."""
    if not storage.is_kept:
        return None, lambda _: None
    return storage.accounts, _login_facts(settings, storage, clock, notify).observe


def _login_facts(settings: Settings, storage: Storage, clock: Clocks, notify: Notify) -> LoginFacts:
    """Return what takes in logins; its thread begins with the first that tells something."""
    facts = LoginFacts(
        storage.inbox,
        storage.accounts,
        provisioning=provisioning_of(settings),
        watches_drift=settings.provisioning.update_on_login,
        clocks=clock,
        notify=notify,
    )
    beside = Periodic("login-facts", facts.tell, notify=notify, gather_s=LOGINS_GATHER_S)
    facts.wake = beside.start_or_wake
    return facts


def _verifier(
    settings: Settings, keys: Mapping[str, KeySet], now: Callable[[], float]
) -> JWTSessionVerifier:
    strategy = settings.uids.strategy
    issuers = [_issuer(table, keys[table.issuer], strategy) for table in settings.sessions]
    return JWTSessionVerifier(issuers, now=now)


def _issuer(table: SessionSettings, keys: KeySet, strategy: str) -> Issuer:
    return Issuer(
        name=table.issuer,
        audiences=table.audiences,
        algorithms=frozenset(table.algorithms),
        keys=keys,
        uid_rule=uid_rule(strategy, prefix=table.uid_prefix),
        leeway_s=table.leeway_s,
        token_types=frozenset(name.lower() for name in table.token_types),
        uid_claim=parse_claim_path(table.uid_claim),
        profile_claims=ProfileClaims(
            name=_path(table.name_claim),
            avatar=_path(table.avatar_claim),
            role=_path(table.role_claim),
            tags=_path(table.tags_claim),
            metadata={path[-1]: path for path in map(parse_claim_path, table.metadata_claims)},
        ),
    )


def _path(claim: str | None) -> ClaimPath | None:
    return parse_claim_path(claim) if claim else None


def _failed_attempts(settings: Settings) -> FailedAttempts:
    """Count in this process, whatever the storage: attackers shall not load Redis."""
    limits = parse_many(settings.limits.failed_per_address)
    return FailedAttempts(MovingWindowRateLimiter(WindowStorage()), limits)


def _limiter(settings: Settings, secrets: SecretsInForce, notify: Notify) -> RouteLimiter:
    configured = secrets.storage_url()
    windows_s = [limit.get_expiry() for limit in parse_many(settings.limits.per_user)]
    options = (
        {}
        if configured.startswith("memory:")
        else shared_options(secrets.storage_url, notify=notify, login_window_s=min(windows_s))
    )
    return RouteLimiter(
        caller,
        storage_uri=storage_url(configured),
        storage_options=options,
        strategy="moving-window",
        key_prefix=LIMIT_KEY_PREFIX,
        # Its own headers put Retry-After on successes; `guard.tell_limits` writes ours.
        headers_enabled=False,
        # The storage itself falls back, and raises nothing.
        in_memory_fallback_enabled=False,
    )
