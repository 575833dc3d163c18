"""Builders: what a test needs, good by default, changed by name."""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jwt
from flask import Flask
from flask.testing import FlaskClient

from tests.databases import a_throwaway_sqlite_database
from tests.fakes import WatchedLog
from tokensvc.app import app_around, create_app
from tokensvc.domain.accounts import EventKind, UserEvent
from tokensvc.domain.issuing import TokenIssuer
from tokensvc.domain.model import ChatUser, Profile, Session, Uid
from tokensvc.domain.ports import ChatDirectory
from tokensvc.domain.uids import parse_uid
from tokensvc.services import assemble
from tokensvc.settings import Settings
from tokensvc.settings_loading import load_settings

ISSUER = "https://app.example.test"
AUDIENCE = "chat"
SECRET = "Zk3vQ8pLr2Xw9TbN6mHs4JdYc7FgA1eU"
OTHER_SECRET = "pW5nB8xQ2cVt7Rk4Lz9Mj1HsGd6FyA3u"
API_KEY = "0b5f1c9e7a3d2468ace13579bdf02468ace13579"
APP_ID = "1234567890abcdef"
LOG_KEY = "Qy7Lw2Nc9Vb4Xz6Kj1Hg8Fd3Sa5Pt0Ru"
NOW = 1_800_000_000.0
GENEROUS = {"per_user": "100000 per minute", "failed_per_address": "100000 per minute"}
"""Limits that no test meets unless it is about them."""
NOWHERE = "http://127.0.0.1:9/v3"
"""The discard port: nothing listens there."""
NO_DATABASE = "postgresql://nobody@127.0.0.1:9/none"
"""What a service has that needs none, so that no test gets at a database of the developer's."""


def a_uid(text: str = "alice") -> Uid:
    """Return a uid."""
    return parse_uid(text)


def a_user(uid: str = "alice", **profile: Any) -> ChatUser:
    """Return a user of CometChat's directory."""
    return ChatUser(a_uid(uid), Profile(**{"name": uid.title(), **profile}))


def a_session(uid: str = "alice", **profile: Any) -> Session:
    """Return a proven session."""
    return Session(
        issuer=ISSUER, subject=uid, user=a_user(uid, **profile), expires_at=time.time() + 600
    )


def an_event(event_id: str = "1", uid: str = "alice", **changes: Any) -> UserEvent:
    """Return a fact about a user, as the app's own backend tells it."""
    good: dict[str, Any] = {"kind": EventKind.UPDATED, "version": 7, "source": "app"}
    return UserEvent(uid=a_uid(uid), event_id=event_id, **{**good, **changes})


def claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a good session token; a change to None removes one."""
    now = time.time()
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 600}
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def a_token(*, key: Any = SECRET, alg: str = "HS256", header: Any = None, **changes: Any) -> str:
    """Return a signed session token."""
    return jwt.encode(claims(**changes), key, algorithm=alg, headers=header)


def bearer(token: str) -> dict[str, str]:
    """Return the header that carries *token*."""
    return {"Authorization": f"Bearer {token}"}


def a_sessions_table(**changes: Any) -> dict[str, Any]:
    """Return one `[[sessions]]` table; a change to None removes a member."""
    good = {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": ["HS256"], "secret": SECRET}
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def an_environment(**changes: str | None) -> dict[str, str]:
    """Return the variables of a complete deployment; a change to None removes one."""
    good = {
        "TOKENSVC_COMETCHAT__APP_ID": APP_ID,
        "TOKENSVC_COMETCHAT__REGION": "us",
        "TOKENSVC_COMETCHAT__API_KEY": API_KEY,
        "TOKENSVC_COMETCHAT__BASE_URL": NOWHERE,
        "TOKENSVC_COMETCHAT__PLAN_LIMIT_PER_MINUTE": "1000000",
        "TOKENSVC_AUDIT__LOG_KEY": LOG_KEY,
        "TOKENSVC_SESSIONS": json.dumps([a_sessions_table()]),
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def settings(**overrides: Any) -> Settings:
    """Return complete settings; *overrides* are sections, laid over the good ones."""
    chosen = {"storage": {"url": NO_DATABASE}, **overrides}
    return load_settings(an_environment(), overrides=chosen)


class Service:
    """The service without a socket: its client, and its log so far."""

    def __init__(self, app: Flask, log: WatchedLog) -> None:
        self.app = app
        self.log = log
        self.client: FlaskClient = app.test_client()

    def login(self, token: str | None = None, **request: Any) -> Any:
        """Ask for an auth token."""
        headers = {**bearer(token or a_token()), **request.pop("headers", {})}
        return self.client.post("/v1/auth-tokens", headers=headers, **request)

    def records(self) -> list[dict[str, Any]]:
        """Return the audit lines so far."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


def a_service_with(directory: ChatDirectory, **overrides: Any) -> Service:
    """Return the service on *directory* in CometChat's stead."""
    log = WatchedLog()
    chosen = settings(**{"limits": GENEROUS, **overrides})
    services = assemble(chosen, log_stream=log)
    issuer = TokenIssuer(directory, services.tokens.issuer.provisioning)
    services = replace(services, tokens=replace(services.tokens, issuer=issuer))
    return Service(app_around(services, chosen), log)


def a_service(overrides: Mapping[str, Any] | None = None, **parts: Any) -> Service:
    """Return the service over *overrides*; generous limits unless they say otherwise."""
    log = WatchedLog()
    chosen = {"limits": GENEROUS, **(overrides or {})}
    if "cometchat" in chosen:
        # Somebody may log in for the first time.
        chosen.setdefault("storage", {"url": a_throwaway_sqlite_database()})
    return Service(create_app(settings(**chosen), log_stream=log, **parts), log)
