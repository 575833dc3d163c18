"""The demo's "your app": signs users in with a development key, and serves the page."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flask import Flask, Response, abort, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException
from werkzeug.serving import WSGIRequestHandler, make_server

from tokensvc.cli.session_token import DevelopmentSigner

PAGE: Final = Path(__file__).parent / "demo_page"
SESSION_LIFETIMES_S: Final[Mapping[str, int]] = {
    "good": 3600,
    "expired": -3600,
    "over-the-limit": 3600,
}
MAX_BODY_BYTES: Final = 4096
MAX_USER_CHARS: Final = 100
POLICY: Final = "default-src 'self'; connect-src 'self' {service}; img-src 'self' data:"
STOP_POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class DemoPlace:
    """Where the demo's parts are."""

    service_url: str
    cometchat: str
    deactivated_user: str | None


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Write nothing: the terminal belongs to the audit lines."""


def demo_app(signer: DevelopmentSigner, place: DemoPlace, *, hosts: frozenset[str]) -> Flask:
    """Return the app. It answers under *hosts* alone, so that no other page can reach it."""
    app = Flask("demo", static_folder=str(PAGE), static_url_path="")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    _shut_out_strangers(app, POLICY.format(service=place.service_url), hosts)

    @app.get("/")
    def page() -> ResponseReturnValue:
        return app.send_static_file("index.html")

    @app.get("/place")
    def where() -> ResponseReturnValue:
        return {
            "endpoint": f"{place.service_url}/v1/auth-tokens",
            "cometchat": place.cometchat,
            "deactivatedUser": place.deactivated_user,
        }

    @app.post("/sign-in")
    def sign_in() -> ResponseReturnValue:
        user, kind = _parse_wish(request.get_json())
        claims = {"sub": user, "name": user.title()}
        return {"sessionToken": signer.sign(claims, lifetime_s=SESSION_LIFETIMES_S[kind])}

    return app


def _shut_out_strangers(app: Flask, policy: str, hosts: frozenset[str]) -> None:
    @app.before_request
    def know_the_host() -> None:
        if request.host not in hosts:
            abort(421)

    @app.after_request
    def trust_nobody_else(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
        return response

    @app.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> ResponseReturnValue:
        return {"error": error.description}, error.code or 500


def _parse_wish(wish: object) -> tuple[str, str]:
    """Return who wants to be signed in, and with what kind of session."""
    if not isinstance(wish, dict):
        abort(400, "a JSON object is wanted")
    user, kind = wish.get("user"), wish.get("kind", "good")
    if not isinstance(user, str) or not 0 < len(user) <= MAX_USER_CHARS:
        abort(400, f"user: 1 to {MAX_USER_CHARS} characters")
    if not isinstance(kind, str) or kind not in SESSION_LIFETIMES_S:
        abort(400, f"kind: one of {', '.join(SESSION_LIFETIMES_S)}")
    return user, kind


@contextmanager
def serving(app: Flask, host: str, port: int) -> Iterator[None]:
    """Serve *app* from a thread for the length of the block."""
    server = make_server(host, port, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": STOP_POLL_S}, daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
