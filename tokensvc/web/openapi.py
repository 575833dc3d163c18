"""The API document: built from the routes, what is written at them, and the table of errors."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from apispec import APISpec
from flask import Flask

from tokensvc import __version__
from tokensvc.domain.errors import (
    Action,
    BodyTooLargeError,
    MediaTypeError,
    MethodNotAllowedError,
    RequestError,
    TokenServiceError,
)
from tokensvc.web.problems import status_of

OPENAPI_VERSION: Final = "3.1.0"
MEDIA_TYPE: Final = "application/problem+json"
EVERYWHERE: Final = (RequestError, MethodNotAllowedError, TokenServiceError)
"""What any route can answer: a request that is no HTTP, a wrong method, a defect."""
WITH_BODY: Final = (BodyTooLargeError, MediaTypeError)
_ATTRIBUTE: Final = "__operation__"
_UNDOCUMENTED_METHODS: Final = frozenset({"HEAD", "OPTIONS"})
_CONVERTER: Final = re.compile(r"<(?:\w+:)?(\w+)>")
_PARAMETER: Final = re.compile(r"{(\w+)}")

View = TypeVar("View", bound=Callable[..., Any])
Schema = Mapping[str, Any]

PROBLEM: Final[Schema] = {
    "type": "object",
    "required": ["type", "title", "status", "code", "action", "requestId"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "action": {"enum": [str(action) for action in Action]},
        "requestId": {"type": "string"},
        "retryAfter": {"type": "integer", "minimum": 1, "description": "Seconds to wait."},
    },
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Operation:
    """What is documented at a view: its good answer, and the errors of its own."""

    answer: Schema
    status: int = 200
    errors: tuple[type[TokenServiceError], ...] = ()
    needs_session: bool = False
    request_body: Schema | None = None
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names of the good answer's headers, with what they say."""
    request_headers: Mapping[str, str] = field(default_factory=dict)
    """Names of the headers that a request must have, likewise."""


def documented(operation: Operation) -> Callable[[View], View]:
    """Write *operation* at a view; stands right below the route."""

    def decorate(view: View) -> View:
        setattr(view, _ATTRIBUTE, operation)
        return view

    return decorate


def api_document(app: Flask) -> dict[str, Any]:
    """Return the OpenAPI document of *app*'s routes."""
    spec = APISpec(
        title="tokensvc",
        version=__version__,
        openapi_version=OPENAPI_VERSION,
        info={"description": "CometChat auth tokens for users who are signed in to your own app."},
    )
    spec.components.schema("Problem", dict(PROBLEM))
    spec.components.security_scheme(
        "session", {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    )
    for path, method, view, operation in _operations(app):
        rendered = {**_rendered(view, operation), **_parameters(path, operation)}
        spec.path(path, operations={method: rendered})
    return spec.to_dict()


def undocumented_routes(app: Flask) -> list[str]:
    """Return the rules whose views say nothing about themselves."""
    return [
        rule.rule
        for rule in app.url_map.iter_rules()
        if not hasattr(app.view_functions[rule.endpoint], _ATTRIBUTE)
    ]


def _operations(app: Flask) -> Iterator[tuple[str, str, Callable[..., Any], Operation]]:
    # What people come for stands first, the machinery's routes after it.
    for rule in sorted(
        app.url_map.iter_rules(), key=lambda rule: (not rule.rule.startswith("/v1/"), rule.rule)
    ):
        view = app.view_functions[rule.endpoint]
        operation = getattr(view, _ATTRIBUTE, None)
        for method in sorted((rule.methods or set()) - _UNDOCUMENTED_METHODS):
            if operation is not None:
                yield _CONVERTER.sub(r"{\1}", rule.rule), method.lower(), view, operation


def _rendered(view: Callable[..., Any], operation: Operation) -> dict[str, Any]:
    summary, _, description = (view.__doc__ or "").partition("\n")
    rendered: dict[str, Any] = {
        "operationId": view.__name__,
        "summary": summary.strip(),
        "responses": dict(_responses(operation)),
    }
    if description.strip():
        rendered["description"] = " ".join(description.split())
    if operation.needs_session:
        rendered["security"] = [{"session": []}]
    if operation.request_body is not None:
        content = {"application/json": {"schema": operation.request_body}}
        rendered["requestBody"] = {"required": False, "content": content}
    return rendered


def _parameters(path: str, operation: Operation) -> dict[str, Any]:
    """Return what stands in the path and in the headers, if anything does."""
    text = {"schema": {"type": "string"}, "required": True}
    in_path = [{"name": name, "in": "path", **text} for name in _PARAMETER.findall(path)]
    in_headers = [
        {"name": name, "in": "header", "description": said, **text}
        for name, said in operation.request_headers.items()
    ]
    parameters = in_path + in_headers
    return {"parameters": parameters} if parameters else {}


def _responses(operation: Operation) -> Iterator[tuple[str, dict[str, Any]]]:
    good: dict[str, Any] = {
        "description": "It worked.",
        "content": {operation.media_type: {"schema": operation.answer}},
    }
    if operation.headers:
        good["headers"] = {
            name: {"description": text, "schema": {"type": "string"}}
            for name, text in operation.headers.items()
        }
    yield str(operation.status), good
    with_body = WITH_BODY if operation.request_body is not None else ()
    by_status: dict[int, list[type[TokenServiceError]]] = {}
    for error in dict.fromkeys((*operation.errors, *with_body, *EVERYWHERE)):
        by_status.setdefault(status_of(error), []).append(error)
    for status, kinds in sorted(by_status.items()):
        yield str(status), _problem(kinds)


def _problem(kinds: Iterable[type[TokenServiceError]]) -> dict[str, Any]:
    kinds = list(kinds)
    rows = [f"`{kind.code}` ({kind.action}): {kind.title}." for kind in kinds]
    codes = {"properties": {"code": {"enum": sorted({kind.code for kind in kinds})}}}
    schema = {"allOf": [{"$ref": "#/components/schemas/Problem"}, codes]}
    return {"description": " ".join(rows), "content": {MEDIA_TYPE: {"schema": schema}}}
