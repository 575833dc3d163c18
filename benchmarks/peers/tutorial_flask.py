"""Flask as tutorials write it: `requests.post`, the user looked for first, `print` for a log.

With `CREATES_USERS=0` it asks for the token alone, as all the others here do.
"""

import os
import time

import jwt
import requests
from flask import Flask, g, jsonify, request
from flask.typing import ResponseReturnValue
from flask_limiter import Limiter

VENDOR_URL = os.environ["VENDOR_URL"]
HEADERS = {"apikey": os.environ["VENDOR_API_KEY"], "appId": os.environ["VENDOR_APP_ID"]}
CREATES_USERS = os.environ.get("CREATES_USERS", "1") == "1"

app = Flask(__name__)


def get_uid() -> str:
    """Return the uid of the user who is signed in."""
    if "uid" not in g:
        g.uid = jwt.decode(
            request.headers["Authorization"].split(" ")[1],
            os.environ["SESSION_SECRET"],
            algorithms=["HS256"],
            issuer=os.environ["SESSION_ISSUER"],
            audience=os.environ["SESSION_AUDIENCE"],
        )["sub"]
    return str(g.uid)


limiter = Limiter(get_uid, app=app)


@app.errorhandler(jwt.InvalidTokenError)
def refuse(error: jwt.InvalidTokenError) -> ResponseReturnValue:
    """Refuse a bad token."""
    print("refused", error)
    return jsonify({"error": str(error)}), 401


@app.post("/v1/auth-tokens")
@limiter.limit("6000 per minute")
def create_auth_token() -> ResponseReturnValue:
    """Answer with an auth token of the user who is signed in."""
    started = time.time()
    uid = get_uid()
    if CREATES_USERS:
        user = requests.get(f"{VENDOR_URL}/users/{uid}", headers=HEADERS, timeout=10)
        if user.status_code == requests.codes.not_found:
            body = {"uid": uid, "name": uid}
            requests.post(f"{VENDOR_URL}/users", json=body, headers=HEADERS, timeout=10)
    answer = requests.post(
        f"{VENDOR_URL}/users/{uid}/auth_tokens", json={"force": True}, headers=HEADERS, timeout=10
    )
    answer.raise_for_status()
    print("login", uid, answer.status_code, time.time() - started)
    return jsonify({"uid": uid, "authToken": answer.json()["data"]["authToken"]}), 201


@app.get("/livez")
def live() -> ResponseReturnValue:
    """Say that it runs."""
    return "ok"
