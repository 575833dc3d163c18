"""Flask, as it finds and calls our functions and keeps to our log."""

from collections.abc import Callable
from typing import Any

from flask import Flask, Request
from werkzeug.routing import MapAdapter


class SyncFlask(Flask):
    """Flask where nothing is asynchronous.

    It would look at eight functions of ours in each request for whether they are.
    """

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return *func*, as it can be called."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return what finds the route of *request*, by its path and method alone.

        Flask would take the Host apart for routes that depend on it. None of ours does, and
        it is looked at only where some hosts alone are trusted.
        """
        if request is None or self.config["TRUSTED_HOSTS"] is not None:
            return super().create_url_adapter(request)
        return self.url_map.bind(
            server_name="",
            script_name=request.root_path,
            subdomain="",
            url_scheme=request.scheme,
            default_method=request.method,
            path_info=request.path,
        )

    def log_exception(self, exc_info: object) -> None:
        """Write nothing: the audit line names the place, and a traceback may quote a secret."""
