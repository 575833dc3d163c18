"""The front: from a request's host and path to its handler, in the vendor's order of checks."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from tokensvc.emulator import client_side, errors, roles, tokens, users
from tokensvc.emulator.bodies import parse_json
from tokensvc.emulator.call import Call, Route, Side
from tokensvc.emulator.errors import APIError
from tokensvc.emulator.rates import Rates
from tokensvc.emulator.world import App, World

ROUTES: Final = [*users.ROUTES, *tokens.ROUTES, *roles.ROUTES, *client_side.ROUTES]
_DOMAINS: Final = r"(?:cometchat|cc-cluster-2|cc-edge-2)\.io"
_HOST: Final = re.compile(
    rf"(?:([a-z0-9_-]+)\.)?(api|apiclient|call)-([a-z-]+)\.{_DOMAINS}(?::\d+)?"
)
_SIDES: Final[Mapping[str, Side]] = {"api": "rest", "apiclient": "client", "call": "calls"}
_VERSIONS: Final = ("v3", "v3.0")
_OTHER_VERSION: Final = re.compile(r"v[0-9.]+")


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
    """Answers requests out of a world."""

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
            try:
                call = Call(
                    world=self._world,
                    app=app,
                    path=path,
                    query=_parse_query(request.query),
                    headers=request.headers,
                    body=_parse_body(request.body, route.max_body_bytes),
                )
                answer = route.handler(call)
            except APIError as error:
                return Response(error.status, error.envelope(), headers)
            return Response(200, {"data": answer.data, **answer.beside}, headers)

    def _route(self, request: Request) -> tuple[Route, dict[str, str]]:
        segments = request.path.strip("/").split("/")
        if segments[0] not in _VERSIONS:
            is_version = _OTHER_VERSION.fullmatch(segments[0])
            raise errors.version_unknown() if is_version else errors.path_unknown()
        host = _host(request)
        side = _SIDES[host[2]] if host else None
        for route in ROUTES:
            path = route.match(segments[1:])
            if path is not None and route.method == request.method and side in {None, route.side}:
                return route, path
        raise errors.path_unknown()

    def _app(self, request: Request) -> App:
        """Return the app that the host or the appId header names; on loopback the only one."""
        host = _host(request)
        app_id = (host[1] if host else None) or request.headers.get("appid")
        if app_id is None and host is None and len(self._world.apps) == 1:
            return next(iter(self._world.apps.values()))
        if not app_id:
            raise errors.app_missing()
        app = self._world.app_named(app_id)
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
            raise errors.scope_too_small(key)


def side_of(request: Request) -> Side | None:
    """Return the side that the host names, else the path's, else None."""
    host = _host(request)
    if host:
        return _SIDES[host[2]]
    segments = request.path.strip("/").split("/")[1:]
    return next((route.side for route in ROUTES if route.match(segments) is not None), None)


def _host(request: Request) -> re.Match[str] | None:
    return _HOST.fullmatch(request.headers.get("host", "").lower())


def _parse_query(text: str) -> dict[str, str]:
    """Return the parameters; one that is repeated, with or without `[]`, becomes `a,b`."""
    query: dict[str, str] = {}
    for spelled, value in parse_qsl(text):
        name = spelled.removesuffix("[]")
        query[name] = f"{query[name]},{value}" if name in query else value
    return query


def _parse_body(raw: bytes, most_bytes: int) -> Any:  # noqa: ANN401 (whatever the JSON holds)
    """Return the parsed body; how one that is too large or no JSON is refused is unverified."""
    if len(raw) > most_bytes:
        raise errors.invalid({"body": ["The request body is too large."]})
    if not raw.strip():
        return {}
    try:
        return parse_json(raw)
    except ValueError:
        raise errors.invalid({"body": ["The request body must be JSON."]}) from None
