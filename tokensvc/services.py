"""Composition root: what is plugged into what."""

import hashlib
import hmac
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TextIO

from flask_limiter import Limiter
from limits import parse_many
from limits.strategies import MovingWindowRateLimiter

from tokensvc.adapters.audit_log import AuditLog
from tokensvc.adapters.cometchat import CometChatClient
from tokensvc.adapters.http_client import HTTPClient, Timeouts
from tokensvc.adapters.limit_storage import WindowStorage, storage_url
from tokensvc.adapters.redis_limits import shared_options
from tokensvc.adapters.session_jwt import Issuer, JWTSessionVerifier
from tokensvc.adapters.upstream import Bulkhead
from tokensvc.domain.audit import Fingerprinter, Notify
from tokensvc.domain.issuing import Provisioning, TokenIssuer
from tokensvc.domain.profiles import ClaimPath, ProfileClaims, parse_claim_path
from tokensvc.domain.uids import uid_rule
from tokensvc.settings import SessionSettings, Settings
from tokensvc.web.failed_attempts import FailedAttempts
from tokensvc.web.guard import caller
from tokensvc.web.record import Recording, note_vendor_call
from tokensvc.web.tokens import ChatApp, TokenRoom

LIMIT_KEY_PREFIX: Final = "tokensvc:moving-window"
"""Names the strategy: Redis keys of another one have another type, and would clash."""


@dataclass(frozen=True, slots=True)
class Services:
    """What the doors open on."""

    tokens: TokenRoom
    limiter: Limiter
    recording: Recording


def assemble(
    settings: Settings, *, now: Callable[[], float] = time.time, log_stream: TextIO | None = None
) -> Services:
    """Return the services that *settings* ask for, writing their log to stdout."""
    audit_log = AuditLog(log_stream or sys.stdout, secrets=settings.secret_values())
    return Services(
        tokens=TokenRoom(
            verifier=_verifier(settings, now),
            failed_attempts=_failed_attempts(settings),
            issuer=TokenIssuer(_directory(settings, now), _provisioning(settings)),
            fingerprinter=Fingerprinter(_log_key(settings)),
            chat_app=ChatApp(settings.cometchat.app_id, settings.cometchat.region),
            now=now,
        ),
        limiter=_limiter(settings, audit_log.note),
        recording=Recording(
            observers=(audit_log,),
            trusted_proxies=settings.http.trusted_proxies,
            server_timing=settings.http.server_timing,
            now=now,
        ),
    )


def _verifier(settings: Settings, now: Callable[[], float]) -> JWTSessionVerifier:
    strategy = settings.uids.strategy
    return JWTSessionVerifier([_issuer(table, strategy) for table in settings.sessions], now=now)


def _issuer(table: SessionSettings, strategy: str) -> Issuer:
    return Issuer(
        name=table.issuer,
        audiences=table.audiences,
        algorithms=frozenset(table.algorithms),
        keys=table.load_keys(),
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


def _directory(settings: Settings, now: Callable[[], float]) -> CometChatClient:
    cometchat = settings.cometchat
    timeouts = Timeouts(
        connect_s=cometchat.connect_timeout_s,
        read_s=cometchat.read_timeout_s,
        total_s=cometchat.total_timeout_s,
    )
    return CometChatClient(
        http=HTTPClient(
            cometchat.rest_url,
            pool_size=cometchat.max_in_flight,
            timeouts=timeouts,
            ca_file=cometchat.ca_file,
            now=now,
        ),
        bulkhead=Bulkhead(cometchat.max_in_flight),
        api_key=cometchat.api_key.get_secret_value(),
        app_id=cometchat.app_id,
        observe_call=note_vendor_call,
    )


def _provisioning(settings: Settings) -> Provisioning:
    provisioning = settings.provisioning
    return Provisioning(
        default_role=provisioning.default_role,
        default_tags=tuple(provisioning.default_tags),
        reactivate_on_login=provisioning.reactivate_on_login,
    )


def _failed_attempts(settings: Settings) -> FailedAttempts:
    """Count in this process, whatever the storage: attackers shall not load Redis."""
    limits = parse_many(settings.limits.failed_per_address)
    return FailedAttempts(MovingWindowRateLimiter(WindowStorage()), limits)


def _limiter(settings: Settings, notify: Notify) -> Limiter:
    limits = settings.limits
    configured = limits.storage_url.get_secret_value()
    windows_s = [limit.get_expiry() for limit in parse_many(limits.per_user)]
    options = (
        {}
        if configured.startswith("memory:")
        else shared_options(lambda: configured, notify=notify, login_window_s=min(windows_s))
    )
    return Limiter(
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


def _log_key(settings: Settings) -> bytes:
    """Return the key of the log's fingerprints.

    Without one of its own it is derived from the REST key, so that all processes
    agree and nothing has to be set; it changes when that key does.
    """
    if settings.audit.log_key:
        return settings.audit.log_key.get_secret_value().encode()
    api_key = settings.cometchat.api_key.get_secret_value()
    return hmac.digest(api_key.encode(), b"tokensvc log fingerprints", hashlib.sha256)
