"""FastAPI with httpx, for uvicorn: dependencies, models, one AsyncClient."""

import json
import logging
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import httpx
import jwt
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from benchmarks.peers.fixed_window import FixedWindow

SECRET = os.environ["SESSION_SECRET"]
ISSUER, AUDIENCE = os.environ["SESSION_ISSUER"], os.environ["SESSION_AUDIENCE"]

logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.WARNING)
log = logging.getLogger("login")
log.setLevel(logging.INFO)
limit = FixedWindow(6_000)


class AuthToken(BaseModel):
    """The answer to a login."""

    uid: str
    authToken: str  # noqa: N815 (as the clients know it)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep one client for all calls."""
    headers = {"apikey": os.environ["VENDOR_API_KEY"], "appId": os.environ["VENDOR_APP_ID"]}
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
    async with httpx.AsyncClient(
        base_url=os.environ["VENDOR_URL"], headers=headers, limits=limits, timeout=2
    ) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


def current_user(
    credentials: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())],
) -> str:
    """Return the uid of the user who is signed in."""
    try:
        claims = jwt.decode(
            credentials.credentials, SECRET, algorithms=["HS256"], issuer=ISSUER, audience=AUDIENCE
        )
    except jwt.InvalidTokenError as error:
        raise HTTPException(401) from error
    if not limit.lets(claims["sub"]):
        raise HTTPException(429)
    return str(claims["sub"])


@app.post("/v1/auth-tokens", status_code=201)
async def create_auth_token(
    request: Request, uid: Annotated[str, Depends(current_user)]
) -> AuthToken:
    """Answer with an auth token of the user who is signed in."""
    started = time.perf_counter()
    answer = await request.app.state.client.post(f"/users/{uid}/auth_tokens", json={"force": True})
    if answer.is_error:
        raise HTTPException(503)
    token = AuthToken(uid=uid, authToken=answer.json()["data"]["authToken"])
    duration_s = time.perf_counter() - started
    log.info(json.dumps({"event": "login", "uid": uid, "duration_s": duration_s}))
    return token


@app.get("/livez")
async def live() -> str:
    """Say that it runs."""
    return "ok"
