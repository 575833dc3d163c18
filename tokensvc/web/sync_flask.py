"""Flask, as it calls our functions and keeps to our log."""

from collections.abc import Callable
from typing import Any

from flask import Flask


class SyncFlask(Flask):
    """Flask where nothing is asynchronous.

    It would look at eight functions of ours in each request for whether they are.
    """

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return *func*, as it can be called."""
        return func

    def log_exception(self, exc_info: object) -> None:
        """Write nothing: the audit line names the place, and a traceback may quote a secret."""
