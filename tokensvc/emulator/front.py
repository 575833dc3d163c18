"""The front: from a request's host and path to its handler, in the vendor's order of checks."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from tokensvc.emulator import client_side, errors, roles, tokens, users
from tokensvc.emulator.call import Call, Route, Side
from tokensvc.emulator.errors import APIError
from tokensvc.emulator.rates import Rates
from tokensvc.emulator.world import App, World

ROUTES: Final = [*users.ROUTES, *tokens.ROUTES, *roles.ROUTES, *client_side.ROUTES]
_DOMAINS: Final = r"(?:cometchat|cc-cluster-2|cc-edge-2)\.io"
_HOST: Final = re.compile(
    rf"(?:([A-Za-z0-9_-]+)\.)?(api|apiclient|call)-([a-z-]+)\.{_DOMAINS}(?::\d+)?"
)
_SIDES: Final[Mapping[str, Side]] = {"api": "rest", "apiclient": "client", "call": "calls"}
_VERSIONS: Final = ("v3", "v3.0")


@dataclass(frozen=True)
class Request:
    """One HTTP request; header names are lower case, the path is as it was sent."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Response:
    """One HTTP answer: always JSON."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str]


class Front:
    """Answers requests out of a world.

    Faults on order will hook in at the top of `answer`: it sees every request
    before anything is decided, and every response before it is sent.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._rates = Rates(world.switches, world.now)

    def answer(self, request: Request) -> Response:
        """Return the answer; whatever goes wrong is an envelope of the vendor's."""
        try:
            return self._dispatch(request)
        except APIError as error:
            return Response(error.status, error.envelope(), error.headers)
        except Exception:  # noqa: BLE001 (the vendor's word for a defect, ours included)
            return Response(errors.crash().status, errors.crash().envelope(), {})

    def _dispatch(self, request: Request) -> Response:
        """Check in this order: path, app, key, scope, rate, body, and then the entity."""
        route, path = self._route(request)
        with self._world.locked():
            app = self._app(request)
            if route.side == "rest":
                self._demand_key(app, route, request.headers.get("apikey", ""))
            headers = self._rates.spend(app.app_id, route.rate_class)
            call = Call(
                world=self._world,
                app=app,
                path=path,
                query=dict(parse_qsl(request.query)),
                headers=request.headers,
                body=_parse_body(request.body, route.max_body_bytes),
            )
            answer = route.handler(call)
            return Response(200, {"data": answer.data, **answer.beside}, headers)

    def _route(self, request: Request) -> tuple[Route, dict[str, str]]:
        segments = request.path.strip("/").split("/")
        if segments[0] not in _VERSIONS:
            raise errors.path_unknown()
        host = _HOST.fullmatch(request.headers.get("host", ""))
        side = _SIDES[host[2]] if host else None
        for route in ROUTES:
            path = route.match(segments[1:])
            if path is not None and route.method == request.method and side in {None, route.side}:
                return route, path
        raise errors.path_unknown()

    def _app(self, request: Request) -> App:
        """Return the app that the host or the appId header names; on loopback the only one."""
        host = _HOST.fullmatch(request.headers.get("host", ""))
        app_id = (host[1] if host else None) or request.headers.get("appid")
        if app_id is None and host is None and len(self._world.apps) == 1:
            return next(iter(self._world.apps.values()))
        if not app_id:
            raise errors.app_missing()
        app = self._world.apps.get(app_id)
        if app is None or (host and host[3] != app.region):
            raise errors.app_unknown()
        return app

    def _demand_key(self, app: App, route: Route, key: str) -> None:
        if not key:
            raise errors.key_missing()
        scope = app.keys.get(key)
        if scope is None:
            raise errors.key_unknown(key)
        creates = route.handler is users.create_user
        shut = creates and scope == "authOnly" and not self._world.switches.auth_only_creates_users
        if scope not in route.scopes or shut:
            raise errors.scope_too_small()


def _parse_body(raw: bytes, most_bytes: int) -> Any:  # noqa: ANN401 (whatever the JSON holds)
    """Return the parsed body; how a body that is no JSON is refused is unverified."""
    if len(raw) > most_bytes:
        raise errors.invalid({"body": ["The request body is too large."]})
    if not raw.strip():
        return {}
    try:
        return json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        raise errors.invalid({"body": ["The request body must be JSON."]}) from None
