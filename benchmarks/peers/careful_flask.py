"""Flask by somebody who has measured: one pooled Session, one key, structlog."""

import os
import time

import jwt
import requests
import structlog
from flask import Flask, g, request
from flask.typing import ResponseReturnValue
from flask_limiter import Limiter
from requests.adapters import HTTPAdapter

VENDOR_URL = os.environ["VENDOR_URL"]
KEY = jwt.PyJWK.from_dict(
    {"kty": "oct", "k": jwt.utils.base64url_encode(os.environ["SESSION_SECRET"].encode()).decode()},
    algorithm="HS256",
)
ISSUER, AUDIENCE = os.environ["SESSION_ISSUER"], os.environ["SESSION_AUDIENCE"]

structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.JSONRenderer(),
    ],
    cache_logger_on_first_use=True,
)
log = structlog.get_logger()

session = requests.Session()
session.mount("https://", HTTPAdapter(pool_maxsize=64))
session.mount("http://", HTTPAdapter(pool_maxsize=64))
session.headers.update(
    {"apikey": os.environ["VENDOR_API_KEY"], "appId": os.environ["VENDOR_APP_ID"]}
)

app = Flask(__name__)
limiter = Limiter(lambda: g.uid, storage_uri="memory://", strategy="fixed-window")
limiter.init_app(app)


@app.before_request
def verify() -> ResponseReturnValue | None:
    """Find out who is calling."""
    if request.endpoint != "create_auth_token":
        return None
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    try:
        claims = jwt.decode(
            token if scheme.lower() == "bearer" else "",
            KEY,
            algorithms=["HS256"],
            issuer=ISSUER,
            audience=AUDIENCE,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
    except jwt.InvalidTokenError as error:
        log.info("refused", reason=type(error).__name__)
        return {"code": "session_invalid"}, 401
    g.uid = claims["sub"]
    return None


@app.post("/v1/auth-tokens")
@limiter.limit("6000 per minute")
def create_auth_token() -> ResponseReturnValue:
    """Answer with an auth token of the user who is signed in."""
    started = time.perf_counter()
    try:
        answer = session.post(
            f"{VENDOR_URL}/users/{g.uid}/auth_tokens", json={"force": True}, timeout=(1, 2)
        )
        answer.raise_for_status()
        token = answer.json()["data"]["authToken"]
    except (requests.RequestException, KeyError):
        log.warning("vendor_failed", uid=g.uid)
        return {"code": "directory_unavailable"}, 503
    log.info("login", uid=g.uid, status=201, duration_s=time.perf_counter() - started)
    return {"uid": g.uid, "authToken": token}, 201


@app.get("/livez")
def live() -> ResponseReturnValue:
    """Say that it runs."""
    return "ok"
