"""The HTTP door: a Flask app around the services."""

import os
import re
import time
from collections.abc import Callable
from typing import Final, TextIO

from flask import Flask
from flask_cors import CORS

from tokensvc.adapters.redis_deadline import begin_patience
from tokensvc.services import Services, assemble
from tokensvc.settings import Settings
from tokensvc.settings_loading import load_settings
from tokensvc.web.documentation import documentation_blueprint
from tokensvc.web.guard import tell_limits
from tokensvc.web.operations import operations_blueprint
from tokensvc.web.problems import answer_with_problems
from tokensvc.web.record import keep_records
from tokensvc.web.shedding import Headers
from tokensvc.web.sync_flask import SyncFlask
from tokensvc.web.tokens import MAX_BODY_BYTES, tokens_blueprint
from tokensvc.web.webhooks import webhooks_blueprint

EXPOSED_HEADERS: Final = [
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Server-Timing",
    "X-Request-Id",
]
PREFLIGHT_MAX_AGE_S: Final = 7200
NOT_FOR_SERVERS_ALONE: Final = r"/(?!v1/webhooks(/|\Z)).*"
"""Where pages may call at all: webhooks come from servers, which know no origin."""
LOOPBACK_HOSTS: Final = ["localhost", "127.0.0.1", "[::1]"]


def create_app(
    settings: Settings | None = None,
    *,
    now: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
    log_stream: TextIO | None = None,
) -> Flask:
    """Return the WSGI application; without *settings* it reads them from the environment.

    *now* is the clock in UNIX seconds, *monotonic* the one that never goes back,
    *log_stream* (else stdout) takes the audit lines. Raises `ConfigurationError` if
    the settings cannot be used.
    """
    settings = settings or load_settings(os.environ)
    services = assemble(settings, now=now, monotonic=monotonic, log_stream=log_stream)
    app = app_around(services, settings)
    # Keeps alive what a forked process has to begin anew.
    app.extensions["tokensvc"] = services
    for keys in services.key_sets:
        keys.start()
    for work in services.background:
        work.start()
    return app


def app_around(services: Services, settings: Settings) -> Flask:
    """Return the Flask app whose routes open on *services*."""
    app = SyncFlask("tokensvc", static_folder=None)
    # Flask would take FLASK_DEBUG from the environment; here no variable opens a debugger.
    app.debug = False
    app.json.sort_keys = False  # type: ignore[attr-defined]  # (the default provider has it)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES + 1
    # A redirect from // to / would be HTML, and would name whatever Host was sent.
    app.url_map.merge_slashes = False
    if settings.development:
        # The published keys are for this machine: no page gets here by a name of its own.
        app.config["TRUSTED_HOSTS"] = LOOPBACK_HOSTS
    keep_records(app, services.recording)
    if not settings.limits.storage_url.get_secret_value().startswith("memory:"):
        app.before_request(begin_patience)
    answer_with_problems(app)
    services.limiter.init_app(app)
    tell_limits(app)
    _allow_origins(app, settings.http.allowed_origins)
    per_user = settings.limits.per_user
    app.register_blueprint(tokens_blueprint(services.tokens, services.limiter, per_user=per_user))
    per_source = settings.limits.per_webhook_source
    app.register_blueprint(
        webhooks_blueprint(services.webhooks, services.limiter, per_source=per_source)
    )
    app.register_blueprint(operations_blueprint(services.is_ready, services.metrics))
    app.register_blueprint(documentation_blueprint())
    shed = services.shed(app.wsgi_app, of_origins=_headers_of(settings.http.allowed_origins))
    app.wsgi_app = shed  # type: ignore[assignment,method-assign]
    return app


def _allow_origins(app: Flask, origins: list[str]) -> None:
    """Let the pages of *origins* call; a preflight meets neither the guard nor the limits."""
    if origins:
        CORS(
            app,
            resources=NOT_FOR_SERVERS_ALONE,
            # Patterns of our own: the library takes an origin with a bracket for one.
            origins=[re.compile(re.escape(origin) + r"\Z") for origin in origins],
            methods=["POST"],
            allow_headers=["Authorization", "Content-Type", "X-Request-Id"],
            expose_headers=EXPOSED_HEADERS,
            max_age=PREFLIGHT_MAX_AGE_S,
            supports_credentials=False,
            vary_header=True,
        )


def _headers_of(origins: list[str]) -> dict[str, Headers]:
    """Return what CORS says to each of *origins* in an answer that does not come from Flask."""
    exposed = ("Access-Control-Expose-Headers", ", ".join(EXPOSED_HEADERS))
    return {
        origin: (("Access-Control-Allow-Origin", origin), exposed, ("Vary", "Origin"))
        for origin in origins
    }
