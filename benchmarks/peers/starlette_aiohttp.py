"""Starlette with aiohttp, for uvicorn on uvloop: the fast way in Python."""

import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import jwt
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from benchmarks.peers.fixed_window import FixedWindow

SECRET = os.environ["SESSION_SECRET"]
ISSUER, AUDIENCE = os.environ["SESSION_ISSUER"], os.environ["SESSION_AUDIENCE"]
VENDOR_URL = os.environ["VENDOR_URL"]
limit = FixedWindow(6_000)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Keep one client for all calls."""
    async with aiohttp.ClientSession(
        headers={"apikey": os.environ["VENDOR_API_KEY"], "appId": os.environ["VENDOR_APP_ID"]},
        timeout=aiohttp.ClientTimeout(total=2),
    ) as client:
        app.state.client = client
        yield


async def create_auth_token(request: Request) -> Response:
    """Answer with an auth token of the user who is signed in."""
    started = time.perf_counter()
    try:
        claims = jwt.decode(
            request.headers["authorization"].removeprefix("Bearer "),
            SECRET,
            algorithms=["HS256"],
            issuer=ISSUER,
            audience=AUDIENCE,
        )
    except (KeyError, jwt.InvalidTokenError):
        return JSONResponse({"code": "session_invalid"}, 401)
    uid = claims["sub"]
    if not limit.lets(uid):
        return JSONResponse({"code": "rate_limited"}, 429)
    async with request.app.state.client.post(
        f"{VENDOR_URL}/users/{uid}/auth_tokens", json={"force": True}
    ) as answer:
        if not answer.ok:
            return JSONResponse({"code": "directory_unavailable"}, 503)
        token = (await answer.json())["data"]["authToken"]
    line = {"event": "login", "uid": uid, "duration_s": time.perf_counter() - started}
    sys.stdout.write(json.dumps(line) + "\n")
    return JSONResponse({"uid": uid, "authToken": token}, 201)


async def live(_: Request) -> Response:
    """Say that it runs."""
    return PlainTextResponse("ok")


app = Starlette(
    routes=[
        Route("/v1/auth-tokens", create_auth_token, methods=["POST"]),
        Route("/livez", live),
    ],
    lifespan=lifespan,
)
