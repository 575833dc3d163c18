"""What the machinery around the service asks: is it alive, ready, and which version."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from flask import Blueprint
from flask.typing import ResponseReturnValue

from tokensvc import __version__
from tokensvc.domain.errors import KeysUnavailableError
from tokensvc.web.openapi import Operation, documented

STATUS_OK = Operation(
    answer={
        "type": "object",
        "required": ["status"],
        "properties": {"status": {"const": "ok"}},
        "additionalProperties": False,
    }
)
READY = replace(STATUS_OK, errors=(KeysUnavailableError,))
VERSION = Operation(
    answer={
        "type": "object",
        "required": ["name", "version"],
        "properties": {"name": {"const": "tokensvc"}, "version": {"type": "string"}},
        "additionalProperties": False,
    }
)
METRICS = Operation(answer={"type": "string"}, media_type="text/plain")
FRESH = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class Exposition:
    """What `/metrics` answers: a text, and of which type it is."""

    render: Callable[[], bytes]
    media_type: str


def operations_blueprint(
    is_ready: Callable[[], bool], metrics: Exposition | None = None
) -> Blueprint:
    """Return the probes, and the metrics if there are any.

    They need no session and are never limited. *is_ready* tells whether the keys of
    all issuers have been asked for.
    """
    operations = Blueprint("operations", __name__)

    @operations.get("/livez")
    @documented(STATUS_OK)
    def livez() -> ResponseReturnValue:
        """Say that the process answers; if it does not, restart it."""
        return {"status": "ok"}, 200, FRESH

    @operations.get("/readyz")
    @documented(READY)
    def readyz() -> ResponseReturnValue:
        """Say that requests may come: settings are loaded, and keys were asked for once.

        Neither CometChat nor an issuer has to be up: who is down is answered with
        503 to the logins that need them, and taking every instance out of service
        would not mend it, and would shut out the users of the other issuers.
        """
        if not is_ready():
            raise KeysUnavailableError("keys_never_fetched", retry_after_s=1)
        return {"status": "ok"}, 200, FRESH

    @operations.get("/version")
    @documented(VERSION)
    def version() -> ResponseReturnValue:
        """Say which release is running."""
        return {"name": "tokensvc", "version": __version__}, 200, FRESH

    if metrics:
        _add_metrics(operations, metrics)
    return operations


def _add_metrics(operations: Blueprint, exposition: Exposition) -> None:
    @operations.get("/metrics")
    @documented(METRICS)
    def metrics() -> ResponseReturnValue:
        """Say how much has happened, for Prometheus."""
        return exposition.render(), 200, {"Content-Type": exposition.media_type, **FRESH}
